"""The networks behind the page, with the models that come with the package."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.image import Image, open_image
from zeroguide.labeler import Labeler, NamedSegment, Watcher
from zeroguide.recipe import load_recipe
from zeroguide.result.rle import decode
from zeroguide.runs.masks.sent import read_masks
from zeroguide.web.editing import Editor
from zeroguide.web.examples import SCENES
from zeroguide.web.naming import Namer
from zeroguide.web.uploads import MAX_PIXELS
from zeroguide.web.view import drawn_masks, names_of_masks

BUS = Path(__file__).parents[2] / "examples" / "bus.jpg"


class FirstNames(Watcher):
    """Keeps the over-segments as they are first named."""

    def __init__(self) -> None:
        self.first: list[NamedSegment] = []

    def named(self, segments: list[NamedSegment]) -> None:
        self.first = self.first or segments


@pytest.fixture(scope="module")
def labeler() -> Labeler:
    return Labeler(load_recipe("tiny"), device="cpu", offline=True)


@pytest.fixture(scope="module")
def photographer() -> Labeler:
    return Labeler(load_recipe("photo"), device="cpu", offline=True)


@pytest.fixture(scope="module")
def image() -> Image:
    return open_image(SCENES / "tent.png")


@pytest.fixture()
def editor(labeler: Labeler, image: Image) -> Editor:
    return Namer(labeler).open(image)


def test_at_first_it_is_what_the_labeler_says(
    labeler: Labeler, image: Image, editor: Editor
) -> None:
    expected, found = labeler.label(image), editor.labeling()
    assert np.array_equal(found.label_map, expected.label_map)
    assert found.recipe == expected.recipe
    for ours, theirs in zip(found.segments, expected.segments, strict=True):
        assert (ours.label, ours.alternatives) == (theirs.label, theirs.alternatives)
        assert (ours.score, ours.merged_from) == (theirs.score, theirs.merged_from)
        assert ours.confidence == pytest.approx(theirs.confidence, abs=1e-5)
    assert expected.embeddings is not None and found.embeddings is not None
    assert np.abs(found.embeddings - expected.embeddings).max() < 1e-3
    assert len(found.segments) < editor.n_parts  # or nothing was merged


def test_merging_anew_asks_no_network(
    labeler: Labeler, editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a network was run")

    monkeypatch.setattr(labeler.embedder, "embed", never)
    monkeypatch.setattr(labeler, "decode", never)
    monkeypatch.setattr(labeler.texts, "embed", never)
    first = editor.labeling()
    numbers = []
    for threshold in (0.0, 0.5, 0.75, 0.9, 1.01):
        editor.set_threshold(threshold)
        numbers.append(len(editor.labeling().segments))
    assert numbers[0] == 1 and numbers[-1] == editor.n_parts
    assert numbers == sorted(numbers)
    editor.set_threshold(0.75)
    assert editor.labeling().segments == first.segments


def test_estimated_confidence_is_the_labelers(labeler: Labeler, editor: Editor) -> None:
    import torch

    for segment in editor.over_segments():
        (expected,) = labeler.confidence(torch.from_numpy(segment.embedding)[None], [segment.label])
        vector = segment.embedding / np.linalg.norm(segment.embedding)
        ours = editor._namings.texts.confidence(vector, segment.label)
        assert ours == pytest.approx(expected, abs=1e-5)


def test_name_again_gives_what_the_networks_see(labeler: Labeler, image: Image) -> None:
    namer = Namer(labeler)
    editor = namer.open(image)
    first, second = (segment.parts for segment in editor.segments[:2])
    editor.join([first[0], second[0]])
    estimate = editor.segment_of(first[0])
    assert estimate.source == "estimate"
    namer.name_again(editor, first[0])
    named = editor.segment_of(first[0])
    assert (named.source, named.parts) == ("network", tuple(sorted(first + second)))
    assert not np.array_equal(named.embedding, estimate.embedding)
    # All names that came with it can be merged by and estimated from.
    editor.set_threshold(0.0)
    editor.join([named.parts[0], next(i for i in range(editor.n_parts) if i not in named.parts)])
    assert len(editor.segments) == 1


def test_stages_are_told_in_order(labeler: Labeler, image: Image) -> None:
    told: list[str] = []
    Namer(labeler).open(image, told.append)
    assert told[:4] == ["segments", "embeddings", "names", "merging"]
    assert set(told) == {"segments", "embeddings", "names", "merging"}
    assert told[-1] == "merging"


def test_another_certainty_is_what_the_decoder_says(
    photographer: Labeler, monkeypatch: pytest.MonkeyPatch
) -> None:
    namer = Namer(photographer)
    assert namer.certainty == 0.3
    bus = open_image(BUS)
    editor = namer.open(bus)
    first = editor.labeling()
    expected = Labeler(load_recipe("photo", ["decoder.certainty=0.9"]), device="cpu", offline=True)
    (merged,) = expected.describe([bus], listener := FirstNames())
    monkeypatch.setattr(photographer.embedder, "embed", None)  # no image network
    before = [s.label for s in editor.over_segments()]
    namer.set_certainty(editor, 0.9)
    told = [s.label for s in editor.over_segments()]
    assert told == [s.labels[0].text for s in listener.first] and told != before
    assert len(merged) == len(editor.segments)  # merged by the new names, too
    assert editor.labeling().recipe["edits"]["certainty"] == 0.9
    editor.rename(0, "mine")
    namer.set_certainty(editor, 0.1)
    assert editor.segment_of(0).label == "mine"
    editor.undo()
    namer.set_certainty(editor, 0.3)
    again = editor.labeling()
    assert again.segments == first.segments and again.recipe == first.recipe


def test_what_is_named_again_is_as_certain_as_the_rest(photographer: Labeler) -> None:
    namer = Namer(photographer)
    editor = namer.open(open_image(BUS))
    editor.set_threshold(1.01)
    namer.set_certainty(editor, 0.95)
    editor.join([0, 1])
    namer.name_again(editor, 0)
    sure = editor.segment_of(0)
    assert sure.source == "network"
    namer.set_certainty(editor, 0.3)
    plain = editor.segment_of(0)
    assert plain.parts == sure.parts and plain.source == "network"
    assert np.array_equal(plain.embedding, sure.embedding)


def test_a_decoder_without_certainty_says_so(labeler: Labeler, editor: Editor) -> None:
    assert Namer(labeler).certainty is None and editor.recipe_certainty is None
    with pytest.raises(UsageError, match="has no certainty"):
        Namer(labeler).set_certainty(editor, 0.5)


def test_the_mask_darkens_what_it_hides(photographer: Labeler) -> None:
    from zeroguide.clip import Region, SegmentedImage
    from zeroguide.web.masking import DARK, HIDDEN, seen

    bus = open_image(BUS)
    half = np.zeros(bus.pixels.shape[:2], np.int32)
    half[:, half.shape[1] // 2 :] = 1  # the border lies between two patches
    shown = seen(photographer.embedder, Region(SegmentedImage(bus.pixels, half), (0,)))
    assert np.array_equal(shown[half == 0], bus.pixels[half == 0])
    hidden = HIDDEN * bus.pixels[half == 1] + (1 - HIDDEN) * DARK
    assert np.abs(shown[half == 1] - hidden).max() <= 0.5 + 1e-4
    assert shown[half == 1].max() < 60


def test_a_look_says_what_is_said_without_a_mask(photographer: Labeler) -> None:
    namer = Namer(photographer)
    editor = namer.open(open_image(BUS))
    found = namer.look(editor, tuple(range(editor.n_parts)))
    assert found.before.labels == found.after.labels  # the mask hides nothing
    assert np.array_equal(found.pixels, editor.image.pixels)
    part = namer.look(editor, (0,))
    assert part.before.labels == found.before.labels
    assert part.after.labels[0][0] == editor.over_segments()[0].label
    namer.set_certainty(editor, 0.95)
    assert namer.look(editor, (0,)).after.labels[0][0] == editor.over_segments()[0].label


# Masks of another tool


LABELME = {
    "imageWidth": 640,
    "imageHeight": 427,
    "shapes": [
        {"label": "", "points": [[0, 0], [639, 0], [639, 120], [0, 180]], "shape_type": "polygon"},
        {"label": "", "points": [[105, 110], [575, 290]], "shape_type": "rectangle"},
        {"label": "", "points": [[270, 245], [325, 300]], "shape_type": "rectangle"},
    ],
}


def masks_file(**changes: object) -> bytes:
    return json.dumps(LABELME | changes).encode()


def test_masks_are_named_as_the_command_does(photographer: Labeler) -> None:
    namer, bus = Namer(photographer), open_image(BUS)
    masks = read_masks(masks_file(), "bus.json", bus, max_pixels=MAX_PIXELS)
    named = namer.name_masks(bus, "bus.json", masks)
    expected = photographer.name_masks(bus, [decode(mask.code) for mask in masks])
    assert named.segments() == expected
    told = named.to_dict()
    assert told["schema"] == "zeroguide-names/1" and len(told["masks"]) == 3
    assert "edits" not in told["recipe"] and named.order() == [0, 1, 2]
    shown = drawn_masks(named)
    assert [one["id"] for one in shown] == [1, 2, 3] and all(one["path"] for one in shown)
    assert [one["label"] for one in shown] == [one["label"] for one in names_of_masks(named)]
    assert shown[2]["share"] < shown[1]["share"] < shown[0]["share"]
    finer = namer.with_certainty(named, 0.05)
    assert finer.to_dict()["recipe"]["edits"] == {"certainty": 0.05}
    assert finer.segments() != expected
    assert namer.with_certainty(finer, 0.3).to_dict() == told


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (b"x", "notes.md", r"notes\.md: the name of a file of masks ends in one of"),
        (b"{", "bad.json", r"bad\.json: can't be read as JSON"),
        (masks_file(imageWidth=9), "a.json", r"a\.json: its masks are for 9 x 427 pixels, but"),
        (b'{"images": [], "annotations": []}', "c.json", r"c\.json: has masks of none of the im"),
        (b"0 0.5 0.5 0.1 0.1", "b.txt", r"b\.txt: line 1 is a box, not a polygon"),
        (b"\x89PNG", "map.png", r"map\.png: "),
    ],
)
def test_masks_that_cannot_be_read(content: bytes, name: str, words: str) -> None:
    with pytest.raises(ZeroguideError, match="^" + words) as caught:
        read_masks(content, name, open_image(BUS), max_pixels=MAX_PIXELS)
    assert "/tmp" not in str(caught.value) and "\n" not in str(caught.value)
