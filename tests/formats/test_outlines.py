from __future__ import annotations

import numpy as np
import PIL.Image
import PIL.ImageDraw
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from zeroguide.result.formats.outlines import parts, polygons


@st.composite
def masks(draw: st.DrawFn) -> np.ndarray:
    """(H, W) bool, of single pixels or of blocks, which make larger holes."""
    mask = draw(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
    grow = draw(st.sampled_from([1, 1, 3]))
    return np.kron(mask, np.ones((grow, grow), bool))


def enclosed(polygon: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: pixels whose centre an odd number of sides lies to the left of."""
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    inside = np.zeros(shape, bool)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if x0 == x1:
            inside ^= ((y0 < y) != (y1 < y)) & (x0 < x)
        else:
            assert y0 == y1  # sides are level or upright
    return inside


def area(polygon: np.ndarray) -> float:
    """Positive if clockwise on a screen (shoelace formula)."""
    x, y = polygon.T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)


def test_one_pixel() -> None:
    mask = np.zeros((4, 5), bool)
    mask[2, 3] = True
    (polygon,) = polygons(mask)
    assert polygon.tolist() == [[3, 2], [4, 2], [4, 3], [3, 3]]
    (polygon,) = polygons(mask, inset=0.25)
    assert polygon.tolist() == [[3.25, 2.25], [3.75, 2.25], [3.75, 2.75], [3.25, 2.75]]


def test_full_frame_and_empty_mask() -> None:
    (polygon,) = polygons(np.ones((4, 6), bool))
    assert polygon.tolist() == [[0, 0], [6, 0], [6, 4], [0, 4]]
    assert polygons(np.zeros((4, 6), bool)) == []


def test_pixels_that_touch_at_a_corner_are_two_parts() -> None:
    first, second = polygons(np.eye(2, dtype=bool))
    assert first.tolist() == [[0, 0], [1, 0], [1, 1], [0, 1]]
    assert second.tolist() == [[1, 1], [2, 1], [2, 2], [1, 2]]


def test_a_hole_is_cut_in_by_a_slit() -> None:
    mask = np.ones((3, 4), bool)
    mask[1, 2] = False
    (polygon,) = polygons(mask)
    # ten corners: four outside, four of the hole, and where the slit begins and ends, to and fro
    assert len(polygon) == 12
    assert area(polygon) == 11
    slit = polygon[polygon[:, 1] % 1 != 0]
    assert sorted(map(tuple, slit.tolist())) == [(0, 1.25), (0, 1.25), (2, 1.25), (2, 1.25)]


@settings(deadline=None)
@given(masks(), st.sampled_from([0, 0.05, 0.1, 0.45]))
def test_polygons_enclose_exactly_the_mask(mask: np.ndarray, inset: float) -> None:
    total = np.zeros(mask.shape, int)
    for polygon in polygons(mask, inset=inset):
        total += enclosed(polygon, mask.shape)
    assert np.array_equal(total, mask)  # each pixel in one part, no other in any


@settings(deadline=None)
@given(masks())
def test_the_area_is_the_number_of_pixels(mask: np.ndarray) -> None:
    areas = [area(polygon) for polygon in polygons(mask)]
    assert all(a >= 1 for a in areas)
    assert sum(areas) == mask.sum()


@settings(deadline=None)
@given(masks())
def test_cocos_polygons_give_the_mask_back(mask: np.ndarray) -> None:
    found = [polygon.ravel().tolist() for polygon in polygons(mask)]
    if found:
        code = coco_mask.merge(coco_mask.frPyObjects(found, *mask.shape))
        assert np.array_equal(coco_mask.decode(code), mask)


@settings(deadline=None)
@given(masks(), st.sampled_from([0.05, 0.1]))
def test_drawn_with_their_border_inset_polygons_give_the_mask_back(
    mask: np.ndarray, inset: float
) -> None:
    picture = PIL.Image.new("1", mask.shape[::-1])
    draw = PIL.ImageDraw.Draw(picture)
    for polygon in polygons(mask, inset=inset):
        draw.polygon([(x, y) for x, y in polygon.tolist()], fill=1, outline=1)
    assert np.array_equal(np.asarray(picture), mask)


def test_parts_have_rings_of_their_own() -> None:
    mask = np.array([[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 1]], bool)
    (outline, hole), (pixel,) = parts(mask)
    # the pixel that is missing at the lower right makes the outline and the hole meet in (2, 2)
    assert outline.tolist() == [[0, 0], [3, 0], [3, 2], [2, 2], [2, 3], [0, 3]]
    assert sorted(map(tuple, hole.tolist())) == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert area(outline) == 8 and area(hole) == -1
    assert pixel.tolist() == [[3, 2], [4, 2], [4, 3], [3, 3]]


@settings(deadline=None)
@given(masks())
def test_rings_enclose_exactly_the_mask(mask: np.ndarray) -> None:
    total = np.zeros(mask.shape, int)
    for outline, *holes in parts(mask):
        assert area(outline) > 0
        total += enclosed(outline, mask.shape)
        for hole in holes:
            assert area(hole) < 0
            total -= enclosed(hole, mask.shape)
        for ring in (outline, *holes):
            assert len(set(map(tuple, ring.tolist()))) == len(ring)  # it never meets itself
    assert np.array_equal(total, mask)


def test_many_holes() -> None:
    mask = np.random.default_rng(1).random((120, 160)) < 0.8
    total = sum(enclosed(polygon, mask.shape).astype(int) for polygon in polygons(mask))
    assert np.array_equal(total, mask)
