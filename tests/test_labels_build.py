"""The list of labels: built from a small WordNet and small lists, and the one that is shipped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

from scripts.labels.sources import read_classes
from zeroguide.name.hypernyms import Hypernyms
from zeroguide.name.noun_forms import base_forms, squeezed
from zeroguide.name.phrase_files import read_prompts

LICENCE = "  1 You may use this,  \n  2   \n 10 provided that this notice stays.  \n"
# (lexicographer file, words, words of the hypernym or instance of, gloss)
SYNSETS = [
    (3, "entity", "", "what is"),
    (3, "animal beast", "entity", "a living thing that moves"),
    (3, "abstraction", "entity", "no thing"),
    (3, "person", "entity", "a human being"),
    (5, "dog domestic_dog Canis_familiaris", "animal", "it barks"),
    (5, "golden_retriever yellow_retriever", "dog", "it swims"),
    (5, "Catocala_nupta red_underwing", "animal", "a moth"),
    (5, "German_shepherd", "dog", "it guards"),
    (5, "genus_Canis Canis", "taxonomic_group", "dogs and wolves"),
    (5, "Canidae", "taxonomic_group", "dogs and foxes"),
    (14, "taxonomic_group", "abstraction", "animals of a kind"),
    (14, "committee", "abstraction", "persons who sit"),
    (6, "car auto", "entity", "it drives"),
    (6, "soccer_ball association_football", "entity", "it is kicked"),
    (6, "T-shirt", "entity", "it has short sleeves"),
    (6, "Jeep", "car", "a trade name"),
    (6, "aspirin", "drug", "it helps"),
    (6, "zetacillin", "drug", "it helps, too"),
    (6, "drug", "entity", "it cures"),
    (6, "747", "car", "an airplane"),
    (13, "Brie", "entity", "a cheese"),
    (8, "hand", "entity", "it has fingers"),
    (8, "vena_cava", "entity", "a vein"),
    (15, "town", "entity", "it has streets"),
    (15, "Paris", "@i:town", "a town"),
    (18, "athlete", "person", "one who does sports"),
    (18, "gymnast", "athlete", "one who tumbles"),
    (18, "liar", "person", "one who lies"),
    (18, "lout dog", "athlete", "(ethnic slur) offensive term for an athlete"),
    (7, "love", "abstraction", "a feeling"),
    (6, "love", "entity", "a thing that is loved"),
    (9, "retriever", "abstraction", "not the dog"),
    (9, "ball football", "abstraction", "not the dance"),
    (9, "shepherd", "abstraction", "not the dog"),
    (9, "underwing", "abstraction", "not the wing"),
]
COUNTS = {"dog": [42, 1], "car": [30], "hand": [50], "town": [9], "animal": [9], "aspirin": [2]}
COUNTS |= {"love": [9, 3], "person": [60], "golden_retriever": [0]}


def write_wordnet(folder: Path) -> None:
    """data.noun and index.sense as wndb(5WN) and senseidx(5WN) describe them."""
    offsets = {i: f"{100 + i:08}" for i in range(len(SYNSETS))}
    first = {}
    for i, (_, words, _, _) in enumerate(SYNSETS):
        first.setdefault(words.split()[0], offsets[i])
    data, senses = [LICENCE.rstrip("\n")], {}
    for i, (file, words, above, gloss) in enumerate(SYNSETS):
        listed = words.split()
        symbol, name = ("@i", above[3:]) if above.startswith("@i:") else ("@", above)
        pointers = [f"{symbol} {first[name]} n 0000"] if name else []
        pointers.append("+ 00000001 v 0101")  # into another file
        data.append(
            f"{offsets[i]} {file:02} n {len(listed):02x} {' '.join(f'{w} 0' for w in listed)} "
            f"{len(pointers):03} {' '.join(pointers)} | {gloss}  "
        )
        for word in listed:
            senses.setdefault(word.lower(), []).append((file, offsets[i]))
    index = ["dog%2:38:00:: 00000001 1 2"]  # a verb
    for word, own in senses.items():
        for rank, (file, offset) in enumerate(own):
            count = ([*COUNTS.get(word, []), 0, 0])[rank]
            index.append(f"{word}%1:{file:02}:{rank:02}:: {offset} {rank + 1} {count}")
    (folder / "data.noun").write_text("\n".join(data) + "\n")
    (folder / "index.sense").write_text("\n".join(sorted(index)) + "\n")


BOOKS = {
    "person": 90, "hand": 80, "dog": 70, "car": 60, "animal": 50, "town": 40, "aspirin": 30,
    "auto": 5, "brie": 3, "athlete": 4, "gymnast": 2, "gray": 9, "wolf": 8, "beast": 1, "shirt": 5,
}  # fmt: skip
CLASSES = "0:invalid_class_id\n1:dogs,stop sign\n2:grey dog (big)\n3:dog-other\n4:thing\n"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    write_wordnet(folder)
    for name in (
        "lvis_1203", "coco_stuff", "ade20k_150", "ade20k_847", "pascal_ctx_459", "pascal_voc_21",
        "cityscapes",
    ):  # fmt: skip
        (folder / f"{name}.txt").write_text(CLASSES)
    (folder / "ram_tags_4585.txt").write_text("toy car\nbeautiful\nred dogs\ngo for\n")
    (folder / "open_images_v6.txt").write_text("Ford dog\nCar dog\nDog\nGolden Retriever\n")
    (folder / "flickr").mkdir()
    captions = "file\tcaption\n1\tA gray dog, a dog and a car .\n2\tA person, an animal .\n"
    (folder / "flickr" / "captions.tsv").write_text(captions)
    books = "".join(f"{word} {count}000000\n" for word, count in BOOKS.items())
    (folder / "frequency_dictionary_en_1.txt").write_text(books)
    options = {name: folder for name in ("wordnet", "classnames", "captions", "books", "output")}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "scripts.labels.build", *words]
    subprocess.run(command, cwd=REPOSITORY, check=True)
    return folder


def test_what_is_taken(built: Path) -> None:
    phrases = set(read_prompts(str(built / "labels.txt")))
    assert {"dog", "car", "animal", "person", "golden retriever", "T-shirt", "Brie"} <= phrases
    assert {"stop sign", "toy car", "car dog"} <= phrases  # WordNet has none of these
    assert not {"thing", "beautiful", "go for", "ford dog", "Paris", "lout"} & phrases


def test_spellings_are_joined(built: Path) -> None:
    phrases = read_prompts(str(built / "labels.txt"))
    assert "gray dog" in phrases and "grey dog" not in phrases
    assert "dogs" not in phrases and "red dog" not in phrases  # nobody said the singular
    assert "red dogs" in phrases
    assert len({squeezed(phrase) for phrase in phrases}) == len(phrases)


def test_the_most_frequent_comes_first(built: Path) -> None:
    phrases = read_prompts(str(built / "labels.txt"))
    said = [phrase for phrase in phrases if phrase in ("dog", "gray dog", "aspirin", "Brie")]
    assert said == ["dog", "gray dog", "aspirin", "Brie"]


def test_hypernyms_of_what_was_built(built: Path) -> None:
    hypernyms = Hypernyms.parse((built / "hypernyms.tsv").read_text())
    for phrase, kinds in {
        "golden retriever": ["dog", "animal"],
        "car dog": ["dog", "animal"],
        "toy car": ["car"],
        "dog": ["animal"],
    }.items():
        node = hypernyms.node_of(phrase)
        assert node is not None
        assert [hypernyms.name(up) for up in hypernyms.broader(node)] == kinds


def test_the_licence_is_in_the_files(built: Path) -> None:
    for name in ("labels.txt", "hypernyms.tsv"):
        header = [x for x in (built / name).read_text().splitlines() if x.startswith("#")]
        start = header.index("# You may use this,")
        assert header[start:] == ["# You may use this,", "#", "# provided that this notice stays."]


LEAST = {
    "lvis_1203": 0.97, "coco_stuff": 0.97, "ade20k_150": 0.97, "pascal_voc_21": 0.97,
    "cityscapes": 0.97, "ade20k_847": 0.92, "pascal_ctx_459": 0.92,
}  # fmt: skip


@pytest.mark.parametrize("name", LEAST)
def test_benchmarks_are_covered(name: str) -> None:
    """A class is covered if the list has one of its names, but for number, hyphen and spelling."""
    path = REPOSITORY.parent / "shared" / "classnames" / f"{name}.txt"
    if not path.is_file():
        pytest.skip(f"no list of names at {path}")
    known = {
        squeezed(form)
        for phrase in read_prompts("labels")
        for form in (phrase, *base_forms(phrase))
    }
    classes = read_classes(path)
    missing = [
        names
        for names in classes
        if not any(squeezed(form) in known for text in names for form in base_forms(text))
    ]
    assert len(missing) <= (1 - LEAST[name]) * len(classes), missing


def test_the_shipped_list() -> None:
    phrases = read_prompts("labels")
    assert 20_000 <= len(phrases) <= 35_000
    assert {"person", "man", "woman", "dog", "tree", "sky"} <= set(phrases[:30])
    assert {
        "golden retriever", "fire hydrant", "German shepherd", "stop sign", "traffic light",
        "potted plant", "wine glass", "brick wall", "donut", "T-shirt", "sky",
    } <= set(phrases)  # fmt: skip
    taken = set(phrases)
    assert not taken & {"Canis familiaris", "Paris", "liar", "slave", "democracy", "beautiful"}
    assert not taken & {"doughnut", "wineglass", "grey", "dogs", "thing", "iPod", "whore", "rape"}
    assert len({squeezed(phrase) for phrase in phrases}) == len(phrases)
    text = (REPOSITORY / "prompts" / "labels.txt").read_text(encoding="utf-8")
    assert "# WordNet 3.0 Copyright 2006 by Princeton University." in text
