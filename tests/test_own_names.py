"""Names by examples, and fixed classes: folders, files, what they do to labels and exports."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
import torch.nn.functional as F

from zeroguide.cli import main
from zeroguide.errors import UsageError
from zeroguide.example_embeddings import central, embed_example
from zeroguide.image import from_array
from zeroguide.labeler import Labeler
from zeroguide.name.classes import Classifier
from zeroguide.name.examples import Examples, find_examples, open_example
from zeroguide.name.phrases import OwnNames, PhraseList, PhrasesDecoder
from zeroguide.recipe import load_recipe, read_classes
from zeroguide.result import Labeling
from zeroguide.result.formats.registry import FORMATS
from zeroguide.result.provenance import provenance

PHOTO = Path(__file__).parent.parent / "examples" / "bus.jpg"
TINY = ["decoder.method=phrases", "decoder.frequency_weight=0"]


class Unit(PhraseList):
    """A list whose phrases lie along the axes."""

    def __init__(self, phrases: list[str], size: int) -> None:
        self.phrases = tuple(phrases)
        self.embeddings = torch.eye(len(phrases), size)
        self.log_prior = torch.full((len(phrases),), -math.log(len(phrases)))
        self._scale = 10.0


def towards(*weights: float) -> torch.Tensor:
    return F.normalize(torch.tensor(weights, dtype=torch.float32), dim=-1)


# Examples.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """FOLDER/Rex/{a,b}.png and FOLDER/my mug/c.png."""
    rng = np.random.default_rng(0)
    for name in ("Rex/a", "Rex/b", "my mug/c"):
        path = tmp_path / "own" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(rng.integers(0, 256, (40, 60, 3), np.uint8)).save(path)
    return tmp_path / "own"


def test_a_folder_of_examples_is_names_and_pictures(folder: Path) -> None:
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "Rex" / ".hidden").write_bytes(b"x")
    found = find_examples(folder)
    assert {name: [path.name for path in paths] for name, paths in found.items()} == {
        "Rex": ["a.png", "b.png"],
        "my mug": ["c.png"],
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda top: (top / "loose.png").touch(), "loose.png: put it into a folder"),
        (lambda top: (top / "empty").mkdir(), "empty: has no picture"),
        (lambda top: (top / "Rex" / "more").mkdir(), "more: is a folder"),
        (lambda top: (top / "--").mkdir(), "use words"),
        (lambda top: (top / "my mug ").mkdir(), "two folders for 'my mug'"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said(folder: Path, change, said: str) -> None:
    change(folder)
    with pytest.raises(UsageError, match=said):
        find_examples(folder)


def test_no_folder_and_no_folders(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be read as a folder"):
        find_examples(tmp_path / "none")
    with pytest.raises(UsageError, match="has no folders"):
        find_examples(tmp_path)


def test_a_cut_out_is_its_opaque_part(tmp_path: Path) -> None:
    pixels = np.full((10, 20, 4), 200, np.uint8)
    pixels[:, :15, 3] = 0
    PIL.Image.fromarray(pixels).save(tmp_path / "cut.png")
    _, mask = open_example(tmp_path / "cut.png")
    assert mask is not None and mask[:, 15:].all() and not mask[:, :15].any()
    pixels[..., 3] = 255
    PIL.Image.fromarray(pixels).save(tmp_path / "whole.png")
    assert open_example(tmp_path / "whole.png")[1] is None
    pixels[..., 3] = 0
    PIL.Image.fromarray(pixels).save(tmp_path / "nothing.png")
    with pytest.raises(UsageError, match="transparent everywhere"):
        open_example(tmp_path / "nothing.png")
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(UsageError, match=r"notes.txt.*must be pictures"):
        open_example(tmp_path / "notes.txt")


def test_the_central_segment() -> None:
    label_map = np.zeros((9, 9), int)
    label_map[3:6, 3:6] = 1
    assert central(label_map) == 0  # it fills most of the middle, though not its very centre
    label_map[2:7, 2:7] = 1
    assert central(label_map) == 1


def test_the_whole_picture_may_be_opaque() -> None:
    labeler = Labeler(load_recipe("tiny"), device="cpu", offline=True)
    image = from_array(np.random.default_rng(1).integers(0, 256, (30, 30, 3), np.uint8))
    half = np.zeros((30, 30), bool)
    half[:, :15] = True
    whole, left = (
        embed_example(image, mask, labeler.segmenter, labeler.embedder)
        for mask in (np.ones((30, 30), bool), half)
    )
    assert whole.norm() == pytest.approx(1) and not torch.allclose(whole, left, atol=1e-3)


def test_a_name_that_the_list_cannot_say_is_known_by_its_example() -> None:
    """Rex looks half like a dog and half like a wolf; the word itself means nothing."""
    rex, nobody = towards(0, 1, 1, 0, 0), towards(0, 0, 0, 0, 1)
    phrases = Unit(["cat", "dog", "wolf"], 5).with_names(["Rex"], nobody[None])
    own = OwnNames(phrases, Examples(("Rex",), (rex[None],)))
    asked = torch.stack([rex, towards(0, 1, 0.9, 0.1, 0), towards(1, 0, 0, 0, 0)])
    before, after = phrases.posterior(asked), own.posterior(asked)
    assert after.sum(1).tolist() == pytest.approx([1, 1, 1])
    place = own.phrases.index("Rex")
    assert after[:2].argmax(1).tolist() == [place, place]
    assert (before[:2, place] < 0.05).all()
    assert after[2].argmax() == 0  # a cat is still one
    assert after[2, place] < 0.1


def test_names_of_the_list_are_not_added_twice() -> None:
    phrases = Unit(["cat", "dog"], 3)
    longer = phrases.with_names(["dog", "yak"], torch.eye(3)[1:])
    assert longer.phrases == ("cat", "dog", "yak") and phrases.phrases == ("cat", "dog")
    assert longer.log_prior.exp().tolist() == pytest.approx([1 / 3] * 3)


def test_examples_name_a_scene_of_the_playroom(folder: Path, tmp_path: Path) -> None:
    """What is shown as Rex is called so, in the picture that it was cut out of."""
    scene = PHOTO.parent / "playroom.png"
    recipe = load_recipe("tiny", TINY)
    labeling = Labeler(recipe, device="cpu", offline=True).label(scene)
    (folder / "own" / "Rex").mkdir(parents=True)
    thing = labeling.segments[1]
    labeling.crop(thing.id).save(folder / "own" / "Rex" / "a.png")
    shown = load_recipe("tiny", [*TINY, f'decoder.examples="{folder / "own"}"'])
    named = Labeler(shown, device="cpu", offline=True).name_masks(
        scene, [labeling.mask(s.id) for s in labeling.segments]
    )
    assert "Rex" in (named[1].label, *(name for name, _ in named[1].alternatives))


def test_examples_need_a_list() -> None:
    with pytest.raises(UsageError, match=r"decoder.examples is for the method phrases"):
        load_recipe("tiny", ["decoder.examples=own"])


# Classes.


@pytest.mark.parametrize(
    ("name", "text", "classes"),
    [
        ("a.txt", "car\n\n# cars\nbig  dog\n", {1: "car", 2: "big dog"}),
        ("data.yaml", "nc: 2\nnames: [car, dog]\n", {0: "car", 1: "dog"}),
        ("data.yml", "names:\n  3: car\n  1: dog\n", {1: "dog", 3: "car"}),
        ("c.json", '{"categories": [{"id": 90, "name": "car"}]}', {90: "car"}),
    ],
)
def test_files_of_classes(tmp_path: Path, name: str, text: str, classes: dict[int, str]) -> None:
    (tmp_path / name).write_text(text)
    found = read_classes(tmp_path / name)
    assert found == classes and list(found) == sorted(found)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.txt", "# nothing\n", "has no classes"),
        ("a.txt", "car\ndog\ncar\n", "'car' comes 2 times"),
        ("a.txt", "car\n--\n", "name of words"),
        ("a.txt", "ca\x00r\n", "name of words"),
        ("a.yaml", "names: {1: 2001-13-45}\n", 'has no "names"'),
        ("a.yaml", "train: x\n", 'has no "names"'),
        ("a.yaml", "names: [", 'has no "names"'),
        ("a.yaml", "names: {a: car}\n", "'a' is no number"),
        ("a.yaml", "names: [1, 2]\n", "class 0 is called 1"),
        ("a.json", "[]", 'has no "categories"'),
        ("a.json", '{"categories": [{"id": -1, "name": "car"}]}', "-1 is no number"),
        ("a.json", '{"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}', "number 1"),
    ],
)
def test_what_is_wrong_with_classes_is_said(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=said):
        read_classes(tmp_path / name)
    assert main(["label", str(PHOTO), "--preset", "tiny", "--classes", str(tmp_path / name)]) == 2


LIST = ["beagle", "dog", "cat", "rusty car", "sunshine", "wug"]


def classify(classes: dict[int, str], least: float, *weights: float) -> tuple[int, str, float]:
    classifier = Classifier(Unit(LIST, len(LIST)), classes, least=least)
    return tuple(classifier(torch.tensor([weights]))[0])


def test_kinds_count_for_their_class() -> None:
    number, name, probability = classify({7: "dog", 9: "cat"}, 0.2, 1, 1, 0, 0, 0, 0)
    assert (number, name) == (7, "dog") and probability > 0.95  # a beagle is a dog
    assert classify({3: "car"}, 0.2, 0, 0, 0, 1, 0, 0)[:2] == (3, "car")  # by its head noun
    assert classify({3: "wug"}, 0.2, 0, 0, 0, 0, 0, 1)[:2] == (3, "wug")  # by its spelling
    narrow = {1: "dog", 2: "beagle"}
    assert classify(narrow, 0.2, 1, 0, 0, 0, 0, 0)[:2] == (2, "beagle")


def test_what_fits_no_class_is_other() -> None:
    assert classify({7: "dog"}, 0.2, 0, 0, 0, 0, 1, 0)[:2] == (8, "other")
    assert classify({7: "dog", 2: "other"}, 0.2, 0, 0, 0, 0, 1, 0)[:2] == (2, "other")
    assert classify({7: "dog"}, 0.0, 0, 0, 0, 0, 1, 0)[:2] == (7, "dog")
    *_, probability = classify({7: "dog"}, 0.9, 1, 1, 1, 0, 0, 0)
    assert 0.1 < probability < 0.5  # that it is none


def test_an_own_name_without_a_class_counts_for_what_it_looks_like() -> None:
    rex, nobody = towards(0, 1, 0, 0, 0, 0, 0), towards(0, 0, 0, 0, 0, 0, 1)
    phrases = Unit(LIST, 7).with_names(["Rex"], nobody[None])
    own = OwnNames(phrases, Examples(("Rex",), (rex[None],)))
    assert own.posterior(rex[None]).argmax() == own.columns[0]
    (found,) = Classifier(own, {7: "dog"}, least=0.2)(rex[None])
    assert found[:2] == (7, "dog")


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("classes") / "data.yaml"
    path.write_text("names: [lion, grass, tent, sky]\n")
    return path


@pytest.fixture(scope="module")
def runs(classes: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs with the same classes over scenes that have little in common."""
    folder = tmp_path_factory.mktemp("runs")
    scenes = PHOTO.parent.parent / "zeroguide" / "web" / "scenes"
    for name in ("lion", "tent"):
        args = ["label", str(scenes / f"{name}.png"), "--preset", "tiny", "--device", "cpu"]
        assert main([*args, "--classes", str(classes), "-o", str(folder / name)]) == 0
    return [folder / "lion", folder / "tent"]


def test_results_carry_classes_and_free_text(runs: list[Path]) -> None:
    labeling = Labeling.load(runs[0] / "lion.png.json")
    table = {0: "lion", 1: "grass", 2: "tent", 3: "sky", 4: "other"}
    for segment in labeling.segments:
        assert segment.category is not None
        assert table[segment.category.id] == segment.category.name
        assert 0 <= segment.category.probability <= 1
    assert any(s.category and s.category.name == "lion" for s in labeling.segments)
    assert Labeling.from_dict(labeling.to_dict()).segments == labeling.segments
    plain = Labeler(load_recipe("tiny"), device="cpu", offline=True).label(
        PHOTO.parent.parent / "zeroguide" / "web" / "scenes" / "lion.png"
    )
    assert [s.label for s in plain.segments] == [s.label for s in labeling.segments]


def test_exports_carry_the_numbers_of_the_file(runs: list[Path], tmp_path: Path) -> None:
    for place, given in (("one", runs[:1]), ("other", runs[1:]), ("both", runs)):
        args = ["export", *map(str, given), "--format", "coco,yolo", "-o", str(tmp_path / place)]
        assert main(args) == 0
        document = json.loads((tmp_path / place / "coco" / "instances.json").read_text())
        assert [(c["id"], c["name"]) for c in document["categories"]] == [
            (0, "lion"), (1, "grass"), (2, "tent"), (3, "sky"), (4, "other"),
        ]  # fmt: skip
        yaml = (tmp_path / place / "yolo" / "data.yaml").read_text()
        assert '  0: "lion"\n  1: "grass"\n  2: "tent"\n  3: "sky"\n  4: "other"\n' in yaml


def test_export_chooses_by_class(runs: list[Path], tmp_path: Path) -> None:
    args = ["export", str(runs[0]), "--format", "coco", "-o", str(tmp_path)]
    assert main([*args, "--where", 'category == "lion"']) == 0
    document = json.loads((tmp_path / "coco" / "instances.json").read_text())
    assert {a["category_id"] for a in document["annotations"]} == {0}
    assert len(document["categories"]) == 5


def test_runs_of_other_classes_are_not_mixed(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = PHOTO.parent.parent / "zeroguide" / "web" / "scenes" / "owl.png"
    plain = tmp_path / "plain"
    assert main(["label", str(scene), "--preset", "tiny", "--device", "cpu", "-o", str(plain)]) == 0
    args = ["export", str(runs[0]), str(plain), "--format", "coco", "-o", str(tmp_path / "out")]
    assert main(args) == 2
    assert "other classes" in capsys.readouterr().err


def test_a_run_with_classes_is_not_continued_without(
    runs: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    scene = PHOTO.parent.parent / "zeroguide" / "web" / "scenes" / "owl.png"
    args = ["label", str(scene), "--preset", "tiny", "--device", "cpu", "-o", str(runs[0])]
    assert main(args) == 2
    assert "classes.names" in capsys.readouterr().err


def test_a_run_with_classes_is_searched(runs: list[Path]) -> None:
    assert main(["search", str(runs[0]), "lion", "--device", "cpu"]) == 0


def test_all_formats_refuse_a_mixture(runs: list[Path], tmp_path: Path) -> None:
    """Those with numbers, and those that hold names only."""
    scene = PHOTO.parent.parent / "zeroguide" / "web" / "scenes" / "tent.png"
    plain = tmp_path / "plain"
    assert main(["label", str(scene), "--preset", "tiny", "--device", "cpu", "-o", str(plain)]) == 0
    for name in FORMATS:
        if name != "json":
            args = ["export", str(runs[0]), str(plain), "--format", name, "-o", str(tmp_path)]
            assert main(args) == 2, name


def test_one_picture_is_exported_like_its_run(runs: list[Path], tmp_path: Path) -> None:
    assert main(["export", str(runs[0]), "--format", "coco", "-o", str(tmp_path)]) == 0
    document = json.loads((tmp_path / "coco" / "instances.json").read_text())
    alone = Labeling.load(runs[0] / "lion.png.json").to_coco()
    assert alone["categories"] == document["categories"]
    assert [a["category_id"] for a in alone["annotations"]] == [
        a["category_id"] for a in document["annotations"]
    ]


def test_classes_are_a_knob() -> None:
    recipe = load_recipe("tiny", ['classes.names=[[3, "car"], [7, "dog"]]'])
    assert recipe == load_recipe("tiny").with_classes({3: "car", 7: "dog"})
    assert isinstance(hash(recipe), int)
    with pytest.raises(UsageError, match="'car' comes 2 times"):
        load_recipe("tiny").with_classes({1: "car", 2: "car"})
    with pytest.raises(UsageError, match="'car' comes 2 times"):
        load_recipe("tiny", ['classes.names=[[1, "car"], [2, "car"]]'])


def test_examples_are_known_by_what_they_hold(folder: Path, tmp_path: Path) -> None:
    def made(place: Path) -> str:
        recipe = load_recipe("tiny", [*TINY, f'decoder.examples="{place}"'])
        return provenance(recipe)["settings"]["decoder"]["examples"]

    first = made(folder)
    moved = tmp_path / "moved"
    shutil.copytree(folder, moved)
    assert made(moved) == first and str(tmp_path) not in first
    (moved / "Rex").rename(moved / "Max")
    renamed = made(moved)
    shutil.copy(moved / "my mug" / "c.png", moved / "Max" / "a.png")
    assert len({first, renamed, made(moved)}) == 3


def test_examples_are_read_like_the_photos(tmp_path: Path) -> None:
    grey = np.full((8, 8), 1000, np.uint16)
    grey[0, 0] = 0
    PIL.Image.fromarray(grey).save(tmp_path / "deep.png")
    own, _ = open_example(tmp_path / "deep.png")
    same, _ = open_example(tmp_path / "deep.png", (0, 65535))
    assert own.pixels.max() == 255 and same.pixels.max() == 4


def test_a_class_with_examples_is_in_the_list_once(folder: Path) -> None:
    recipe = load_recipe("tiny", [*TINY, f'decoder.examples="{folder}"'])
    labeler = Labeler(recipe.with_classes({1: "Rex"}), device="cpu", offline=True)
    assert isinstance(labeler.decode, PhrasesDecoder)
    assert labeler.decode.list.phrases.count("Rex") == 1
