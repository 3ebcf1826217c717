"""How well borders agree: boundary F of whole label maps, and Boundary IoU of regions.

**Boundary F** (Martin, Fowlkes and Malik 2004; BSDS500): a border pixel is right if the other map
has one within a tolerance, 0.0075 of the diagonal. F = 2PR / (P + R). The benchmark matches border
pixels one to one and thins its prediction first; here each is asked alone, so two predicted lines
beside one true line both count as right and scores come out a little higher. Don't compare them
with the benchmark's tables.

**Boundary IoU** (Cheng et al., CVPR 2021): IoU of the two masks' inner borders, the pixels of a
mask within d of its contour, d = 0.02 of the diagonal, in the Chebyshev metric as in the released
code, the image's edge being part of the contour.

Neither looks at what is predicted where the truth is void.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zeroguide.evaluate.metrics.overlap import VOID, check_label_map, intersections

TOLERANCE = 0.0075  # of the diagonal, boundary F
DILATION = 0.02  # of the diagonal, Boundary IoU


@dataclass(frozen=True)
class BoundaryCounts:
    """Border pixels of one image or, summed, of many.

    Attributes:
        predicted, predicted_right: border pixels of the prediction; those near a true one.
        true, true_found: border pixels of the truth, of all annotators; those near a predicted one.
    """

    predicted: int
    predicted_right: int
    true: int
    true_found: int

    @property
    def precision(self) -> float:
        """Share of the predicted border that is right; 1 if none is predicted."""
        return self.predicted_right / self.predicted if self.predicted else 1.0

    @property
    def recall(self) -> float:
        """Share of the true border that is found; 1 if there is none."""
        return self.true_found / self.true if self.true else 1.0

    @property
    def f(self) -> float:
        """Harmonic mean of precision and recall in [0, 1]."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0

    def __add__(self, other: BoundaryCounts) -> BoundaryCounts:
        """Both images' border pixels together: the F of a sum weighs pixels, not images."""
        return BoundaryCounts(
            self.predicted + other.predicted,
            self.predicted_right + other.predicted_right,
            self.true + other.true,
            self.true_found + other.true_found,
        )


def boundary_counts(
    segments: np.ndarray, truths: Sequence[np.ndarray], *, tolerance: float = TOLERANCE
) -> BoundaryCounts:
    """Compares the borders of a label map with those of one or several annotators.

    A predicted pixel is right if any annotator has a border near it; every annotator's border is
    to be found (BSDS500's rule).

    Args:
        segments: (H, W) int label map, -1 counting as one more segment.
        truths: (H, W) int label maps, one per annotator; where one is void none is looked at.
        tolerance: Euclidean distance as a share of the diagonal.
    """
    known = np.ones(segments.shape, dtype=bool)
    for truth in truths:
        if truth.shape != segments.shape:
            raise ValueError(f"segments {segments.shape} and truth {truth.shape} differ in size")
        known &= truth != VOID
    radius = tolerance * float(np.hypot(*segments.shape))
    predicted = _borders(segments, known)
    near_predicted = _dilated(predicted, radius)
    near_true = np.zeros_like(known)
    true = found = 0
    for truth in truths:
        border = _borders(truth, known)
        near_true |= _dilated(border, radius)
        true += int(border.sum())
        found += int((border & near_predicted).sum())
    right = int((predicted & near_true).sum())
    return BoundaryCounts(int(predicted.sum()), right, true, found)


def _borders(label_map: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels whose right, lower or lower right neighbour has another label.

    Pairs with a pixel outside `known` make no border.
    """
    result = np.zeros(label_map.shape, dtype=bool)
    for here, there in (
        (np.s_[:, :-1], np.s_[:, 1:]),
        (np.s_[:-1], np.s_[1:]),
        (np.s_[:-1, :-1], np.s_[1:, 1:]),
    ):
        result[here] |= (label_map[here] != label_map[there]) & known[here] & known[there]
    return result


def _dilated(mask: np.ndarray, radius: float) -> np.ndarray:
    """(H, W) bool: pixels whose centre is at most `radius` from one of the mask's.

    A disk is a stack of rows: each is a window along the rows, then shifted up and down. Many times
    as fast as a Euclidean distance transform.
    """
    height, width = mask.shape
    radius = min(radius, float(height + width))  # more reaches nothing else
    margin = int(radius)
    padded = np.pad(mask, ((0, 0), (margin, margin)))
    rows: dict[int, np.ndarray] = {}
    result = np.zeros_like(mask)
    for dy in range(min(margin, height - 1) + 1):
        reach = int(np.sqrt(radius * radius - dy * dy))
        if reach not in rows:
            window = padded[:, margin - reach : margin + reach + width]
            rows[reach] = any_in_window(window, 2 * reach + 1, axis=1)
        row = rows[reach]
        result[dy:] |= row[: height - dy]
        result[: height - dy] |= row[dy:]
    return result


def any_in_window(mask: np.ndarray, length: int, *, axis: int) -> np.ndarray:
    """Whether any of `length` neighbours along an axis is set, for every place of the window.

    (n, m) bool -> bool, shorter by length - 1 along the axis. Windows double in length step by
    step, so that a long one costs hardly more than a short one.
    """
    before = (slice(None),) * axis
    done = 1
    while done < length:
        step = min(done, length - done)
        mask = mask[(*before, slice(None, -step))] | mask[(*before, slice(step, None))]
        done += step
    return mask


def boundary_iou(
    segments: np.ndarray,
    truth: np.ndarray,
    n_segments: int,
    n_classes: int,
    *,
    dilation: float = DILATION,
) -> np.ndarray:
    """(n_segments, n_classes) float64 Boundary IoU in [0, 1] of every segment with every class.

    0 where both are empty. For two masks: label maps of 0 inside and -1 outside, the truth's
    outside being 1 and not void; entry [0, 0].

    Args:
        segments: (H, W) int, 0..n_segments-1 or -1.
        truth: (H, W) int, 0..n_classes-1 or VOID; to classes, void is a neighbour like any.
        dilation: d as a share of the diagonal, rounded, at least one pixel.
    """
    check_label_map(segments, n_segments, "segments")
    check_label_map(truth, n_classes, "truth")
    if segments.shape != truth.shape:
        raise ValueError(f"segments {segments.shape} and truth {truth.shape} differ in size")
    distance = max(1, round(dilation * float(np.hypot(*segments.shape))))
    known = truth != VOID
    segments = np.where(known, segments, VOID)  # else what is predicted there would move borders
    inner = np.where(inner_border(segments, distance), segments, VOID)
    inner_truth = np.where(inner_border(truth, distance), truth, VOID)
    overlap = intersections(inner, inner_truth, n_segments, n_classes)
    both = overlap.counts
    union = (overlap.areas + overlap.void)[:, None] + overlap.truth_areas - both
    return both / np.maximum(union, 1)


def inner_border(label_map: np.ndarray, distance: int) -> np.ndarray:
    """(H, W) bool: pixels with another label, or the image's edge, within `distance` pixels.

    In the Chebyshev metric: a pixel is inside if the square around it, of 2 * distance + 1 pixels a
    side, has one label. That is so if none of its rows has a change of label and its middle column
    has none either.
    """
    height, width = label_map.shape
    border = np.ones((height, width), dtype=bool)
    if min(height, width) <= 2 * distance:
        return border
    middle = np.s_[distance : width - distance]
    uneven_rows = any_in_window(label_map[:, 1:] != label_map[:, :-1], 2 * distance, axis=1)
    uneven = any_in_window(uneven_rows, 2 * distance + 1, axis=0)  # (H - 2d, W - 2d)
    changes = label_map[1:, middle] != label_map[:-1, middle]
    uneven |= any_in_window(changes, 2 * distance, axis=0)
    border[distance : height - distance, middle] = uneven
    return border
