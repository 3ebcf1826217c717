"""Matching clusters to classes, against brute force over all permutations."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment

from zeroguide.evaluate.metrics.overlap import Overlap, intersections
from zeroguide.evaluate.metrics.semantic import class_counts
from zeroguide.evaluate.metrics.unsupervised import (
    fit_linear_probe,
    hungarian_counts,
    hungarian_iou,
    image_matching,
    majority_vote,
    voc_matching,
)

from .scenes import untimed


def overlap_of(table):
    table = np.asarray(table, dtype=np.int64)
    zeros = np.zeros_like(table)
    return Overlap(table, zeros.sum(axis=0), zeros.sum(axis=1))


def tables(max_clusters=5, max_classes=4):
    shape = st.tuples(st.integers(1, max_clusters), st.integers(1, max_classes))
    return shape.flatmap(lambda s: arrays(np.int64, s, elements=st.integers(0, 20)))


@pytest.mark.parametrize("match", [hungarian_counts, hungarian_iou])
@untimed
@given(table=tables())
def test_no_permutation_is_better(match, table):
    overlap = overlap_of(table)
    scores = overlap.counts if match is hungarian_counts else overlap.iou
    m, n = table.shape
    classes = match(overlap)
    used = classes[classes >= 0]
    assert len(set(used.tolist())) == len(used) == min(m, n)
    got = sum(scores[i, c] for i, c in enumerate(classes) if c >= 0)
    best = max(
        sum(scores[i, c] for i, c in enumerate(order[:m]) if c < n)
        for order in permutations(range(max(m, n)))
    )
    assert got == pytest.approx(best)


def test_clusters_left_over_are_wrong_everywhere():
    overlap = overlap_of([[6, 0], [0, 8], [4, 2]])
    classes = hungarian_counts(overlap)
    assert classes.tolist() == [0, 1, -1]
    counts = class_counts(overlap, classes)
    assert counts.accuracy == 14 / 20
    assert counts.iou.tolist() == [6 / 10, 8 / 10]


def test_majority_lets_clusters_share_a_class():
    overlap = overlap_of([[6, 0], [0, 8], [4, 2], [0, 0]])
    assert majority_vote(overlap).tolist() == [0, 1, 0, -1]
    assert class_counts(overlap, majority_vote(overlap)).accuracy == 18 / 20


def test_voc_matches_by_iou():
    # Most pixels of cluster 1 are of class 0, which is large; but it covers class 1 best.
    table = [[90, 0], [10, 8]]
    assert hungarian_iou(overlap_of(table)).tolist() == [0, 1]
    over = [*table, [1, 0]]
    assert majority_vote(overlap_of(over)).tolist() == [0, 0, 0]
    assert voc_matching(overlap_of(over)).tolist() == [0, 1, 0]
    assert voc_matching(overlap_of(table)).tolist() == [0, 1]


@untimed
@given(tables(), st.randoms(use_true_random=False))
def test_order_of_clusters_does_not_matter(table, random):
    order = list(range(len(table)))
    random.shuffle(order)
    for match in (hungarian_counts, majority_vote):
        a = class_counts(overlap_of(table), match(overlap_of(table)))
        b = class_counts(overlap_of(table[order]), match(overlap_of(table[order])))
        assert a.accuracy == pytest.approx(b.accuracy, nan_ok=True)


def test_image_level_leaves_spare_segments_out():
    overlap = overlap_of([[6, 0, 0], [0, 8, 0], [4, 2, 0]])  # class 2 isn't in the image
    assert image_matching(overlap).tolist() == [0, 1, -1]
    assert image_matching(overlap, published=True).tolist() == [0, 1, 2]


def test_image_level_background_takes_many_segments():
    overlap = overlap_of([[5, 1, 0], [6, 0, 1], [2, 9, 0], [7, 0, 0]])
    assert image_matching(overlap, background=0).tolist() == [0, 2, 1, 0]
    nothing_else = overlap_of([[5, 0], [6, 0]])
    assert image_matching(nothing_else, background=0).tolist() == [0, 0]


@untimed
@given(tables(), st.booleans())
def test_image_level_is_never_below_one_name_for_all(table, published):
    overlap = overlap_of(table)
    classes = image_matching(overlap, published=published)
    right = sum(table[i, c] for i, c in enumerate(classes) if c >= 0)
    assert right >= table.max()


@untimed
@given(tables(max_clusters=6, max_classes=4))
def test_published_image_level_counts(table):
    """DiffSeg's sums: all columns of the padded table that are matched, real clusters or not."""
    m, n = table.shape
    padded = np.zeros((n, max(m, n)), dtype=np.int64)
    padded[:, :m] = table.T
    rows, columns = linear_sum_assignment(padded, maximize=True)
    tp = padded[rows, columns]
    overlap = overlap_of(table)
    counts = class_counts(overlap, image_matching(overlap, published=True))
    assert np.array_equal(counts.tp, tp)
    assert np.array_equal(counts.fn, padded.sum(axis=1) - tp)
    assert np.array_equal(counts.fp, padded[:, columns].sum(axis=0) - tp)


def test_random_clusters_score_what_chance_gives():
    rng = np.random.default_rng(0)
    truth = rng.integers(4, size=(300, 300))
    counts = class_counts(
        overlap := intersections(rng.integers(4, size=(300, 300)), truth, 4, 4),
        hungarian_counts(overlap),
    )
    assert counts.accuracy == pytest.approx(1 / 4, abs=0.01)
    assert counts.miou == pytest.approx(1 / 7, abs=0.01)  # (1/16) / (2/4 - 1/16)


def test_linear_probe_finds_a_linear_rule_and_ignores_void():
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(600, 5)) * [1, 10, 0.1, 1, 1]
    rule = rng.normal(size=(5, 3)) / [[1], [10], [0.1], [1], [1]]
    classes = (codes @ rule).argmax(axis=1)
    seen = np.where(np.arange(600) % 3 == 0, -1, classes)
    probe = fit_linear_probe(codes[:500], seen[:500])
    assert (probe.predict(codes[500:]) == classes[500:]).mean() > 0.9
    with pytest.raises(ValueError, match="class"):
        fit_linear_probe(codes[:3], np.array([1, 1, -1]))
