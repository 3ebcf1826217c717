"""Foreground against background: mean IoU, maximal F and CorLoc of unsupervised saliency.

As in LOST, TokenCut and MaskCut's evaluations; the F measure is Achanta et al.'s (CVPR 2009) with
beta^2 = 0.3, which weighs precision above recall.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from zeroguide.evaluate.metrics.overlap import VOID

BETA_SQUARED = 0.3
LEVELS = 256
CORLOC_THRESHOLD = 0.5


def foreground_iou(mask: np.ndarray, truth: np.ndarray) -> float:
    """IoU in [0, 1] of a predicted and a true foreground; NaN if both are empty.

    Args:
        mask: (H, W) bool.
        truth: (H, W) bool, or int 0, 1 and VOID.
    """
    truth, known = _known(truth)
    union = ((mask | truth) & known).sum()
    return float((mask & truth).sum() / union) if union else float("nan")


@dataclass(frozen=True)
class FCurve:
    """Precision and recall of one image at 256 thresholds, or their means over images.

    Attributes:
        precision: (256,) float64; 0 where nothing is predicted.
        recall: (256,) float64; NaN if the truth has no foreground.
    """

    precision: np.ndarray
    recall: np.ndarray

    @property
    def f(self) -> np.ndarray:
        """(256,) float64 F = (1 + b) P R / (b P + R), b = beta^2 = 0.3; 0 where both are 0."""
        below = BETA_SQUARED * self.precision + self.recall
        above = (1 + BETA_SQUARED) * self.precision * self.recall
        return above / np.where(below > 0, below, 1)


def f_curve(saliency: np.ndarray, truth: np.ndarray) -> FCurve:
    """Precision and recall of (H, W) saliency in [0, 1] cut at k / 255, k = 0..255.

    Args:
        saliency: (H, W) float, or bool for a mask; at k = 0 everything is foreground.
        truth: (H, W) bool, or int 0, 1 and VOID.
    """
    truth, known = _known(truth)
    levels = np.floor(np.asarray(saliency, dtype=np.float64) * (LEVELS - 1)).astype(np.int64)
    if levels.size and (levels.min() < 0 or levels.max() >= LEVELS):
        raise ValueError("saliency is outside [0, 1]")
    predicted = np.bincount(levels[known], minlength=LEVELS)[::-1].cumsum()[::-1]
    right = np.bincount(levels[known & truth], minlength=LEVELS)[::-1].cumsum()[::-1]
    total = right[0]
    recall = right / total if total else np.full(LEVELS, np.nan)
    return FCurve(right / np.maximum(predicted, 1), recall)


def max_f(curves: Iterable[FCurve]) -> float:
    """maxF: the highest F over thresholds of the images' mean precision and mean recall, in [0, 1].

    Images without true foreground are left out. NaN if none is left.
    """
    kept = [curve for curve in curves if not np.isnan(curve.recall[0])]
    if not kept:
        return float("nan")
    precision = np.mean([curve.precision for curve in kept], axis=0)
    recall = np.mean([curve.recall for curve in kept], axis=0)
    return float(FCurve(precision, recall).f.max())


def mask_box(mask: np.ndarray) -> np.ndarray | None:
    """(4,) int x, y, width, height of the box around an (H, W) mask; None if it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return np.array([columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1])


def corloc(box: np.ndarray | None, true_boxes: np.ndarray) -> bool:
    """Whether a box fits one of the true ones with an IoU of at least 0.5.

    CorLoc is the share of images where it does (Deselaers et al., ECCV 2010).

    Args:
        box: (4,) x, y, width, height, or None.
        true_boxes: (k, 4).
    """
    if box is None:
        return False
    a, b = np.asarray(box, dtype=np.float64), np.asarray(true_boxes, dtype=np.float64)
    b = b.reshape(-1, 4)
    low, high = np.maximum(a[:2], b[:, :2]), np.minimum(a[:2] + a[2:], b[:, :2] + b[:, 2:])
    inside = np.maximum(high - low, 0).prod(axis=1)
    union = a[2:].prod() + b[:, 2:].prod(axis=1) - inside
    return bool((inside >= CORLOC_THRESHOLD * union)[union > 0].any())


def _known(truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) bool foreground, and where the truth isn't void."""
    if truth.dtype == bool:
        return truth, np.ones_like(truth)
    return truth == 1, truth != VOID
