"""Matching clusters without names to classes; `semantic.class_counts` then scores the result.

**Dataset level** (STEGO, Hamilton et al., ICLR 2022; Deep Spectral Methods, Melas-Kyriazi et al.,
CVPR 2022): cluster i means the same in all images. The images' overlaps are summed, clusters are
matched once on the sum, and the sum is scored.

**Image level** (DiffSeg, DiffCut): every image has its own segments and its own matching; the
matched images' counts are summed afterwards. It is far easier, as nothing has to mean the same in
two images: never put the two in one table.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from zeroguide.evaluate.metrics.overlap import Overlap


def hungarian_counts(overlap: Overlap) -> np.ndarray:
    """(m,) class of each cluster so that most pixels are right, one cluster per class (STEGO).

    With more clusters than classes those left over get -1: their pixels are wrong everywhere.
    """
    return _hungarian(overlap.counts)


def hungarian_iou(overlap: Overlap) -> np.ndarray:
    """(m,) class of each cluster so that the sum of IoUs is highest, one per class; else -1."""
    return _hungarian(overlap.iou)


def majority_vote(overlap: Overlap) -> np.ndarray:
    """(m,) class most of each cluster's pixels have; several clusters may share one.

    The many-to-one protocol. It grows with the number of clusters: a cluster per image scores high.
    -1 for clusters without a pixel of any class.
    """
    return np.where(overlap.areas > 0, _argmax_rows(overlap.counts), -1)


def voc_matching(overlap: Overlap) -> np.ndarray:
    """(m,) class of each cluster by the Pascal VOC protocol of Deep Spectral Methods.

    As many clusters as classes: `hungarian_iou`, and so with fewer, as if the others were empty.
    With more (over-clustering) every cluster takes the class it has the highest IoU with, as in the
    released code; -1 without a pixel of any class. As with `majority_vote`, numbers of two numbers
    of clusters don't compare.
    """
    m, n_classes = overlap.counts.shape
    if m <= n_classes:
        return hungarian_iou(overlap)
    return np.where(overlap.areas > 0, _argmax_rows(overlap.iou), -1)


def image_matching(
    overlap: Overlap, *, background: int | None = None, published: bool = False
) -> np.ndarray:
    """(m,) class of each of one image's segments, by Hungarian matching on pixels inside it.

    With a background class many segments may become it (DiffCut's rule for VOC, Context and
    COCO-Object): first the other classes are matched; what is left over becomes one segment; then
    all are matched again.

    Args:
        overlap: one image's segments x classes.
        background: that class, or None.
        published: as DiffSeg's and DiffCut's code: a segment left over is paired with a class
            that is not in the image and adds to its false positives. With which one depends on
            the order of classes and segments. Else it is -1: only missed.
    """
    if background is None:
        return _match_image(overlap.counts, published)
    others = overlap.counts.copy()
    others[:, background] = 0
    first = _match_image(others, published=False)
    groups = np.full(len(first), -1)
    kept = np.flatnonzero(first >= 0)
    groups[kept] = np.arange(len(kept))
    groups[first < 0] = len(kept)
    merged = overlap.grouped(groups, len(kept) + 1)
    return _match_image(merged.counts, published)[groups]


def _match_image(counts: np.ndarray, published: bool) -> np.ndarray:
    """(m,) class of each segment, -1 for none, from (m, C) pixels of one image."""
    m, n_classes = counts.shape
    # Classes are the rows and there are at least as many columns, as in the published code:
    # the solver breaks ties by their order.
    table = np.zeros((n_classes, max(m, n_classes)), dtype=np.int64)
    table[:, :m] = counts.T
    classes = np.full(table.shape[1], -1)
    classes[_hungarian(table)] = np.arange(n_classes)
    classes = classes[:m]
    if not published:
        # A segment paired with a class it doesn't touch was paired only to fill the matching.
        classes[counts[np.arange(m), classes] == 0] = -1
    return classes


def fit_linear_probe(codes: np.ndarray, classes: np.ndarray, *, seed: int = 0) -> Any:
    """A linear classifier of pixels' codes: the supervised yardstick beside the clusters.

    The published probe is a 1x1 convolution trained by gradient descent with cross entropy; this
    is the same model, multinomial logistic regression, solved to its optimum with scikit-learn's
    weak L2 penalty.

    Args:
        codes: (n, d) float features of single pixels or patches of the training images.
        classes: (n,) int class of each; void ones are left out of the fit.

    Returns an object whose `predict` takes (n, d) codes and gives (n,) classes. Raises ValueError
    if fewer than two classes are seen.
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


def _argmax_rows(table: np.ndarray) -> np.ndarray:
    """(m,) column of each row's highest value, -1 if there are no columns."""
    return table.argmax(axis=1) if table.shape[1] else np.full(len(table), -1)
