"""Which true classes are found by one segment alone: segment recall, its average, best overlap.

Segment recall as in zero-guidance segmentation (ICCV 2023):

    R(t) = classes with an assigned segment of IoU >= t / classes,  AR = mean of R(t), t = 0..1

in steps of 0.01. The paper divides by the classes of the truth; the released code also counts the
classes that were only predicted, which are found at t = 0 alone: its AR is lower. Both are given.
As there, a class that no segment was assigned to isn't found at t = 0 either. Best overlap needs no
names.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zeroguide.evaluate.metrics.overlap import Overlap
from zeroguide.evaluate.metrics.semantic import nan_mean

THRESHOLDS = np.arange(101) / 100  # (101,) float64


@dataclass(frozen=True)
class SegmentRecall:
    """Recall of one image at each of THRESHOLDS, (101,) float64 in [0, 1], NaN without classes.

    Attributes:
        truth: divided by the classes in the truth.
        truth_or_predicted: divided by the classes in the truth or among the predictions.
    """

    truth: np.ndarray
    truth_or_predicted: np.ndarray

    @property
    def average(self) -> tuple[float, float]:
        """AR with both denominators: truth, truth or predicted."""
        return float(self.truth.mean()), float(self.truth_or_predicted.mean())


def segment_recall(
    overlap: Overlap, classes: np.ndarray, *, background: int | None = None
) -> SegmentRecall:
    """Recall of an image's true classes by single segments.

    Args:
        overlap: segments x classes.
        classes: (m,) int, the class each segment was assigned to, -1 for none. Segments that lie
            on void alone are passed over.
        background: a class that is never asked for, though its pixels count in areas.
    """
    classes = np.asarray(classes)
    n_classes = overlap.counts.shape[1]
    rows = np.flatnonzero((classes >= 0) & (overlap.areas > 0))
    predicted = np.bincount(classes[rows], minlength=n_classes) > 0
    true = overlap.truth_areas > 0
    if background is not None:
        predicted[background] = true[background] = False
    best = np.full(n_classes, -1.0)
    np.maximum.at(best, classes[rows], overlap.iou[rows, classes[rows]])
    return SegmentRecall(recall_curve(best[true]), recall_curve(best[true | predicted]))


def recall_curve(ious: np.ndarray) -> np.ndarray:
    """(101,) float64 share of the IoUs that reach each of THRESHOLDS; NaN if there are none.

    Args:
        ious: (n,) in [0, 1], or -1 for what has no segment at all.
    """
    if not len(ious):
        return np.full(len(THRESHOLDS), np.nan)
    below = np.searchsorted(np.sort(ious), THRESHOLDS, side="left")
    return 1 - below / len(ious)


def best_ious(overlap: Overlap) -> np.ndarray:
    """(C,) float64 IoU of each true region with the segment that fits it best, whatever its name.

    NaN for regions without a pixel; 0 where there are no segments.
    """
    best = overlap.iou.max(axis=0, initial=0.0)
    return np.where(overlap.truth_areas > 0, best, np.nan)


def best_overlap(overlap: Overlap) -> float:
    """Mean over the true regions of `best_ious` in [0, 1]; NaN without regions.

    Known as best overlap or achievable segmentation covering, unweighted; several regions may be
    served by the same segment.
    """
    return nan_mean(best_ious(overlap))
