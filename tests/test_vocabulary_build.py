"""The list of nouns: built from a small folder in WordNet's format, and the one that is shipped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

from zeroguide.prompts_folder import read_prompts

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


@pytest.fixture
def built(tmp_path: Path) -> Path:
    write_wordnet(tmp_path)
    script = REPOSITORY / "scripts" / "build_vocabulary.py"
    output = tmp_path / "nouns.txt"
    subprocess.run([sys.executable, script, "--wordnet", tmp_path, "--output", output], check=True)
    return output


def test_what_is_taken_and_in_which_order(built: Path) -> None:
    phrases = read_prompts(str(built))
    assert phrases[:6] == ["person", "hand", "dog", "car", "animal", "town"]
    assert phrases[6] == "aspirin"  # a medicine that occurs
    assert set(phrases[7:]) == {
        "beast", "domestic dog", "golden retriever", "German shepherd", "red underwing", "auto",
        "soccer ball", "association football", "T-shirt", "Brie", "athlete", "gymnast",
    }  # fmt: skip


def test_the_licence_is_in_the_file(built: Path) -> None:
    lines = built.read_text().splitlines()
    header = [line for line in lines if line.startswith("#")]
    start = header.index("# You may use this,")
    assert header[start:] == ["# You may use this,", "#", "# provided that this notice stays."]
    assert lines[: len(header)] == header


def test_the_shipped_list() -> None:
    phrases = read_prompts("nouns")
    assert len(phrases) >= 20_000
    assert "person" in phrases[:10]
    assert {"golden retriever", "sky", "fire hydrant", "German shepherd", "boy"} <= set(phrases)
    assert not {"Canis familiaris", "Paris", "liar", "slave", "democracy"} & set(phrases)
    text = (REPOSITORY / "prompts" / "nouns.txt").read_text(encoding="utf-8")
    assert "# WordNet 3.0 Copyright 2006 by Princeton University." in text
