"""Panoptic quality by the rules of the COCO panoptic task (Kirillov et al., CVPR 2019).

    PQ = sum of IoU over TP / (TP + FP/2 + FN/2) = SQ * RQ,  per class, then averaged

A predicted segment and a true one of the same class match if their IoU exceeds 0.5; there is at
most one such pair for each. Void pixels are taken out of every union. Crowd regions can't be
matched or missed. A prediction that matches nothing is forgiven if more than half of it lies on
void and crowds of its class; so what is predicted on void can, as in COCO's code, turn a false
positive into nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zeroguide.evaluate.metrics.overlap import VOID, Overlap
from zeroguide.evaluate.metrics.semantic import nan_mean


@dataclass(frozen=True)
class PanopticCounts:
    """Matches of C classes, of one image or, summed, of many.

    Attributes:
        iou: (C,) float64 sum of the IoUs of the matches.
        tp, fp, fn: (C,) int64 matches, predictions and truths without one.
    """

    iou: np.ndarray
    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray

    @property
    def pq(self) -> np.ndarray:
        """(C,) float64 panoptic quality in [0, 1]; NaN for classes that never occur."""
        return self._per(self.iou)

    @property
    def sq(self) -> np.ndarray:
        """(C,) float64 segmentation quality, the matches' mean IoU; 0 without any, NaN as `pq`."""
        return np.where(np.isnan(self.pq), np.nan, self.iou / np.maximum(self.tp, 1))

    @property
    def rq(self) -> np.ndarray:
        """(C,) float64 recognition quality, the F1 of matches; NaN as `pq`."""
        return self._per(self.tp)

    def means(self, classes: np.ndarray | None = None) -> tuple[float, float, float]:
        """PQ, SQ and RQ averaged over classes that occur, of all or of those given (the things)."""
        chosen = np.arange(len(self.tp)) if classes is None else np.asarray(classes)
        pq, sq, rq = (nan_mean(values[chosen]) for values in (self.pq, self.sq, self.rq))
        return pq, sq, rq

    def _per(self, numerator: np.ndarray) -> np.ndarray:
        """Quotients by TP + FP/2 + FN/2, NaN where that is 0."""
        below = self.tp + 0.5 * self.fp + 0.5 * self.fn
        return np.where(below > 0, numerator / np.where(below > 0, below, 1), np.nan)

    def __add__(self, other: PanopticCounts) -> PanopticCounts:
        """Both images' matches together."""
        return PanopticCounts(
            self.iou + other.iou, self.tp + other.tp, self.fp + other.fp, self.fn + other.fn
        )


def panoptic_counts(
    overlap: Overlap,
    classes: np.ndarray,
    region_classes: np.ndarray,
    n_classes: int,
    *,
    crowd: np.ndarray | None = None,
) -> PanopticCounts:
    """Matches one image's segments with its true regions.

    Args:
        overlap: segments x regions, a crowd being a region too.
        classes: (m,) int class of each segment, -1: it isn't part of the prediction.
        region_classes: (r,) int class of each region. -1: its class is unknown, so that its pixels
            are void. Below -1: known, but no region, such as a background; a segment on it is
            wrong, and there is nothing to match or to miss.
        crowd: (r,) bool, which regions are crowds; None: none.
    """
    classes, region_classes = np.asarray(classes), np.asarray(region_classes)
    crowds = np.zeros(len(region_classes), dtype=bool) if crowd is None else np.asarray(crowd)
    unknown = region_classes == VOID
    if unknown.any():
        kept = ~unknown
        void = overlap.void + overlap.counts[:, unknown].sum(axis=1)
        overlap = Overlap(overlap.counts[:, kept], overlap.unsegmented[kept], void)
        region_classes, crowds = region_classes[kept], crowds[kept]
    asked = region_classes >= 0
    same = (classes[:, None] == region_classes) & asked  # (m, r)
    match = same & ~crowds & (overlap.iou > 0.5)
    segments, regions = np.nonzero(match)
    tp = np.bincount(classes[segments], minlength=n_classes)
    iou = np.bincount(classes[segments], overlap.iou[segments, regions], n_classes)
    sizes = overlap.areas + overlap.void
    ignored = overlap.void + (overlap.counts * (same & crowds)).sum(axis=1)
    wrong = ~match.any(axis=1) & (classes >= 0) & (sizes > 0) & (2 * ignored <= sizes)
    missed = ~match.any(axis=0) & ~crowds & asked & (overlap.truth_areas > 0)
    fp = np.bincount(classes[wrong], minlength=n_classes)
    fn = np.bincount(region_classes[missed], minlength=n_classes)
    return PanopticCounts(iou, tp, fp, fn)
