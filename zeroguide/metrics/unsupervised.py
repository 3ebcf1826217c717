"""Scores of clusters without names: clusters are matched to classes first, then compared.

**Dataset level** (STEGO, Hamilton et al., ICLR 2022; Deep Spectral Methods, Melas-Kyriazi et al.,
CVPR 2022): cluster i means the same in all images. The images' overlaps are summed, clusters are
matched once on the sum, and the sum is scored:

    accuracy = trace / sum,  IoU_c = TP / (TP + FP + FN),  mIoU = mean over classes that occur

**Image level** (DiffSeg, DiffCut): every image has its own segments and its own matching; the
matched images are summed afterwards. It is far easier, as nothing has to mean the same in two
images: never put the two in one table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from zeroguide.metrics.overlap import Overlap


@dataclass(frozen=True)
class ClassScores:
    """Scores of C classes after matching.

    Attributes:
        accuracy: share of the pixels whose class is right, in [0, 1]; NaN without pixels.
        iou: (C,) float64 in [0, 1]; NaN for classes neither in the truth nor predicted.
        class_accuracy: (C,) float64 share of each class's pixels that are right; NaN without any.
    """

    accuracy: float
    iou: np.ndarray
    class_accuracy: np.ndarray

    @property
    def miou(self) -> float:
        """Mean of the IoUs that aren't NaN; NaN if all are."""
        known = self.iou[~np.isnan(self.iou)]
        return float(known.mean()) if len(known) else float("nan")


def hungarian_counts(overlap: Overlap) -> np.ndarray:
    """(m,) class of each cluster so that most pixels are right, one cluster per class (STEGO).

    With more clusters than classes those left over get -1: their pixels are wrong everywhere.
    """
    return _hungarian(overlap.counts)


def hungarian_iou(overlap: Overlap) -> np.ndarray:
    """(m,) class of each cluster so that the IoUs' sum is highest, one cluster per class, else -1.

    The Pascal VOC protocol for as many clusters as classes (Deep Spectral Methods, MaskContrast).
    """
    return _hungarian(overlap.iou)


def majority_vote(overlap: Overlap) -> np.ndarray:
    """(m,) class most of each cluster's pixels have; several clusters may share one.

    The many-to-one protocol, used for over-clustering: more clusters than classes. It grows with
    the number of clusters: a cluster per image scores high. -1 for clusters without a pixel.
    """
    best = overlap.counts.argmax(axis=1) if overlap.counts.shape[1] else np.zeros(0, dtype=int)
    return np.where(overlap.areas > 0, best, -1)


def voc_matching(overlap: Overlap) -> np.ndarray:
    """(m,) class of each cluster: `hungarian_iou`, or `majority_vote` if there are more than C."""
    m, n_classes = overlap.counts.shape
    return hungarian_iou(overlap) if m <= n_classes else majority_vote(overlap)


def image_matching(overlap: Overlap, *, background: int | None = None) -> np.ndarray:
    """(m,) class of each of one image's segments by Hungarian matching inside that image.

    Args:
        overlap: one image's segments x classes.
        background: class that all segments left over are given to (DiffCut's rule for VOC and
            COCO-Object); None: -1.
    """
    classes = hungarian_counts(overlap)
    classes[overlap.counts.max(axis=1, initial=0) == 0] = -1
    # A segment paired with a class it doesn't touch was paired only to fill the matching.
    matched = np.flatnonzero(classes >= 0)
    classes[matched[overlap.counts[matched, classes[matched]] == 0]] = -1
    if background is not None:
        classes[classes < 0] = background
    return classes


def class_scores(overlap: Overlap, classes: np.ndarray) -> ClassScores:
    """Scores clusters that were given classes.

    Args:
        overlap: clusters x classes, of one image or summed.
        classes: (m,) int, -1 for none: those pixels, and pixels of no cluster, are only missed.
    """
    n_classes = overlap.counts.shape[1]
    mapped = overlap.grouped(classes, n_classes)
    right = np.diagonal(mapped.counts).astype(np.float64)
    true = mapped.truth_areas
    union = mapped.areas + true - right
    total = true.sum()
    return ClassScores(
        accuracy=float(right.sum() / total) if total else float("nan"),
        iou=_ratio(right, union),
        class_accuracy=_ratio(right, true),
    )


def fit_linear_probe(codes: np.ndarray, classes: np.ndarray, *, seed: int = 0) -> Any:
    """A linear classifier of pixels' codes, the supervised yardstick beside the clusters.

    The published probe is a 1x1 convolution trained by gradient descent with cross entropy; this
    is the same model (multinomial logistic regression) solved to its optimum.

    Args:
        codes: (n, d) float features of single pixels or patches of the training images.
        classes: (n,) int class of each, VOID ones left out of the fit.

    Returns scikit-learn's LogisticRegression: `predict((n, d))` gives (n,) classes. Raises
    ValueError if fewer than two classes are seen.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    known = np.asarray(classes) >= 0
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, random_state=seed))
    return probe.fit(np.asarray(codes)[known], np.asarray(classes)[known])


def _hungarian(scores: np.ndarray) -> np.ndarray:
    """(m,) column of each row so that the sum of scores is highest, -1 for rows left over."""
    from scipy.optimize import linear_sum_assignment

    result = np.full(len(scores), -1)
    rows, columns = linear_sum_assignment(scores, maximize=True)
    result[rows] = columns
    return result


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Quotients, NaN where the denominator is 0."""
    return np.where(denominator > 0, numerator / np.maximum(denominator, 1), np.nan)
