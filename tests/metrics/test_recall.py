"""Segment recall and best overlap: by hand and against the definition, threshold by threshold."""

import numpy as np
import pytest
from hypothesis import given

from zeroguide.evaluate.metrics.overlap import intersections
from zeroguide.evaluate.metrics.recall import (
    THRESHOLDS,
    best_ious,
    best_overlap,
    recall_curve,
    segment_recall,
)

from .scenes import CLASSES, SEGMENTS, assigned, scenes, untimed

# Class 0: the left 6 columns, class 1: the right 4. Segments: 3, 3 and 4 columns, one row of 10.
TRUTH = np.repeat([[0] * 6 + [1] * 4], 2, axis=0).astype(np.int32)
PARTS = np.repeat([[0] * 3 + [1] * 3 + [2] * 4], 2, axis=0).astype(np.int32)


def recall_of(classes, **options):
    return segment_recall(intersections(PARTS, TRUTH, 3, 3), np.array(classes), **options)


def test_by_hand():
    recall = recall_of([0, 0, 1])  # class 0: half of it in one segment; class 1: all
    assert recall.truth[50] == 1 and recall.truth[51] == 0.5 and recall.truth[100] == 0.5
    assert recall.average[0] == pytest.approx((51 * 1 + 50 * 0.5) / 101)
    assert recall.average[0] == recall.average[1]


def test_predicted_classes_lower_the_second_recall_only():
    recall = recall_of([0, 2, 1])
    assert recall.truth[1] == 1
    assert recall.truth_or_predicted[0] == 1
    assert recall.truth_or_predicted[1] == pytest.approx(2 / 3)


def test_class_without_segment_is_missed_at_every_threshold():
    recall = recall_of([0, 0, -1])
    assert recall.truth[0] == 0.5
    assert recall_of([-1, -1, -1]).average == (0, 0)


def test_background_is_not_asked_for():
    assert recall_of([0, 0, 1], background=0).average == (1, 1)
    assert np.isnan(segment_recall(intersections(PARTS * 0, TRUTH * 0, 3, 3), np.zeros(3, int),
                                   background=0).average[0])  # fmt: skip


def test_thresholds_are_met_exactly():
    for hundredth in range(101):
        curve = recall_curve(np.array([hundredth / 100]))
        assert np.array_equal(curve == 1, hundredth / 100 >= THRESHOLDS)
        assert curve.sum() == hundredth + 1


@untimed
@given(scenes(), assigned())
def test_agrees_with_the_definition(scene, classes):
    segments, truth = scene
    overlap = intersections(segments, truth, SEGMENTS, CLASSES)
    recall = segment_recall(overlap, classes)
    true = [c for c in range(CLASSES) if (truth == c).any()]
    seen = {int(classes[s]) for s in np.unique(segments[truth >= 0]) if s >= 0} - {-1}
    for curve, counted in (
        (recall.truth, true),
        (recall.truth_or_predicted, sorted({*true, *seen})),
    ):
        for k in (0, 1, 33, 50, 100):
            fits = (overlap.iou >= k / 100) & (overlap.areas > 0)[:, None]
            found = [c for c in counted if fits[classes == c, c].any()]
            if counted:
                assert curve[k] == pytest.approx(len(found) / len(counted))
            else:
                assert np.isnan(curve[k])


def test_best_overlap():
    overlap = intersections(PARTS, TRUTH, 3, 3)
    assert np.array_equal(best_ious(overlap), [0.5, 1, np.nan], equal_nan=True)
    assert best_overlap(overlap) == 0.75
    assert best_overlap(intersections(PARTS * 0 - 1, TRUTH, 0, 3)) == 0
    assert np.isnan(best_overlap(intersections(PARTS, TRUTH * 0 - 1, 3, 3)))
