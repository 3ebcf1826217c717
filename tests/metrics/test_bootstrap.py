"""Intervals: against scipy's bootstrap, and whether they hold what they claim."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import bootstrap

from zeroguide.evaluate.metrics import bootstrap as module
from zeroguide.evaluate.metrics.bootstrap import of_difference, of_mean, of_ratio

from .scenes import untimed


def test_agrees_with_scipy():
    rng = np.random.default_rng(0)
    top, bottom = rng.random((2, 80, 3)) * [1, 2, 3]

    assert of_ratio(top, bottom).value == pytest.approx((top.sum(0) / bottom.sum(0)).mean())
    values = top[:, 0]
    theirs = bootstrap((values,), np.mean, method="percentile", n_resamples=5000, rng=0)
    mean = of_mean(values)
    spread = mean.high - mean.low
    assert mean.low == pytest.approx(theirs.confidence_interval.low, abs=0.1 * spread)
    assert mean.high == pytest.approx(theirs.confidence_interval.high, abs=0.1 * spread)


def test_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        interval = of_mean(rng.normal(size=60))
        held += interval.low <= 0 <= interval.high
    assert 180 <= held <= 199  # 95 %, and a little less for so few images


def test_pairs_cancel_what_both_feel():
    rng = np.random.default_rng(0)
    hard = rng.random(200)
    a, b, ones = hard + 0.02 + 0.01 * rng.random(200), hard, np.ones(200)
    difference = of_difference((a, ones), (b, ones))
    assert difference.value == pytest.approx((a - b).mean())
    assert 0.02 < difference.low < difference.value < difference.high < 0.03
    assert of_mean(a).low < of_mean(b).high  # the two intervals alone say nothing
    mirrored = of_difference((b, ones), (a, ones))
    assert mirrored.low == pytest.approx(-difference.high)
    same = of_difference((a, ones), (a, ones))
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_classes_that_never_occur_are_skipped():
    top, bottom = np.array([[1, 0], [2, 0]]), np.array([[2, 0], [4, 0]])
    assert of_ratio(top, bottom).value == 0.5
    assert np.isnan(of_ratio(top, bottom * 0).value)
    assert np.isnan(of_mean(np.array([np.nan])).low)
    assert of_mean(np.array([1.0, np.nan, 3.0])).value == 2


def test_large_datasets_go_in_chunks(monkeypatch):
    values = np.random.default_rng(0).random(50)
    monkeypatch.setattr(module, "CHUNK", 50 * 64)
    few = of_mean(values)
    assert few.low < few.value < few.high
    assert sum(len(chunk) for chunk in module._weights(50, 0)) == module.N_RESAMPLES
    assert all((chunk.sum(axis=1) == 50).all() for chunk in module._weights(50, 0))


@untimed
@given(arrays(np.float64, st.integers(1, 20), elements=st.floats(0, 1)))
def test_stays_within_the_values(values):
    interval = of_mean(values)
    assert values.min() - 1e-9 <= interval.low <= interval.high <= values.max() + 1e-9
    assert interval == of_mean(values)


def test_wrong_rows():
    with pytest.raises(ValueError, match="differ"):
        of_ratio(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="no images"):
        of_ratio(np.ones(0), np.ones(0))
    with pytest.raises(ValueError, match="3 images against 4"):
        of_difference((np.ones(3), np.ones(3)), (np.ones(4), np.ones(4)))
