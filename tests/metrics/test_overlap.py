"""The table all metrics start from, against masks made one by one."""

import numpy as np
import pytest
from hypothesis import given

from zeroguide.evaluate.metrics.overlap import VOID, intersections

from .scenes import CLASSES, SEGMENTS, assigned, scenes, untimed


@untimed
@given(scenes())
def test_table_counts_what_masks_count(scene):
    segments, truth = scene
    overlap = intersections(segments, truth, SEGMENTS, CLASSES)
    for c in range(CLASSES):
        assert overlap.unsegmented[c] == ((segments == -1) & (truth == c)).sum()
        assert overlap.truth_areas[c] == (truth == c).sum()
    for s in range(SEGMENTS):
        assert overlap.void[s] == ((segments == s) & (truth == VOID)).sum()
        for c in range(CLASSES):
            a, b = (segments == s) & (truth != VOID), truth == c
            assert overlap.counts[s, c] == (a & b).sum()
            assert overlap.iou[s, c] == ((a & b).sum() / (a | b).sum() if (a | b).any() else 0)


@untimed
@given(scenes(), assigned())
def test_groups_are_unions_of_segments(scene, groups):
    segments, truth = scene
    grouped = intersections(segments, truth, SEGMENTS, CLASSES).grouped(groups, CLASSES)
    direct = intersections(np.append(groups, -1)[segments], truth, CLASSES, CLASSES)
    for name in ("counts", "unsegmented", "void"):
        assert np.array_equal(getattr(grouped, name), getattr(direct, name))


@untimed
@given(scenes())
def test_sum_of_images_is_one_large_image(scene):
    segments, truth = scene
    one = intersections(segments, truth, SEGMENTS, CLASSES)
    two = intersections(
        np.concatenate([segments] * 2), np.concatenate([truth] * 2), SEGMENTS, CLASSES
    )
    assert np.array_equal((one + one).counts, two.counts)
    assert np.array_equal((one + one).void, two.void)


def test_coverage():
    segments = np.array([[0, 0, -1, -1, 0]], dtype=np.int32)
    truth = np.array([[0, 0, 0, 0, VOID]], dtype=np.int32)
    assert intersections(segments, truth, 1, 1).coverage == 0.5
    assert np.isnan(intersections(segments, np.full_like(truth, VOID), 1, 1).coverage)


def test_small_types_do_not_overflow():
    segments = np.full((20, 20), 100, dtype=np.int8)
    truth = np.full((20, 20), 126, dtype=np.int8)
    assert intersections(segments, truth, 101, 127).counts[100, 126] == 400


@pytest.mark.parametrize(
    ("segments", "truth", "match"),
    [
        (np.zeros((2, 2), int), np.zeros((2, 3), int), "differ in size"),
        (np.full((2, 2), 4), np.zeros((2, 2), int), r"segments has ids 4\.\.4"),
        (np.zeros((2, 2), int), np.full((2, 2), -2), "truth has ids"),
        (np.zeros((2, 2), int), np.zeros((2, 2), np.uint8), "signed"),
        (np.zeros((2, 2, 3), int), np.zeros((2, 2), int), r"\(H, W\)"),
    ],
)
def test_refuses_what_is_no_label_map(segments, truth, match):
    with pytest.raises(ValueError, match=match):
        intersections(segments, truth, 4, 3)


@pytest.mark.parametrize("groups", [np.zeros(3, int), np.array([0, 0, 0, 2]), np.full(4, -2)])
def test_refuses_wrong_groups(groups):
    overlap = intersections(np.zeros((2, 2), int), np.zeros((2, 2), int), 4, 3)
    with pytest.raises(ValueError, match="group"):
        overlap.grouped(groups, 2)
