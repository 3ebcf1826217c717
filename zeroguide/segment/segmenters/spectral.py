"""Deep Spectral segmentation: k-means on the eigenvectors of the cosine graph.

Melas-Kyriazi et al., "Deep Spectral Methods: A Surprisingly Strong Baseline for Unsupervised
Semantic Segmentation and Localization", CVPR 2022, for keys of DINO. Affinities are the positive
cosines; two segments are the signs of the first eigenvector; more are found by k-means on the first
few. Unlike the source, colours don't enter the affinities, as only features are known here.

Fails where cosines are all alike: then even parts of different content hang together, and the later
vectors describe gradual changes. A thing much smaller than the others has no vector of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from zeroguide.errors import UsageError
from zeroguide.segment.segmenters.affinity import Grid, cosines, first_equal
from zeroguide.segment.segmenters.common import SegmenterResult, check_n_segments, contiguous
from zeroguide.segment.segmenters.eigen import cut_vectors
from zeroguide.system.one_thread import one_thread

N_INIT = 10


@one_thread()
def spectral(
    features: Any, *, n_segments: int, n_vectors: int = 5, center: bool = False, seed: int = 0
) -> SegmenterResult:
    """Clusters features (h, w, d) into at most `n_segments` segments; no merge tree.

    n_vectors: how many eigenvectors k-means sees. `center` is explained at
    segmenters.affinity.Grid.build. Segments need not be of one piece. Raises UsageError
    for values out of range.
    """
    check_n_segments(n_segments)
    if n_vectors < 1:
        raise UsageError(f"segmenter.n_vectors={n_vectors} is too small: choose 1 or more")
    grid = Grid.build(features, center=center)
    labels = np.zeros(len(grid.coarse_rows), np.int64)
    if n_segments > 1 and not grid.is_constant:
        affinity = cosines(grid.coarse_rows)
        np.maximum(affinity, 0, out=affinity)
        same = first_equal(grid.coarse_rows)
        _, vectors = cut_vectors(affinity, 1 if n_segments == 2 else n_vectors, seed=seed)
        if vectors.shape[1] == 0:  # all cells are linked alike
            pass
        elif n_segments == 2:
            labels = (vectors[:, 0] > 0).astype(np.int64)
        else:
            labels = _kmeans(vectors, min(n_segments, len(np.unique(same))), seed)
        labels = labels[same]
    return SegmenterResult(contiguous(grid.spread(labels))[0])


def _kmeans(vectors: np.ndarray, n_clusters: int, seed: int) -> np.ndarray:
    from sklearn.cluster import KMeans

    with one_thread():
        return KMeans(n_clusters, n_init=N_INIT, random_state=seed).fit_predict(vectors)
