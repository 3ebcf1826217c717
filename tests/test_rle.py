"""Run-length codes from files: the mask that was written, or one sentence; never pycocotools' own.

pycocotools reads memory that nobody wrote, or never ends, when counts don't fill the picture.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from zeroguide.result.rle import (
    checked,
    decode,
    enclose_nothing,
    from_polygons,
    of_ids,
    outline,
    whole,
)

SIZE = (6, 8)
MASK = np.zeros(SIZE, bool)
MASK[1:4, 2:7] = True
TEXT = coco_mask.encode(np.asfortranarray(MASK.view(np.uint8)))["counts"]


def counts_of(mask: np.ndarray) -> list[int]:
    """COCO's counts, run by run: slow and plain."""
    counts, inside = [0], False
    for pixel in mask.ravel(order="F").tolist():
        if pixel != inside:
            counts.append(0)
            inside = pixel
        counts[-1] += 1
    return counts


@pytest.mark.parametrize(
    "counts", [TEXT, TEXT.decode(), counts_of(MASK), [float(c) for c in counts_of(MASK)]]
)
@pytest.mark.parametrize("size", [[6, 8], (6.0, 8)])
def test_all_spellings_of_a_mask(counts: object, size: object) -> None:
    assert np.array_equal(decode(checked({"size": size, "counts": counts}, SIZE)), MASK)


masks = st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32)).map(
    lambda t: np.random.default_rng(t[2]).random(t[:2]) < (t[2] % 11) / 10
)


@given(masks)
def test_the_mask_that_was_written(mask: np.ndarray) -> None:
    code = coco_mask.encode(np.asfortranarray(mask.view(np.uint8)))
    assert checked(code, mask.shape) == code
    plain = {"size": list(mask.shape), "counts": counts_of(mask)}
    assert checked(plain, mask.shape) == code


@given(masks, st.data())
def test_empty_runs_change_nothing(mask: np.ndarray, data: st.DataObject) -> None:
    """pycocotools takes two masks that both have one in a place to end there: IoU 0 for equals."""
    counts = counts_of(mask)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(counts) - 1))
        cut = data.draw(st.integers(0, counts[at]))
        counts[at : at + 1] = [cut, 0, counts[at] - cut]
    size = list(mask.shape)
    code = checked({"size": size, "counts": counts}, mask.shape)
    assert code == coco_mask.encode(np.asfortranarray(mask.view(np.uint8)))
    text = coco_mask.frPyObjects({"size": size, "counts": counts}, *size)
    assert checked(text, mask.shape) == code


damaged_counts = st.one_of(
    st.binary(max_size=40),
    st.text(st.characters(), max_size=40),
    st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=40),
    st.lists(st.integers(-(2**70), 2**70) | st.integers(0, 60) | st.floats() | st.none()),
    st.lists(st.integers(0, 30), max_size=9),
    st.builds(lambda at: TEXT[:at], st.integers(0, len(TEXT))),
    st.builds(
        lambda at, byte: TEXT[:at] + bytes([byte]) + TEXT[at + 1 :],
        st.integers(0, len(TEXT) - 1),
        st.integers(0, 255),
    ),
    st.none() | st.booleans() | st.integers() | st.dictionaries(st.text(), st.text()),
)
sizes = st.just([6, 8]) | st.lists(st.integers() | st.floats() | st.none(), max_size=3) | st.none()


@given(damaged_counts, sizes)
def test_damage_is_a_sentence_or_no_damage(counts: object, size: object) -> None:
    try:
        code = checked({"size": size, "counts": counts}, SIZE)
    except ValueError as error:
        assert re.match(r"(covers|is|can't be read \()", str(error)) and "\n" not in str(error)
        return
    # What is let through means the same to pycocotools and fills the picture.
    mask = decode(code)
    assert mask.shape == SIZE and coco_mask.area(code) == mask.sum()
    assert coco_mask.iou([code], [code], [0])[0, 0] == (1 if mask.any() else 0)
    if isinstance(counts, list):
        assert sum(counts[1::2]) == mask.sum()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ({"size": [6, 8], "counts": [10, 5, 5]}, "covers 20 of 48 pixels"),
        ({"size": [6, 8], "counts": [40, 9]}, "covers 49 of 48 pixels"),
        ({"size": [6, 8], "counts": []}, "covers 0 of 48 pixels"),
        ({"size": [6, 8], "counts": ""}, "covers 0 of 48 pixels"),
        ({"size": [6, 8], "counts": TEXT[:4]}, "covers 22 of 48 pixels"),
        ({"size": [6, 8], "counts": [50, -2]}, "can't be read (a run of -2 pixels)"),
        ({"size": [6, 8], "counts": [47.5, 0.5]}, "can't be read (a run of 47.5 pixels)"),
        ({"size": [6, 8], "counts": [2**40, 1]}, f"can't be read (a run of {2**40} pixels)"),
        ({"size": [6, 8], "counts": ["48"]}, "can't be read (a run of '48' pixels)"),
        ({"size": [6, 8], "counts": 48}, "can't be read (counts of the type int)"),
        ({"size": [6, 8], "counts": "é0"}, "holds characters that no code has"),
        ({"size": [6, 8], "counts": "0\x000"}, "holds characters that no code has"),
        ({"size": [6, 8], "counts": "`"}, "cut off within a number"),
        ({"size": [6, 8], "counts": "o" * 8 + "0"}, "a number that is too long"),
        ({"size": [8, 6], "counts": TEXT}, "is 6 x 8 pixels, not 8 x 6"),
        ({"size": [48], "counts": TEXT}, "can't be read (size [48])"),
        ({"size": [6, -8], "counts": TEXT}, "can't be read (size [6, -8])"),
        ({"counts": TEXT}, "it has no size or no counts"),
        ({"size": [6, 8]}, "it has no size or no counts"),
        ("abc", "it has no size or no counts"),
        (None, "it has no size or no counts"),
    ],
)
def test_what_is_wrong(code: object, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        checked(code, SIZE)


def test_polygons_are_drawn_as_pycocotools_does() -> None:
    square, triangle = [1.0, 1, 5, 1, 5, 4, 1, 4], [5, 0, 7.5, 0, 7.5, 5]
    code = from_polygons([square, [], [2, 2], [0, 0, 8, 6], triangle], SIZE)
    expected = coco_mask.merge(coco_mask.frPyObjects([square, triangle], *SIZE))
    assert np.array_equal(decode(code), coco_mask.decode(expected))


@pytest.mark.parametrize("polygons", [[], [[]], [[1, 2, 3, 4]], [[1, 2], [3, 4]]])
def test_polygons_of_less_than_three_corners(polygons: list[object]) -> None:
    assert enclose_nothing(polygons) and not enclose_nothing([*polygons, [1, 1, 5, 1, 5, 4]])


numbers = st.integers(-100, 100) | st.floats() | st.integers() | st.none() | st.booleans()
parts = st.lists(numbers, max_size=9) | st.lists(st.floats(-20, 20), min_size=6, max_size=12)


@given(st.lists(parts | st.none() | st.text(), max_size=4))
def test_any_polygons(polygons: list[object]) -> None:
    if enclose_nothing(polygons):
        return
    try:
        code = from_polygons(polygons, SIZE)
    except ValueError as error:
        assert re.match(r"(has a corner|can't be read \()", str(error))
        return
    assert decode(code).shape == SIZE


def test_whole_numbers() -> None:
    assert [whole(v) for v in (64, 64.0, -1, 64.5, float("nan"), True, "64", None)] == [
        64, 64, -1, None, None, None, None, None,
    ]  # fmt: skip


@given(st.tuples(st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**32), st.integers(1, 9)))
def test_the_codes_of_a_map(case: tuple[int, int, int, int]) -> None:
    """In one pass what pycocotools gives of each number's mask."""
    height, width, seed, most = case
    ids = np.random.default_rng(seed).integers(0, most, (height, width)).astype(np.int32) * 1000
    found = of_ids(ids)
    assert list(found) == [number for number in np.unique(ids).tolist() if number]
    for number, code in found.items():
        assert code == coco_mask.encode(np.asfortranarray((ids == number).view(np.uint8)))


def test_many_polygons_are_joined_as_by_one_call() -> None:
    corners = np.random.default_rng(0).integers(0, 60, (50, 6)).tolist()
    together = coco_mask.merge(coco_mask.frPyObjects(corners, 60, 60))
    assert from_polygons(corners, (60, 60)) == checked(together, (60, 60))


def test_outlines_that_would_take_all_memory_are_refused() -> None:
    """pycocotools writes where it got no memory, which ends the process."""
    square = [0, 0, 8, 0, 8, 6, 0, 6]
    assert outline([square, []]) == 28
    assert outline([square] * 1000, most=30) == 56
    zigzag = [79, 59, -79, -59] * 50_000
    with pytest.raises(ValueError, match="outlines of more than 4000000 pixels"):
        from_polygons([zigzag], SIZE)
