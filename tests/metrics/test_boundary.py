"""Borders: boundary F against distance transforms, Boundary IoU against erosions of polygons."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from scipy.ndimage import binary_erosion, distance_transform_edt

from zeroguide.evaluate.metrics.boundary import (
    BoundaryCounts,
    boundary_counts,
    boundary_iou,
    inner_border,
)

from .scenes import CLASSES, SEGMENTS, scenes, untimed


def polygons(seed: int, n: int, shape: tuple[int, int]) -> np.ndarray:
    """(H, W) label map of n polygons over each other, -1 outside."""
    rng = np.random.default_rng(seed)
    canvas = Image.new("I", shape[::-1], -1)
    draw = ImageDraw.Draw(canvas)
    for i in range(n):
        corners = (rng.random((5, 2)) * 1.2 - 0.1) * shape[::-1]
        draw.polygon([tuple(corner) for corner in corners], fill=i)
    return np.asarray(canvas).astype(np.int32)


def eroded_border(mask: np.ndarray, distance: int) -> np.ndarray:
    """The definition: the mask without its erosion, outside the image being no mask."""
    square = np.ones((3, 3))
    return mask & ~binary_erosion(mask, square, iterations=distance, border_value=0)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dilation", [0.02, 0.08])
def test_boundary_iou_is_that_of_eroded_polygons(seed, dilation):
    shape = (90, 130)
    segments, truth = polygons(seed, 4, shape), polygons(seed + 100, 3, shape)
    distance = max(1, round(dilation * np.hypot(*shape)))
    table = boundary_iou(segments, np.where(truth < 0, 3, truth), 4, 4, dilation=dilation)
    assert 0 < table.max() < 1
    for s in range(4):
        for c in range(3):
            a, b = eroded_border(segments == s, distance), eroded_border(truth == c, distance)
            expected = (a & b).sum() / (a | b).sum() if (a | b).any() else 0
            assert table[s, c] == pytest.approx(expected)


@untimed
@given(scenes(), st.integers(1, 8))
def test_inner_border_of_all_regions_at_once(scene, distance):
    segments, _ = scene
    expected = np.zeros(segments.shape, dtype=bool)
    for i in range(-1, SEGMENTS):
        expected |= eroded_border(segments == i, distance)
    assert np.array_equal(inner_border(segments, distance), expected)


def test_square_moved_by_one():
    truth = np.zeros((50, 50), dtype=np.int32)
    truth[10:20, 10:20] = 1
    # d = round(0.02 * 70.7) = 1: a ring of 36 pixels; moved by one, its two long sides overlap in
    # 9 + 9 pixels and its columns not at all, but for the corners the rows hold already.
    table = boundary_iou(np.roll(truth, 1, axis=1), truth, 2, 2)
    assert table[1, 1] == pytest.approx(18 / (36 + 36 - 18))
    assert boundary_iou(truth, truth, 2, 2)[1, 1] == 1


@untimed
@given(scenes())
def test_truth_against_itself_is_perfect(scene):
    _, truth = scene
    present = np.unique(truth[truth >= 0])
    table = boundary_iou(truth, truth, CLASSES, CLASSES)
    assert (np.diagonal(table)[present] == 1).all()
    assert boundary_counts(truth, [truth]).f == 1


@untimed
@given(scenes(), st.integers(0, 2**32 - 1))
def test_void_is_not_looked_at(scene, seed):
    segments, truth = scene
    noise = np.random.default_rng(seed).integers(-1, SEGMENTS, size=truth.shape).astype(np.int32)
    other = np.where(truth == -1, noise, segments)
    assert boundary_counts(segments, [truth]) == boundary_counts(other, [truth])
    assert np.array_equal(
        boundary_iou(segments, truth, SEGMENTS, CLASSES),
        boundary_iou(other, truth, SEGMENTS, CLASSES),
    )


def borders(label_map: np.ndarray) -> np.ndarray:
    padded = np.pad(label_map, ((0, 1), (0, 1)), mode="edge")
    right, down, both = padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    result = (label_map != right) | (label_map != down)
    inner = np.s_[:-1, :-1]
    result[inner] |= (label_map != both)[inner]
    return result


@pytest.mark.parametrize("tolerance", [0.0, 0.0075, 0.03, 2.0])
def test_counts_agree_with_distance_transforms(tolerance):
    shape = (80, 120)
    segments = polygons(0, 4, shape)
    truths = [polygons(seed, 3, shape) + 1 for seed in (5, 6)]
    counts = boundary_counts(segments, truths, tolerance=tolerance)
    reach = tolerance * np.hypot(*shape)
    predicted = borders(segments)
    near = [distance_transform_edt(~borders(truth)) <= reach for truth in truths]
    found = distance_transform_edt(~predicted) <= reach
    assert counts.predicted == predicted.sum()
    assert counts.predicted_right == (predicted & (near[0] | near[1])).sum()
    assert counts.true == sum(borders(truth).sum() for truth in truths)
    assert counts.true_found == sum((borders(truth) & found).sum() for truth in truths)


def test_f_by_hand():
    truth = np.zeros((100, 100), dtype=np.int32)
    truth[:, 50:] = 1
    segments = truth.copy()
    segments[:, 80:] = 2  # a second line that isn't there
    counts = boundary_counts(segments, [truth])
    assert (counts.precision, counts.recall) == (0.5, 1)
    assert counts.f == pytest.approx(2 / 3)
    # tolerance 0.0075 of 141 pixels: a line moved by one pixel is right, by two it isn't
    assert boundary_counts(np.roll(truth, 1, axis=1)[:, 5:], [truth[:, 5:]]).f == 1
    assert boundary_counts(np.roll(truth, 2, axis=1)[:, 5:], [truth[:, 5:]]).f == 0
    assert boundary_counts(truth * 0, [truth]).f == 0  # nothing found
    assert boundary_counts(truth * 0, [truth * 0]).f == 1  # nothing to find
    assert (counts + BoundaryCounts(100, 100, 300, 100)).f == pytest.approx(0.5 * 4 / 3 / 1.1666667)


def test_sizes_must_agree():
    with pytest.raises(ValueError, match="differ in size"):
        boundary_counts(np.zeros((2, 2), int), [np.zeros((2, 3), int)])
    with pytest.raises(ValueError, match="differ in size"):
        boundary_iou(np.zeros((2, 2), int), np.zeros((2, 3), int), 1, 1)
