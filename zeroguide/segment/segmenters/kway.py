"""Normalised cut into k parts at once, by moving cells: no eigenvectors.

Zhang et al., "Falcon: Fast Proximal Linearization of Normalized Cuts for Unsupervised Image
Segmentation", ICLR 2026, raise the sum over parts of (links inside / volume), which is k minus the
normalised cut, by moving cells to the part with the best gradient. Written from its abstract and
from Dhillon et al., "Weighted Graph Cuts without Eigenvectors", PAMI 2007: affinities as in DiffCut
(cosines stretched to 0..1, to the power 10); starts by k-means++ on cosines; every step moves all
cells that gain, or, if together they would do harm, the half that gains most, and so on. The best
of a few starts is kept. Falcon's inertia and its refinement of the masks aren't there.

Fails like k-means: it ends in a local optimum, splits large plain regions to use up its parts, and
prefers parts of similar volume.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from zeroguide.errors import UsageError
from zeroguide.segment.segmenters.affinity import Grid, cosines, first_equal, sharpened
from zeroguide.segment.segmenters.common import SegmenterResult, check_n_segments, contiguous
from zeroguide.system.one_thread import one_thread

N_STARTS = 3
MAX_STEPS = 50


@one_thread()
def kway(
    features: Any, *, n_segments: int, power: int = 10, center: bool = False, seed: int = 0
) -> SegmenterResult:
    """Cuts features (h, w, d) into at most `n_segments` segments; no merge tree.

    power: of the affinities; the higher, the less count cells that are only somewhat alike.
    `center` is explained at segmenters.affinity.Grid.build. Raises UsageError for values
    out of range.
    """
    check_n_segments(n_segments)
    if power < 1:
        raise UsageError(f"segmenter.power={power} is too small: choose 1 or more")
    grid = Grid.build(features, center=center)
    labels = np.zeros(len(grid.coarse_rows), np.int64)
    if n_segments > 1 and not grid.is_constant:
        affinity = sharpened(cosines(grid.coarse_rows), power)
        same = first_equal(grid.coarse_rows)
        k = min(n_segments, len(np.unique(same)))
        # One generator for all starts: their draws differ.
        rng = np.random.RandomState(seed)
        starts = [_start(grid.coarse_rows, k, rng) for _ in range(N_STARTS)]
        ends = [_improve(affinity, start, k) for start in starts]
        labels = max(ends, key=lambda end: end[0])[1][same]
    return SegmenterResult(contiguous(grid.spread(labels))[0])


def _start(rows: np.ndarray, k: int, rng: np.random.RandomState) -> np.ndarray:
    """(n,) parts around k cells that are drawn far from each other."""
    from sklearn.cluster import kmeans_plusplus

    with one_thread():
        _, drawn = kmeans_plusplus(rows, k, random_state=rng)
    return (rows @ rows[drawn].T).argmax(axis=1)


def _improve(affinity: np.ndarray, labels: np.ndarray, k: int) -> tuple[float, np.ndarray]:
    """Moves cells until no step helps: the sum of (links inside / volume), and the parts (n,)."""
    n = len(labels)
    cells = np.arange(n)
    degree = affinity.sum(axis=1, dtype=np.float64)
    links = affinity @ _one_hot(labels, k)  # (n, k) of each cell to each part
    quality, volume = _quality(links, labels, degree, k)
    for _ in range(MAX_STEPS):
        # The gradient of inside / volume: a cell's links weigh the more, the smaller the part.
        inside = np.bincount(labels, links[cells, labels], k)
        full = np.maximum(volume, 1e-12)
        score = 2 * links / full - np.outer(degree, inside / full**2)
        score[:, volume == 0] = -np.inf
        best = score.argmax(axis=1)
        gain = score[cells, best] - score[cells, labels]
        moved = np.flatnonzero(gain > 1e-9 * degree / degree.sum())
        moved = moved[np.argsort(-gain[moved], kind="stable")]
        while len(moved):
            new = labels.copy()
            new[moved] = best[moved]
            change = _one_hot(new, k) - _one_hot(labels, k)
            if len(moved) > n // 4:  # faster than picking their rows, and holds no second matrix
                new_links = links + affinity @ change
            else:
                new_links = links + affinity[moved].T @ change[moved]
            new_quality, new_volume = _quality(new_links, new, degree, k)
            if new_quality > quality + 1e-7:
                break
            moved = moved[: len(moved) // 2]
        else:
            break
        labels, links, quality, volume = new, new_links, new_quality, new_volume
    return quality, labels


def _quality(
    links: np.ndarray, labels: np.ndarray, degree: np.ndarray, k: int
) -> tuple[float, np.ndarray]:
    """The sum over parts of (links inside / volume), and the volumes (k,)."""
    volume = np.bincount(labels, degree, k)
    inside = np.bincount(labels, links[np.arange(len(labels)), labels], k)
    return float((inside / np.maximum(volume, 1e-12)).sum()), volume


def _one_hot(labels: np.ndarray, k: int) -> np.ndarray:
    return np.eye(k, dtype=np.float32)[labels]
