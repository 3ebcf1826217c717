"""Semantic segmentation as everyone scores it: class by class, over the whole dataset.

    IoU_c = TP_c / (TP_c + FP_c + FN_c) summed over the images,  mIoU = mean over the classes

(Everingham et al., Pascal VOC). Classes that neither occur nor are predicted have no IoU and are
skipped, not counted as 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zeroguide.evaluate.metrics.overlap import Overlap


@dataclass(frozen=True)
class ClassCounts:
    """Pixels of C classes, of one image or, summed, of many; void is in none of them.

    Attributes:
        tp, fp, fn: (C,) true positives, false positives, false negatives; int64.
    """

    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray

    @property
    def union(self) -> np.ndarray:
        """(C,) pixels predicted as the class, or of it: what IoU divides by."""
        return self.tp + self.fp + self.fn

    @property
    def iou(self) -> np.ndarray:
        """(C,) float64 in [0, 1]; NaN for classes neither in the truth nor predicted."""
        return _ratio(self.tp, self.union)

    @property
    def miou(self) -> float:
        """Mean of the IoUs that aren't NaN; NaN if all are."""
        return nan_mean(self.iou)

    @property
    def class_accuracy(self) -> np.ndarray:
        """(C,) float64 share of each class's pixels that are right; NaN if it has none."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def accuracy(self) -> float:
        """Share of all pixels whose class is right: trace / sum; NaN without pixels."""
        total = (self.tp + self.fn).sum()
        return float(self.tp.sum() / total) if total else float("nan")

    def __add__(self, other: ClassCounts) -> ClassCounts:
        """Both images' pixels together."""
        return ClassCounts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)


def class_counts(
    overlap: Overlap, classes: np.ndarray, *, unassigned_as: int | None = None
) -> ClassCounts:
    """Counts right and wrong pixels of segments that were given classes.

    Args:
        overlap: segments (or clusters) x classes.
        classes: (m,) int, each segment's class, -1 for none.
        unassigned_as: class that pixels of no segment, and of segments without class, are
            predicted as (the background of Pascal VOC's 21 classes); None: they are only missed.
    """
    n_classes = overlap.counts.shape[1]
    mapped = overlap.grouped(classes, n_classes)
    table = mapped.counts
    if unassigned_as is not None:
        table = table.copy()
        table[unassigned_as] += mapped.unsegmented
    tp = np.diagonal(table).copy()
    return ClassCounts(tp, table.sum(axis=1) - tp, overlap.truth_areas - tp)


def nan_mean(values: np.ndarray) -> float:
    """Mean of the values that aren't NaN; NaN, without a warning, if there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Quotients of counts, NaN where the denominator is 0."""
    return np.where(denominator > 0, numerator / np.maximum(denominator, 1), np.nan)
