"""Which class a segment is taken for."""

import numpy as np
import pytest
from hypothesis import given
from sklearn.metrics.pairwise import cosine_similarity

from zeroguide.evaluate.metrics.assignment import (
    ST_THRESHOLD,
    TT_THRESHOLD,
    assign,
    best_name,
    cosine,
    keep_best,
)

from .scenes import similarities, untimed

SIMILARITY = np.array([[0.9, 0.6, 0.1], [0.5, 0.2, 0.3], [0.4, 0.49, 0.3], [0.6, 0.7, 0.8]])


def test_nearest_class_at_or_above_the_threshold():
    assert assign(SIMILARITY, threshold=TT_THRESHOLD).tolist() == [0, 0, -1, 2]
    assert assign(SIMILARITY, threshold=ST_THRESHOLD).tolist() == [0, 0, 1, 2]


def test_only_the_images_own_classes():
    own = np.array([1, 2])
    assert assign(SIMILARITY, threshold=0.5, allowed=own).tolist() == [1, -1, -1, 2]
    assert assign(SIMILARITY, threshold=0.5, allowed=own[:0]).tolist() == [-1] * 4


def test_cosine_is_scikit_learns():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 8)), rng.normal(size=(3, 8))
    assert cosine(a, b) == pytest.approx(cosine_similarity(a, b))
    assert not cosine(a * 0, b).any()


def test_a_class_is_as_near_as_its_nearest_name():
    names = np.array([[0.1, 0.8, 0.3], [0.2, 0.1, 0.4]])
    best = best_name(names, np.array([0, 0, 2]), 3)
    assert best.tolist() == [[0.8, -np.inf, 0.3], [0.2, -np.inf, 0.4]]
    assert assign(best, threshold=0.3).tolist() == [0, 2]


def test_best_keeps_the_most_similar_then_the_largest():
    similarity = np.array([[0.7, 0], [0.9, 0], [0.9, 0], [0, 0.6], [0.2, 0.3]])
    classes = np.array([0, 0, 0, 1, -1])
    assert keep_best(classes, similarity, np.array([9, 1, 2, 1, 9])).tolist() == [-1, -1, 0, 1, -1]
    # a segment without a pixel to count can't stand for its class
    assert keep_best(classes, similarity, np.array([9, 0, 0, 0, 9])).tolist() == [0, -1, -1, -1, -1]


@untimed
@given(similarities())
def test_best_keeps_one_segment_of_each_class(similarity):
    classes = assign(similarity, threshold=0)
    kept = keep_best(classes, similarity, 1 + np.arange(len(classes)))
    assert set(kept.tolist()) | {-1} == set(classes.tolist()) | {-1}
    assert all((kept == c).sum() == 1 for c in set(classes.tolist()) - {-1})
    assert ((kept == classes) | (kept == -1)).all()
