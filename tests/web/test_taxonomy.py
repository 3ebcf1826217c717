"""The labels of a run as the page lists and changes them, without a browser."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from fake_labeler import FakeLabeler

from zeroguide.errors import UsageError
from zeroguide.recipe import load_recipe
from zeroguide.result import Labeling
from zeroguide.result.provenance import provenance
from zeroguide.runs.layout import result_path
from zeroguide.runs.run_folder import Manifest
from zeroguide.web.taxonomy import EXAMPLES, MOST_SHOWN, Taxonomy

TREE, SKY = "tall tree", "blue sky"  # what the stand-in writes on every image


def make_run(folder: Path, n: int = 5) -> Path:
    """A run of n images of noise, each with a tree and a sky."""
    photos, run = folder / "photos", folder / "holidays"
    photos.mkdir()
    run.mkdir()
    recipe = load_recipe("tiny")
    for i in range(n):
        pixels = np.random.default_rng(i).integers(0, 256, (30, 45, 3), np.uint8)
        PIL.Image.fromarray(pixels).save(photos / f"{i}.png")
        FakeLabeler(recipe).label(photos / f"{i}.png").save(result_path(run, f"{i}.png"))
    Manifest(provenance(recipe), [str(photos)]).write(run)
    return run


@pytest.fixture()
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path)


def content(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.iterdir()}


def test_labels_are_listed_with_examples(run: Path) -> None:
    taxonomy = Taxonomy(run)
    told = taxonomy.labels()
    assert told == {
        "run": "holidays",
        "images": 5,
        "labels": [[SKY, 5, 5], [TREE, 5, 5]],
        "undo": False,
    }
    shown = taxonomy.examples([TREE, "nobody says this"])
    assert set(shown) == {TREE} and len(shown[TREE]) == EXAMPLES
    head, data = shown[TREE][0].split(",")
    with PIL.Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert head == "data:image/jpeg;base64" and picture.size == (160, 120)
    with pytest.raises(UsageError, match=f"at most {MOST_SHOWN} at once"):
        taxonomy.examples([TREE] * (MOST_SHOWN + 1))


def test_examples_of_photos_that_are_gone_are_left_out(run: Path) -> None:
    for photo in (run.parent / "photos").iterdir():
        photo.unlink()
    assert Taxonomy(run).examples([TREE, SKY]) == {TREE: [], SKY: []}


def test_labels_are_renamed_joined_and_taken_back_to_the_byte(run: Path) -> None:
    taxonomy = Taxonomy(run)
    first = content(run)
    assert taxonomy.rename([TREE], "  old\n oak ") == (
        "tall tree is old oak now: 5 segments of 5 images."
    )
    second = content(run)
    assert taxonomy.rename(["old oak", SKY], "thing") == (
        "2 labels are thing now: 10 segments of 5 images."
    )
    told = taxonomy.labels()
    assert told["labels"] == [["thing", 10, 5]] and told["undo"]
    labeling = Labeling.load(result_path(run, "0.png"))
    assert [(s.label, s.original) for s in labeling.segments] == [("thing", SKY), ("thing", TREE)]
    assert len(taxonomy.examples(["thing"])["thing"]) == EXAMPLES
    assert taxonomy.undo() == "Taken back: 10 segments of 5 images."
    assert content(run) == second
    taxonomy.undo()
    assert content(run) == first and not taxonomy.labels()["undo"]
    with pytest.raises(UsageError, match="nothing to take back"):
        taxonomy.undo()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ([TREE], " \n", "at least one character"),
        ([TREE], "x" * 81, "81 characters"),
        ([TREE], TREE, "choose a label and another name"),
        ([], "thing", "choose a label and another name"),
        (["nobody says this"], "thing", "has none of the labels to rename"),
    ],
)
def test_what_cannot_be_renamed(run: Path, old: list[str], new: str, words: str) -> None:
    before = content(run)
    taxonomy = Taxonomy(run)
    with pytest.raises(UsageError, match=words):
        taxonomy.rename(old, new)
    assert content(run) == before and not taxonomy.labels()["undo"]


def test_others_may_change_the_run_meanwhile(run: Path) -> None:
    mine, theirs = Taxonomy(run), Taxonomy(run)
    theirs.rename([TREE], "oak")
    assert [label for label, *_ in mine.labels()["labels"]] == [SKY, "oak"]
    with pytest.raises(UsageError, match="has none of the labels"):
        mine.rename([TREE], "elm")


def test_a_folder_without_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no labels"):
        Taxonomy(tmp_path)
