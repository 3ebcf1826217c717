"""Scores of freely named segments once `assignment` has taken each for a class.

IoU_TT and IoU_ST of zero-guidance segmentation (ICCV 2023) are means over images of

    mean over the classes in the truth or among the predictions of |P_c & G_c| / |P_c | G_c|

where P_c is the union of the segments taken for c (or only the best one, `keep_best`). Pixels
where the truth is void are in no set. A background class has no IoU of its own; a prediction on it
is wrong for a class that is in the image, and ignored for one that isn't: the annotators didn't
say what the background shows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from zeroguide.evaluate.metrics.overlap import Overlap
from zeroguide.evaluate.metrics.semantic import nan_mean


def class_ious(
    overlap: Overlap, classes: np.ndarray, *, background: int | None = None
) -> np.ndarray:
    """(C,) float64 IoU of one image's classes in [0, 1]; NaN if neither true nor predicted.

    Args:
        overlap: segments x classes of the image.
        classes: (m,) int, the class each segment was taken for, -1 for none.
        background: class with the rule above, or None.
    """
    return _weighted_ious(overlap, classes, np.ones(len(overlap.counts)), background)


def soft_ious(
    overlap: Overlap,
    classes: np.ndarray,
    similarity: np.ndarray,
    *,
    background: int | None = None,
) -> np.ndarray:
    """(C,) float64 IoU whose right pixels weigh as much as their label is like the class.

        sum over segments s taken for c of w_sc |s & G_c| / |P_c | G_c|,  w_sc = max(0, similarity)

    Soft IoU is written down in several ways; here similarity only takes away from the IoU, so that
    the true names score 100 %. With `word_iou` in place of cosines it is S-IoU, pixel by pixel.

    Args:
        similarity: (m, C) cosine of each label with each class name, at most 1.
    """
    classes = np.asarray(classes)
    weights = np.zeros(len(classes))
    named = np.flatnonzero(classes >= 0)
    weights[named] = np.clip(np.asarray(similarity)[named, classes[named]], 0, 1)
    return _weighted_ious(overlap, classes, weights, background)


def image_iou(ious: np.ndarray) -> float:
    """Mean of an image's class IoUs, NaN if it has none: IoU_TT or IoU_ST of the image."""
    return nan_mean(ious)


def _weighted_ious(
    overlap: Overlap, classes: np.ndarray, weights: np.ndarray, background: int | None
) -> np.ndarray:
    """IoUs whose intersections are weighted by segment; see `class_ious`, `soft_ious`."""
    classes = np.asarray(classes)
    n_classes = overlap.counts.shape[1]
    table = overlap.grouped(classes, n_classes).counts
    true = overlap.truth_areas
    plain = np.diagonal(table)
    rows = np.flatnonzero(classes >= 0)
    right = np.bincount(
        classes[rows], weights[rows] * overlap.counts[rows, classes[rows]], n_classes
    )
    predicted = table.sum(axis=1)
    if background is not None:
        predicted = np.where(true > 0, predicted, predicted - table[:, background])
    union = predicted + true - plain
    result = np.where(union > 0, right / np.maximum(union, 1), np.nan)
    if background is not None:
        result[background] = np.nan
    return result


def word_iou(label: str, name: str) -> float:
    """Words in both texts / words in either, without regard to case: S-IoU of two names.

    "black dog" and "dog": 0.5. Two texts without a word: 0.
    """
    a, b = (set(re.findall(r"\w+", text.casefold())) for text in (label, name))
    return len(a & b) / len(a | b) if a | b else 0.0


@dataclass(frozen=True)
class Naming:
    """True regions of one image or, summed, of many.

    Attributes:
        localised: regions that a segment fits with an IoU of at least the threshold.
        named: those of them for which such a segment has the region's class.
    """

    localised: int
    named: int

    @property
    def mcmr(self) -> float:
        """(localised - named) / localised: what is found but called something else; in [0, 1].

        NaN if nothing is localised.
        """
        return 1 - self.named / self.localised if self.localised else float("nan")

    def __add__(self, other: Naming) -> Naming:
        """Both images' regions together."""
        return Naming(self.localised + other.localised, self.named + other.named)


def misnamed(
    overlap: Overlap, classes: np.ndarray, region_classes: np.ndarray, *, threshold: float = 0.5
) -> Naming:
    """How many true regions are found, and found with the right name (MCMR@0.5).

    Args:
        overlap: segments x regions.
        classes: (m,) int, the class each segment was taken for, -1 for none.
        region_classes: (r,) int, the class of each region; below 0: it has none, and isn't asked
            for.
    """
    region_classes = np.asarray(region_classes)
    asked = (overlap.truth_areas > 0) & (region_classes >= 0)
    fits = (overlap.iou >= threshold) & asked
    right = fits & (np.asarray(classes)[:, None] == region_classes)
    return Naming(int(fits.any(axis=0).sum()), int(right.any(axis=0).sum()))
