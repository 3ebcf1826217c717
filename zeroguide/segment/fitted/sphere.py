"""Clusters of directions: spherical k-means, and the projection of features it works on.

Dhillon and Modha, "Concept Decompositions for Large Sparse Text Data Using Clustering", Machine
Learning 2001: k-means on unit vectors, with the cosine in place of the distance and the mean scaled
back to length 1. Starts are greedy k-means++ (Arthur and Vassilvitskii, SODA 2007) with 1 - cosine
as the distance, the best of `N_INIT` by the sum of cosines.

It favours clusters of similar width: one very common content takes several classes before a rare
one gets its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zeroguide.errors import UsageError
from zeroguide.segment.segmenters.common import principal_axes
from zeroguide.system.one_thread import one_thread

N_INIT = 3
MAX_ITERATIONS = 100
SAME = 1e-6  # of 1 - cosine: what float32 leaves between equal directions
# Of a centred unit feature's length: below it, the feature is the mean. Stored features are rounded
# to float16, which moves a unit feature by up to 5e-4.
AT_THE_MEAN = 1e-3


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows (n, d) scaled to length 1; rows of zeros stay zeros."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(lengths, 1e-12)


@dataclass(frozen=True)
class Projection:
    """Unit features, less their mean, on some directions, scaled to length 1 again.

    All features of a data set share a large part; what sets them apart shows once it is taken off.
    mean: (d,) float32. axes: (d, k) float32, orthonormal columns.
    """

    mean: np.ndarray
    axes: np.ndarray

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Rows (n, d) -> unit rows (n, k) float32; a feature at the mean becomes zeros."""
        return self.project_unit(unit(rows))

    @one_thread()
    def project_unit(self, rows: np.ndarray) -> np.ndarray:
        """The same for rows that are unit features or means of some."""
        centred = rows - self.mean
        centred[np.linalg.norm(centred, axis=1) < AT_THE_MEAN] = 0
        return unit(centred @ self.axes).astype(np.float32)


def check_components(n_components: int | float) -> None:
    """UsageError unless it is a number of components or a share of the variance."""
    if n_components <= 0 or (n_components > 1 and n_components != int(n_components)):
        raise UsageError(
            f"n_components={n_components} is out of range: choose a number of components (1 or "
            "more) or a share of the variance below 1"
        )


@one_thread()
def fit_projection(rows: np.ndarray, n_components: int | float) -> Projection:
    """The projection of rows (n, d) on their principal components.

    n_components: how many, at most d; below 1 as many as hold that share of the variance. Raises
    UsageError if out of range.
    """
    check_components(n_components)
    rows = unit(rows)
    mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    # One component or more is a number of them, also as 1.0.
    axes = principal_axes(rows - mean, n_components if n_components < 1 else int(n_components))
    return Projection(mean, np.ascontiguousarray(axes))


@one_thread()
def spherical_kmeans(rows: np.ndarray, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Clusters unit rows (n, d): centres (m, d) float32, unit, and labels (n,) int64.

    m is at most k, and fewer where there are fewer different directions. Clusters come in the order
    of their size, the largest first. Rows of zeros have no direction: they move no centre and get
    label 0. Without any other row there is one centre of zeros.
    """
    directed = rows.any(axis=1)
    points = np.ascontiguousarray(rows[directed], dtype=np.float32)
    labels = np.zeros(len(rows), dtype=np.int64)
    if len(points) == 0:
        return np.zeros((1, rows.shape[1]), dtype=np.float32), labels
    rng = np.random.default_rng(seed)
    best = -np.inf
    for _ in range(N_INIT):
        candidate, score = _lloyd(points, _spread_out(points, k, rng))
        if score > best:
            centres, best = candidate, score
    assigned = nearest_centres(points, centres)
    order = np.argsort(-np.bincount(assigned, minlength=len(centres)), kind="stable")
    labels[directed] = np.argsort(order)[assigned]
    return centres[order], labels


def nearest_centres(rows: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Index (n,) of the centre (m, d) with the largest cosine to each row (n, d); both unit."""
    return (rows @ centres.T).argmax(axis=1)


def _spread_out(points: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Greedy k-means++: at most k of the points, far from each other; fewer if all are met.

    Each is the best of several drawn by their distance from those before, as in scikit-learn.
    """
    n_drawn = 2 + int(np.log(k))
    chosen = [int(rng.integers(len(points)))]
    distance = np.maximum(1 - points @ points[chosen[0]], 0)
    while len(chosen) < k:
        weights = np.where(distance > SAME, distance, 0).astype(np.float64)
        total = weights.sum()
        if total == 0:
            break
        drawn = rng.choice(len(points), size=n_drawn, p=weights / total)
        distances = np.minimum(distance, np.maximum(1 - points[drawn] @ points.T, 0))
        best = int(distances.sum(axis=1, dtype=np.float64).argmin())
        chosen.append(int(drawn[best]))
        distance = distances[best]
    return points[chosen]


def _lloyd(points: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, float]:
    """Centres after convergence, all used, and the mean cosine of the points to their own."""
    labels = np.full(len(points), -1)
    for _ in range(MAX_ITERATIONS):
        cosines = points @ centres.T
        before, labels = labels, cosines.argmax(axis=1)
        if np.array_equal(before, labels):
            break
        centres = _means(points, labels, centres)
        for empty in np.flatnonzero(np.bincount(labels, minlength=len(centres)) == 0):
            cosine = (points * centres[labels]).sum(axis=1)
            labels[cosine.argmin()] = empty  # the point that its centre stands for least
            centres[empty] = points[cosine.argmin()]
    cosines = points @ centres.T
    used = np.unique(cosines.argmax(axis=1))
    return centres[used], float(cosines.max(axis=1).mean(dtype=np.float64))


def _means(points: np.ndarray, labels: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The normalised mean of each cluster; an empty one keeps its centre."""
    from scipy.sparse import csr_array

    n = len(points)
    member = csr_array((np.ones(n, np.float32), (labels, np.arange(n))), shape=(len(centres), n))
    sums = member @ points
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.where(lengths > 1e-6, sums / np.maximum(lengths, 1e-6), centres).astype(np.float32)
