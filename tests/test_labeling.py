from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from zeroguide.errors import UsageError
from zeroguide.result import Label, Labeling, Segment
from zeroguide.result.segment import regions

RECIPE = {"name": "test", "versions": {"zeroguide": "0"}, "seed": 3}
# The largest region is not the first; column-major order starts in it.
MAP = np.array([[1, 1, 1, 0], [2, 1, 1, 0], [2, 2, 1, 0]])
LABELS = [
    Label("ölpumpe", 0.25, 0.5, [], [1]),
    Label("sky", 0.5, 0.75, [("cloud", 0.4)], [0, 4]),
    Label("dog", -0.125, 0.0, [("cat", -0.5), ("cow", -1.0)], [2, 3]),
]


def picture(height: int, width: int) -> SimpleNamespace:
    pixels = np.zeros((height, width, 3), np.uint8)
    return SimpleNamespace(file_name="a/b.jpg", sha256="ab" * 32, pixels=pixels)


@pytest.fixture
def labeling() -> Labeling:
    return Labeling.build(picture(3, 4), MAP, LABELS, RECIPE)


def test_build_numbers_by_area_and_measures(labeling: Labeling) -> None:
    assert labeling.label_map.tolist() == [[1, 1, 1, 2], [3, 1, 1, 2], [3, 3, 1, 2]]
    assert labeling.label_map.dtype == np.int32
    assert labeling.segments == (
        Segment(1, "sky", 0.5, 0.75, (("cloud", 0.4),), (0, 4), (0, 0, 3, 3), 6),
        Segment(2, "ölpumpe", 0.25, 0.5, (), (1,), (3, 0, 1, 3), 3),  # equal area: order kept
        Segment(3, "dog", -0.125, 0.0, (("cat", -0.5), ("cow", -1.0)), (2, 3), (0, 1, 2, 2), 3),
    )
    assert (labeling.width, labeling.height) == (4, 3)
    assert labeling.mask(3).tolist() == (MAP == 2).tolist()
    assert sum(labeling.mask(s.id).sum() for s in labeling.segments) == MAP.size


def test_mask_of_unknown_id(labeling: Labeling) -> None:
    for id in (0, 4, -1):
        with pytest.raises(UsageError, match="ids are 1 to 3"):
            labeling.mask(id)


def test_label_map_is_a_read_only_copy() -> None:
    given = np.ones((2, 2), np.int32)
    segment = Segment(1, "x", 0.0, 0.5, (), (), (0, 0, 2, 2), 4)
    labeling = Labeling("x.png", "", given, (segment,), {})
    given[0, 0] = 9
    assert (labeling.label_map == 1).all()
    with pytest.raises(ValueError, match="read-only"):
        labeling.label_map[0, 0] = 2


@pytest.mark.parametrize(
    ("label_map", "message"),
    [
        (np.array([[1, 1], [2, 0]]), r"expected ids 1\.\.2, got 0\.\.2"),  # pixel without segment
        (np.array([[1, 1], [2, 3]]), r"expected ids 1\.\.2, got 1\.\.3"),
        (np.array([[1, 1], [1, 1]]), "segment 2 has no pixel|segment 1: bbox"),
        (np.array([[1, 2], [1, 2]]), "segment 1: bbox .* do not match"),
        (
            np.array([[1.0, 1.0], [2.0, 2.0]]),
            r"\(H, W\) integer array, got shape \(2, 2\) of float",
        ),
        (np.array([1, 1, 2, 2]), r"\(H, W\) integer array, got shape \(4,\)"),
        (np.zeros((0, 3), int), "non-empty"),
    ],
)
def test_segments_must_be_the_regions(label_map: np.ndarray, message: str) -> None:
    top = Segment(1, "a", 0.0, 0.5, (), (), (0, 0, 2, 1), 2)
    bottom = Segment(2, "b", 0.0, 0.5, (), (), (0, 1, 2, 1), 2)
    Labeling("x", "", np.array([[1, 1], [2, 2]]), (top, bottom), {})  # this one is right
    with pytest.raises(ValueError, match=message):
        Labeling("x", "", label_map, (top, bottom), {})


def test_ids_areas_and_scores_are_checked(labeling: Labeling) -> None:
    def with_first(**changes: object) -> tuple[Segment, ...]:
        return (replace(labeling.segments[0], **changes), *labeling.segments[1:])  # type: ignore[arg-type]

    for segments, message in [
        (labeling.segments[::-1], r"must be 1\.\.3 in order"),
        (with_first(id=2), r"must be 1\.\.3 in order"),
        (with_first(area=7), "segment 1: bbox"),
        (with_first(bbox=(0, 0, 3, 2)), "segment 1: bbox"),
        (with_first(score=float("nan")), "segment 1: scores must be finite"),
        (with_first(alternatives=(("a", float("inf")), ("a", 1.0))), "scores must be finite"),
    ]:
        with pytest.raises(ValueError, match=message):
            replace(labeling, segments=segments)


def test_build_checks_what_it_gets() -> None:
    with pytest.raises(ValueError, match=r"shape \(3, 4\) for a picture of shape \(4, 3, 3\)"):
        Labeling.build(picture(4, 3), MAP, LABELS, RECIPE)
    with pytest.raises(ValueError, match=r"integers 0\.\.1"):
        Labeling.build(picture(3, 4), MAP, LABELS[:2], RECIPE)
    with pytest.raises(ValueError, match="segment 4 has no pixel"):
        Labeling.build(picture(3, 4), MAP, [*LABELS, LABELS[0]], RECIPE)


def test_schema(labeling: Labeling) -> None:
    d = labeling.to_dict()
    assert list(d) == ["schema", "image", "recipe", "segments"]
    assert d["schema"] == "zeroguide/1"
    assert d["image"] == {"file_name": "a/b.jpg", "width": 4, "height": 3, "sha256": "ab" * 32}
    assert d["recipe"] == RECIPE
    entry = dict(d["segments"][2])
    assert entry.pop("segmentation")["size"] == [3, 4]
    assert entry == {
        "id": 3,
        "label": "dog",
        "score": -0.125,
        "confidence": 0.0,
        "alternatives": [["cat", -0.5], ["cow", -1.0]],
        "merged_from": [2, 3],
        "bbox": [0, 1, 2, 2],
        "area": 3,
        "composed": False,
    }


def runs(counts: str) -> list[int]:
    """COCO's compressed counts spelled out, independently of pycocotools (cocoapi, maskApi.c)."""
    numbers: list[int] = []
    at = 0
    while at < len(counts):
        value, shift = 0, 0
        while True:
            c = ord(counts[at]) - 48
            at += 1
            value |= (c & 0x1F) << shift
            shift += 5
            if not c & 0x20:
                if c & 0x10:
                    value -= 1 << shift
                break
        numbers.append(value + (numbers[-2] if len(numbers) > 2 else 0))
    return numbers


def test_rle_is_column_major_and_starts_with_zeros(labeling: Labeling) -> None:
    entries = labeling.to_dict()["segments"]
    for entry in entries:
        decoded = coco_mask.decode(entry["segmentation"])
        assert np.array_equal(decoded, labeling.mask(entry["id"]))
        assert coco_mask.area(entry["segmentation"]) == entry["area"]
        assert coco_mask.toBbox(entry["segmentation"]).tolist() == entry["bbox"]
        flat = np.repeat(np.arange(len(r := runs(entry["segmentation"]["counts"]))) % 2, r)
        assert np.array_equal(flat.reshape(4, 3).T, labeling.mask(entry["id"]))
    assert runs(entries[0]["segmentation"]["counts"]) == [0, 1, 2, 2, 1, 3, 3]  # pixel 0 is its own
    assert runs(entries[2]["segmentation"]["counts"]) == [1, 2, 2, 1, 6]


def test_dict_round_trip(labeling: Labeling) -> None:
    again = Labeling.from_dict(labeling.to_dict())
    assert again.segments == labeling.segments
    assert np.array_equal(again.label_map, labeling.label_map)
    assert again.to_dict() == labeling.to_dict()


def test_from_dict_refuses_what_is_not_a_partition(labeling: Labeling) -> None:
    def broken(change: object) -> dict:
        d = labeling.to_dict()
        change(d)  # type: ignore[operator]
        return d

    def copy_mask(d: dict) -> None:
        d["segments"][1]["segmentation"] = d["segments"][0]["segmentation"]

    for change, message in [
        (copy_mask, "segment 2 overlaps another"),
        (lambda d: d["segments"].pop(), "expected ids 1..2, got 0..2"),
        (lambda d: d["segments"][0].pop("area"), "the field 'area' is missing"),
        (lambda d: d.pop("image"), "the field 'image' is missing"),
        (lambda d: d.update(schema="zeroguide/9"), "expected schema 'zeroguide/1'"),
        (lambda d: d["image"].update(width=5), "mask of segment 1 is 4 x 3 pixels, not 5 x 3"),
        (
            lambda d: d["segments"][1]["segmentation"].update(counts=[2, 1]),
            "mask of segment 2 covers 3 of 12 pixels",
        ),
        (lambda d: d["image"].update(width=10**9), "a picture of 1000000000 x 3 pixels"),
        (lambda d: d["image"].update(width="4"), "a picture of '4' x 3 pixels"),
        (lambda d: d["segments"][0].update(bbox=None), "wrong type"),
    ]:
        with pytest.raises(ValueError, match=message):
            Labeling.from_dict(broken(change))
    with pytest.raises(ValueError, match="expected schema"):
        Labeling.from_dict([])  # type: ignore[arg-type]


numbers = st.integers() | st.integers(-2, 30) | st.floats() | st.booleans() | st.none()
values = numbers | st.text(max_size=9) | st.lists(numbers, max_size=5) | st.just({})


@given(st.data())
def test_from_dict_of_damaged_results(data: st.DataObject) -> None:
    """Whatever stands in a field: the result of before, or a ValueError."""
    d = Labeling.build(picture(3, 4), MAP, LABELS, RECIPE).to_dict()
    segment = d["segments"][data.draw(st.integers(0, 2))]
    place = data.draw(st.sampled_from([d["image"], segment, segment["segmentation"]]))
    field = data.draw(st.sampled_from(sorted(place.keys() - {"file_name", "sha256"})))
    place[field] = data.draw(values)
    try:
        found = Labeling.from_dict(d)
    except ValueError:
        return
    assert found.label_map.tolist() == [[1, 1, 1, 2], [3, 1, 1, 2], [3, 3, 1, 2]]


def test_regions_agree_with_a_plain_loop() -> None:
    label_map = np.random.default_rng(0).integers(1, 30, (17, 23))
    found = regions(label_map, 29)
    for id, (bbox, area) in enumerate(found, start=1):
        rows, columns = np.nonzero(label_map == id)
        x, y = columns.min(), rows.min()
        assert bbox == (x, y, columns.max() - x + 1, rows.max() - y + 1)
        assert area == len(rows)
