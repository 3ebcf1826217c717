"""k-means on patch features: the plainest over-segmenter.

Lloyd's algorithm with k-means++ starts (scikit-learn), the best of ten. Wide features are clustered
from all ten starts on their first principal components only, and the best result then improved on
all dimensions: a local optimum like any other, found faster. Segments need not be
connected: two dogs apart are one segment unless `spatial_weight` tells them apart. Fails where k
doesn't suit the image, and favours parts of similar size and spread.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from zeroguide.segment.segmenters.common import (
    SegmenterResult,
    check_n_segments,
    contiguous,
    prepare,
)
from zeroguide.system.one_thread import one_thread

N_INIT = 10
WIDE = 48  # dimensions on which the starts are tried


def kmeans(
    features: Any,
    *,
    n_segments: int,
    pca: int | float | None = None,
    umap: int | None = None,
    normalize: bool = False,
    spatial_weight: float = 0.0,
    seed: int = 0,
) -> SegmenterResult:
    """Clusters features (h, w, d) into at most `n_segments` segments; no merge tree.

    There are fewer where the image has fewer different cells. `pca`, `umap`, `normalize`
    and `spatial_weight` are explained at segmenters.common.prepare. Raises UsageError for
    values out of range.
    """
    from sklearn.cluster import KMeans

    check_n_segments(n_segments)
    rows = prepare(features, pca, umap, normalize, spatial_weight, seed)
    # k-means++ can't place more centres than there are different points.
    n_clusters = min(n_segments, len(np.unique(rows, axis=0)))
    with one_thread():
        wide = min(rows.shape) > WIDE
        tried = _first_components(rows) if wide else rows
        labels = KMeans(n_clusters, n_init=N_INIT, random_state=seed).fit_predict(tried)
        if wide:
            used = np.unique(labels)  # the components may not tell all cells apart
            centres = np.stack([rows[labels == i].mean(axis=0) for i in used])
            labels = KMeans(len(used), init=centres, n_init=1).fit_predict(rows)
    h, w = features.shape[:2]
    return SegmenterResult(contiguous(labels.reshape(h, w))[0])


def _first_components(rows: np.ndarray) -> np.ndarray:
    """Centred rows (n, d) on their first WIDE principal components."""
    from scipy.linalg import eigh

    last = rows.shape[1] - 1
    axes = eigh(rows.T @ rows, subset_by_index=[last + 1 - WIDE, last])[1]
    return rows @ axes.astype(rows.dtype)
