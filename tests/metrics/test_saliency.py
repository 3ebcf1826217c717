"""Foreground IoU, maxF and CorLoc."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import fbeta_score, jaccard_score

from zeroguide.evaluate.metrics.saliency import corloc, f_curve, foreground_iou, mask_box, max_f

from .scenes import untimed

TRUTH = np.array([[1, 1, 1, 1, 0, 0, 0, 0, -1, -1]])
VALUES = np.array([[1.0, 0.8, 0.8, 0.2, 0.8, 0.2, 0.0, 0.0, 1.0, 0.0]])


def test_by_hand():
    assert foreground_iou(VALUES > 0.5, TRUTH) == 3 / 5
    curve = f_curve(VALUES, TRUTH)
    assert (curve.precision[255], curve.recall[255]) == (1, 1 / 4)
    assert (curve.precision[200], curve.recall[200]) == (3 / 4, 3 / 4)
    assert (curve.precision[0], curve.recall[0]) == (1 / 2, 1)
    assert max_f([curve]) == pytest.approx(0.75)


@untimed
@given(
    arrays(np.float64, (4, 5), elements=st.floats(0, 1)),
    arrays(bool, (4, 5)).filter(lambda truth: truth.any()),
    st.integers(0, 255),
)
def test_curve_agrees_with_scikit_learn(values, truth, level):
    mask = np.floor(values * 255) >= level
    f = f_curve(values, truth).f[level]
    expected = fbeta_score(truth.ravel(), mask.ravel(), beta=0.3**0.5, zero_division=0)
    assert f == pytest.approx(expected)
    assert foreground_iou(mask, truth) == pytest.approx(jaccard_score(truth.ravel(), mask.ravel()))


def test_max_f_averages_before_it_divides():
    right, wrong = f_curve(TRUTH == 1, TRUTH), f_curve(TRUTH == 0, TRUTH)
    assert max_f([right]) == 1
    # all foreground: mean P 1/2, R 1; the masks: mean P 1/2, R 1/2
    assert max_f([right, wrong]) == pytest.approx(1.3 * 0.5 / (0.3 * 0.5 + 1))
    nothing = f_curve(TRUTH == 1, np.zeros_like(TRUTH))
    assert np.isnan(max_f([nothing])) and max_f([right, nothing]) == 1


def test_empty_and_wrong_input():
    none = np.zeros((2, 2), dtype=bool)
    assert np.isnan(foreground_iou(none, none)) and foreground_iou(none, ~none) == 0
    assert mask_box(none) is None
    with pytest.raises(ValueError, match="outside"):
        f_curve(np.full((2, 2), 1.1), none)


def test_corloc():
    mask = np.zeros((9, 9), dtype=bool)
    mask[2:4, 3:8] = True
    assert mask_box(mask).tolist() == [3, 2, 5, 2]
    far, half, less = [50, 50, 5, 5], [3, 2, 10, 2], [3, 2, 11, 2]
    assert corloc(mask_box(mask), np.array([far, half]))  # IoU exactly 0.5
    assert not corloc(mask_box(mask), np.array([far, less]))
    assert not corloc(None, np.array([half])) and not corloc(np.array(half), np.zeros((0, 4)))
