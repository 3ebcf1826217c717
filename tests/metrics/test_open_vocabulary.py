"""IoU_TT and IoU_ST with their background rule, soft IoU, S-IoU, and what is found but misnamed."""

import numpy as np
import pytest
from hypothesis import given

from zeroguide.evaluate.metrics.open_vocabulary import (
    Naming,
    class_ious,
    image_iou,
    misnamed,
    soft_ious,
    word_iou,
)
from zeroguide.evaluate.metrics.overlap import intersections

from .scenes import CLASSES, SEGMENTS, assigned, scenes, similarities, untimed

# One row of 12 pixels: background 0, class 1, class 2, void.
TRUTH = np.array([[0] * 4 + [1] * 4 + [2] * 2 + [-1] * 2], dtype=np.int32)
PARTS = np.array([[0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 3, 3]], dtype=np.int32)
OVERLAP = intersections(PARTS, TRUTH, 4, 4)


def test_unions_by_hand():
    ious = class_ious(OVERLAP, np.array([-1, 1, 1, 2]))
    # class 0: never predicted; 1: 4 of it, 2 pixels too many; 2: exactly, the rest is void
    assert np.array_equal(ious, [0, 4 / 6, 1, np.nan], equal_nan=True)
    assert image_iou(ious) == pytest.approx((4 / 6 + 1) / 3)


def test_background_counts_against_classes_in_the_image_only():
    ious = class_ious(OVERLAP, np.array([3, 1, 1, 3]), background=0)
    # class 1 has two pixels of background too many; class 3 isn't in the image: it is charged with
    # its two pixels on class 2, not with those on the background
    assert np.array_equal(ious, [np.nan, 4 / 6, 0, 0], equal_nan=True)
    ious = class_ious(OVERLAP, np.array([3, 1, 1, 2]), background=0)
    assert np.isnan(ious[3])  # all of it is on the background


@untimed
@given(scenes(), assigned())
def test_agrees_with_masks(scene, classes):
    segments, truth = scene
    ious = class_ious(intersections(segments, truth, SEGMENTS, CLASSES), classes, background=0)
    assert np.isnan(ious[0])
    for c in range(1, CLASSES):
        ignored = (truth == -1) if (truth == c).any() else (truth <= 0)
        mask = np.isin(segments, np.flatnonzero(classes == c)) & ~ignored
        union = (mask | (truth == c)).sum()
        expected = (mask & (truth == c)).sum() / union if union else np.nan
        assert ious[c] == pytest.approx(expected, nan_ok=True)


def test_soft_iou_weighs_right_pixels():
    similarity = np.array([[0, 0, 0, 0], [0, 0.5, 0, 0], [0, 1, 0, 0], [0, 0, -0.3, 0]])
    ious = soft_ious(OVERLAP, np.array([-1, 1, 1, 2]), similarity)
    assert np.array_equal(ious, [0, (2 * 0.5 + 2 * 1) / 6, 0, np.nan], equal_nan=True)


@untimed
@given(scenes(), assigned(), similarities())
def test_soft_iou_lies_between_nothing_and_the_hard_one(scene, classes, similarity):
    overlap = intersections(*scene, SEGMENTS, CLASSES)
    hard, soft = class_ious(overlap, classes), soft_ious(overlap, classes, similarity)
    assert np.array_equal(np.isnan(hard), np.isnan(soft))
    assert (np.nan_to_num(soft) >= 0).all()
    assert (np.nan_to_num(soft) <= np.nan_to_num(hard) + 1e-12).all()
    assert np.array_equal(
        soft_ious(overlap, classes, np.ones_like(similarity)), hard, equal_nan=True
    )


@pytest.mark.parametrize(
    ("label", "name", "expected"),
    [("dog", "Dog", 1), ("black dog", "dog", 0.5), ("the big dog", "big cat", 1 / 4), ("", "", 0),
     ("traffic-light", "traffic light", 1), ("car", "cart", 0)],
)  # fmt: skip
def test_words_in_common(label, name, expected):
    assert word_iou(label, name) == word_iou(name, label) == expected


def test_found_but_misnamed():
    overlap = intersections(PARTS, TRUTH, 4, 3)
    # IoU of region 0 with segment 0: 2/4; of region 1 with 1: 2/6 and with 2: 2/4; of 2 with 3: 1
    found = misnamed(overlap, np.array([0, 1, 0, -1]), np.array([0, 1, 2]))
    assert found == Naming(localised=3, named=1)
    assert found.mcmr == pytest.approx(2 / 3)
    assert misnamed(overlap, np.array([0, 1, 0, 2]), np.array([0, 1, 2]), threshold=0.6) == (
        Naming(1, 1)
    )
    # a region without a class isn't asked for, least of all by a segment without one
    assert misnamed(overlap, np.array([0, 1, 0, -1]), np.array([0, 1, -1])) == Naming(2, 1)
    assert (found + Naming(1, 1)).mcmr == 0.5
    assert np.isnan(Naming(0, 0).mcmr)
