"""Foreground and background first, then clusters inside each: the image level of LightCluster.

Cheung, Chen, Yang and Zhao, "A Lightweight Clustering Framework for Unsupervised Semantic
Segmentation", 2023: a vision transformer's attention features (its keys) separate foreground from
background, so a clustering of one image's patches into two gives both; the source then keeps what
clusterings of the whole data set and of the image's category say too. Those two levels need a
folder of images: they are in fitted.multilevel. What is more than in the source: each
half is divided further, where it is least alike, so that no segment lies on both sides. Which half
is the foreground isn't asked.

It fails where the first cut is wrong, since nothing later joins what it separated: an image whose
strongest contrast is between two backgrounds has its things cut along that.
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

N_INIT = 3  # starts of each clustering into two: with two centres few starts go wrong


def multilevel(
    features: Any, *, n_segments: int, normalize: bool = True, seed: int = 0
) -> SegmenterResult:
    """Clusters features (h, w, d) into at most `n_segments` segments; no merge tree.

    There are fewer where the image has fewer different cells. The two halves share `n_segments` as
    they need it: the cluster with the largest sum of squares is divided next, in whichever half it
    lies, and each half's clusters are then adjusted together (k-means). `normalize`: every cell's
    feature scaled to length 1 first. Raises UsageError for values out of range.
    """

    check_n_segments(n_segments)
    rows = prepare(features, normalize=normalize)
    h, w = features.shape[:2]
    labels = np.zeros(len(rows), dtype=np.int64)
    if n_segments > 1:
        halves = _two_means(rows, seed)
        labels = halves if n_segments == 2 else _divide(rows, halves, n_segments, seed)
    return SegmenterResult(contiguous(labels.reshape(h, w))[0])


def _divide(rows: np.ndarray, halves: np.ndarray, n_segments: int, seed: int) -> np.ndarray:
    """Labels (n,) of at most n_segments clusters, each within one of the halves (n,)."""
    labels = halves.copy()
    costs = [_spread(rows[labels == i]) for i in range(int(labels.max()) + 1)]
    tiny = 1e-10 * max(float(np.square(rows).sum()), 1e-30)  # what rounding leaves of equal cells
    while len(costs) < n_segments and max(costs) > tiny:
        i = int(np.argmax(costs))
        members = np.flatnonzero(labels == i)
        parts = _two_means(rows[members], seed)
        if parts.max() == 0:
            costs[i] = 0.0
            continue
        labels[members[parts == 1]] = len(costs)
        costs[i] = _spread(rows[labels == i])
        costs.append(_spread(rows[labels == len(costs)]))
    for half in range(int(halves.max()) + 1):
        members = np.flatnonzero(halves == half)
        ids, own = np.unique(labels[members], return_inverse=True)
        if len(ids) > 1:
            labels[members] = ids[_adjust(rows[members], own)]
    return labels


def _two_means(rows: np.ndarray, seed: int) -> np.ndarray:
    """Labels 0 and 1 (n,); only 0 where all rows are equal."""
    from sklearn.cluster import KMeans

    if (rows == rows[0]).all():
        return np.zeros(len(rows), dtype=np.int64)
    with one_thread():
        return KMeans(2, n_init=N_INIT, random_state=seed).fit_predict(rows).astype(np.int64)


def _adjust(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Lloyd's iterations from the clusters given, ids 0..k-1, all used."""
    from sklearn.cluster import KMeans

    centres = np.stack([rows[labels == i].mean(axis=0) for i in range(int(labels.max()) + 1)])
    with one_thread():
        return KMeans(len(centres), init=centres, n_init=1, random_state=0).fit_predict(rows)


def _spread(rows: np.ndarray) -> float:
    """The sum of squared distances to the mean."""
    return float(np.square(rows - rows.mean(axis=0)).sum())
