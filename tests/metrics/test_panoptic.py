"""Panoptic quality against a second implementation, written from the rules with masks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from zeroguide.evaluate.metrics.overlap import intersections
from zeroguide.evaluate.metrics.panoptic import panoptic_counts

from .scenes import assigned, scenes, untimed

N = 2  # classes; the scenes' 4 segments and 3 regions each have one of them


def by_the_rules(segments, classes, regions, region_classes, crowd):
    """(4, N) IoU sum, TP, FP, FN: COCO's rules one after another, on masks."""
    result = np.zeros((4, N))
    void = regions == -1
    true = [r for r in range(len(region_classes)) if (regions == r).any()]
    predicted = [s for s in range(len(classes)) if (segments == s).any() and classes[s] >= 0]
    matched_true, matched_predicted = set(), set()
    for r in true:
        for s in predicted:
            if crowd[r] or region_classes[r] != classes[s]:
                continue
            a, b = segments == s, regions == r
            iou = (a & b).sum() / ((a | b).sum() - (a & void).sum())
            if iou > 0.5:
                result[0, classes[s]] += iou
                result[1, classes[s]] += 1
                matched_true.add(r)
                matched_predicted.add(s)
    for s in set(predicted) - matched_predicted:
        mask = segments == s
        crowds = [r for r in true if crowd[r] and region_classes[r] == classes[s]]
        ignored = (mask & (void | np.isin(regions, crowds))).sum()
        if ignored / mask.sum() <= 0.5:
            result[2, classes[s]] += 1
    for r in set(true) - matched_true:
        if not crowd[r]:
            result[3, region_classes[r]] += 1
    return result


@untimed
@given(
    scenes(),
    assigned(4, N),
    arrays(np.int64, 3, elements=st.integers(0, N - 1)),
    arrays(bool, 3),
)
def test_agrees_with_the_rules(scene, classes, region_classes, crowd):
    segments, regions = scene
    counts = panoptic_counts(
        intersections(segments, regions, 4, 3), classes, region_classes, N, crowd=crowd
    )
    expected = by_the_rules(segments, classes, regions, region_classes, crowd)
    assert np.stack([counts.iou, counts.tp, counts.fp, counts.fn]) == pytest.approx(expected)
    for part in (counts.pq, counts.sq, counts.rq):
        assert ((np.nan_to_num(part) >= 0) & (np.nan_to_num(part) <= 1 + 1e-12)).all()
    assert counts.pq == pytest.approx(counts.sq * counts.rq, nan_ok=True)


def test_by_hand():
    regions = np.array([[0] * 4 + [1] * 4 + [-1] * 2], dtype=np.int32)
    segments = np.array([[0] * 3 + [1] * 5 + [2] * 2], dtype=np.int32)
    overlap = intersections(segments, regions, 3, 2)
    counts = panoptic_counts(overlap, np.array([0, 1, 0]), np.array([0, 1]), 3)
    # IoU 3/4 and 4/5; the third segment lies on void and is forgiven; class 2 never occurs
    assert counts.pq[:2] == pytest.approx([0.75, 0.8]) and np.isnan(counts.pq[2])
    assert counts.means() == pytest.approx((0.775, 0.775, 1))
    assert counts.means(np.array([1])) == pytest.approx((0.8, 0.8, 1))
    wrong = panoptic_counts(overlap, np.array([1, 1, -1]), np.array([0, 1]), 3)
    # class 0: missed; class 1: one match, one too many
    assert wrong.pq[:2] == pytest.approx([0, 0.8 / 1.5])
    assert wrong.sq[:2] == pytest.approx([0, 0.8])
    both = counts + wrong
    assert both.pq[:2] == pytest.approx([0.75 / 1.5, 1.6 / 2.5])


@untimed
@given(scenes(), assigned(4, N), assigned(3, N), arrays(bool, 3))
def test_a_region_without_a_class_is_void(scene, classes, region_classes, crowd):
    segments, regions = scene
    found = panoptic_counts(
        intersections(segments, regions, 4, 3), classes, region_classes, N, crowd=crowd
    )
    without = np.where(np.append(region_classes, -1)[regions] < 0, -1, regions).astype(np.int32)
    known = np.maximum(region_classes, 0)
    expected = by_the_rules(segments, classes, without, known, crowd)
    assert np.stack([found.iou, found.tp, found.fp, found.fn]) == pytest.approx(expected)


def test_what_is_no_region_is_wrong_and_not_missed():
    regions = np.array([[0, 0, 1, 1, 1, 1]], dtype=np.int32)
    segments = np.array([[0, 0, 1, 1, 1, 2]], dtype=np.int32)
    overlap = intersections(segments, regions, 3, 2)
    counts = panoptic_counts(overlap, np.array([0, 1, -1]), np.array([0, -2]), 2)
    assert counts.tp.tolist() == [1, 0]
    assert counts.fp.tolist() == [0, 1]
    assert counts.fn.tolist() == [0, 0]


def test_half_is_no_match():
    regions = np.array([[0, 0, 1, 1]], dtype=np.int32)
    segments = np.array([[0, 0, 0, 0]], dtype=np.int32)
    overlap = intersections(segments, regions, 1, 2)
    assert panoptic_counts(overlap, np.array([0]), np.array([0, 1]), 2).tp.sum() == 0
