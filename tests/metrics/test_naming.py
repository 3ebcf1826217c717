"""Names of true regions."""

import numpy as np
import pytest
from scipy.stats import hmean

from zeroguide.evaluate.metrics.naming import clip_score, ref_clip_score, similar_enough, top1

SIMILARITY = np.array([[0.5, 0.9], [0.4, 0.3], [0.7, 0.7], [0.1, 1.0]])
TRUE = np.array([0, 0, 1, 1])


def test_shares_by_hand():
    assert similar_enough(SIMILARITY, TRUE).tolist() == [True, False, True, True]
    assert top1(SIMILARITY, TRUE).tolist() == [False, True, False, True]  # a tie is a miss
    assert top1(np.ones((2, 1)), np.zeros(2, dtype=int)).all()  # the only class there is


def test_clip_scores():
    cosines, texts = np.array([0.3, 0.2, -0.1, 0.3]), np.array([0.8, 1.0, 0.9, -0.2])
    assert clip_score(cosines) == pytest.approx([0.75, 0.5, 0, 0.75])
    expected = [hmean([0.75, 0.8]), hmean([0.5, 1]), 0, 0]
    assert ref_clip_score(cosines, texts) == pytest.approx(expected)
    assert ref_clip_score(np.array([-1.0]), np.array([-1.0])) == [0]
