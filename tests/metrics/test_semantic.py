"""Dataset mIoU against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from sklearn.metrics import accuracy_score, confusion_matrix, jaccard_score, recall_score

from zeroguide.evaluate.metrics.overlap import intersections
from zeroguide.evaluate.metrics.semantic import class_counts

from .scenes import CLASSES, SEGMENTS, assigned, scenes, untimed


@untimed
@given(scenes(), assigned())
def test_agrees_with_scikit_learn(scene, classes):
    segments, truth = scene
    counts = class_counts(intersections(segments, truth, SEGMENTS, CLASSES), classes)
    known = truth >= 0
    predicted = np.append(classes, -1)[segments][known]
    truth = truth[known]
    if not len(truth):
        assert np.isnan([counts.miou, counts.accuracy]).all()
        return
    assert counts.accuracy == pytest.approx(accuracy_score(truth, predicted))
    for c in range(CLASSES):
        if (truth == c).any() or (predicted == c).any():
            expected = jaccard_score(truth == c, predicted == c)
            assert counts.iou[c] == pytest.approx(expected)
        else:
            assert np.isnan(counts.iou[c])
        if (truth == c).any():
            assert counts.class_accuracy[c] == pytest.approx(
                recall_score(truth == c, predicted == c)
            )
    table = confusion_matrix(truth, predicted, labels=range(-1, CLASSES))
    assert np.array_equal(counts.tp, np.diagonal(table)[1:])
    assert np.array_equal(counts.fp, table.sum(axis=0)[1:] - counts.tp)


@untimed
@given(scenes(), assigned())
def test_unassigned_pixels_become_background(scene, classes):
    segments, truth = scene
    overlap = intersections(segments, truth, SEGMENTS, CLASSES)
    counts = class_counts(overlap, classes, unassigned_as=0)
    predicted = np.append(np.where(classes < 0, 0, classes), 0)[segments].astype(np.int32)
    direct = class_counts(intersections(predicted, truth, CLASSES, CLASSES), np.arange(CLASSES))
    for name in ("tp", "fp", "fn"):
        assert np.array_equal(getattr(counts, name), getattr(direct, name))


def test_sums_pixels_before_dividing():
    truth = np.array([[0, 0, 0, 1]], dtype=np.int32)
    right = class_counts(intersections(truth, truth, 2, 3), np.arange(2))
    wrong = class_counts(intersections(truth * 0, truth, 1, 3), np.array([1]))
    total = right + wrong
    # class 0: 3 right, 3 missed; class 1: 2 right, 3 too many; class 2 never occurs
    assert total.iou[:2].tolist() == [0.5, 0.4] and np.isnan(total.iou[2])
    assert total.miou == pytest.approx(0.45)
    assert total.accuracy == 5 / 8
