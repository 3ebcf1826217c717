"""How many segments an image has: three criteria, each a pure function of what a method computes.

`eigengap` for spectral methods, `merge_cost` for Ward's tree, `silhouette` for any method at all,
by comparing its label maps. None knows what a person would call an object: they find the number at
which the features fall apart most clearly, which is too small where things look alike, and too
large for a texture of a few distinct tones. On Playroom scenes `merge_cost` is the best by far: the
other two mostly say 2 to 4 where there are 5 regions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Chosen on the validation world; docs/results.md has what it gives on the test world. It gives more
# segments than there are regions, the safe side: they can still be merged by meaning.
MERGE_SHARE = 0.015
NEGLIGIBLE = 1e-6  # of the largest value: a difference that is only rounding


def eigengap(eigenvalues: np.ndarray) -> int:
    """The number of segments at the largest gap of a normalised Laplacian's eigenvalues.

    von Luxburg, "A Tutorial on Spectral Clustering", 2007: choose k such that the first k values
    are small and the next is relatively large. eigenvalues: the (m,) smallest, in ascending order,
    from the trivial 0 on. The gap after the first, which says that there is one segment, is left
    out, as Deep Spectral (Melas-Kyriazi et al., CVPR 2022) does: affinities of patch features are
    never near 0, so it would win on nearly every image. 1 if the others show no gap, m - 1 at most.
    Fails where clusters overlap: then no gap stands out, and the largest is chance.
    """
    values = np.asarray(eigenvalues, dtype=np.float64)
    gaps = np.diff(values)[1:]
    if len(gaps) == 0 or gaps.max() <= NEGLIGIBLE * max(np.abs(values).max(), 1e-30):
        return 1
    return 2 + int(gaps.argmax())


def silhouette(rows: np.ndarray, label_maps: Sequence[np.ndarray]) -> int:
    """The index of the label map with the best silhouette; of equal ones, of that with fewest ids.

    rows: (n, d), the features that were clustered; label_maps: any number of integer maps with n
    cells in all, ids 0..k-1 (see `mean_silhouette`). One segment scores 0.
    """
    scores = [mean_silhouette(rows, label_map) for label_map in label_maps]
    best = max(scores)
    close = [i for i, score in enumerate(scores) if score >= best - NEGLIGIBLE]
    return min(close, key=lambda i: int(label_maps[i].max()))


def mean_silhouette(rows: np.ndarray, label_map: np.ndarray) -> float:
    """How much nearer the cells are to their own segment than to the next one, from -1 to 1.

    Rousseeuw, "Silhouettes", 1987: per cell (b - a) / max(a, b), a its mean distance to the others
    of its segment, b the least of its mean distances to another segment, 0 for a segment of one
    cell. With squared distances, unlike the paper's, since their means follow from each segment's
    mean and spread: n * k numbers instead of n * n, without sampling.
    """
    labels = np.asarray(label_map).ravel()
    n_segments = int(labels.max()) + 1
    if n_segments == 1:
        return 0.0
    rows = np.asarray(rows, dtype=np.float64)
    rows = rows - rows.mean(axis=0)  # small numbers: the differences below lose fewer digits
    counts = np.bincount(labels, minlength=n_segments)
    sums = np.zeros((n_segments, rows.shape[1]))
    np.add.at(sums, labels, rows)
    squares = np.square(rows).sum(axis=1)  # (n,)
    spread = np.bincount(labels, squares, minlength=n_segments)  # (k,)
    total = squares[:, None] * counts - 2 * rows @ sums.T + spread  # to all cells of each segment
    total = np.maximum(total, 0)
    cell = np.arange(len(labels))
    own = counts[labels]
    inside = total[cell, labels] / np.maximum(own - 1, 1)
    other = total / counts
    other[cell, labels] = np.inf
    outside = other.min(axis=1)
    larger = np.maximum(np.maximum(inside, outside), NEGLIGIBLE * max(squares.max(), 1e-30))
    return float(np.where(own > 1, (outside - inside) / larger, 0).mean())


def merge_cost(heights: np.ndarray, share: float = MERGE_SHARE) -> int:
    """The number of segments left when every merge is refused that loses more than `share`.

    Ward, "Hierarchical Grouping to Optimize an Objective Function", 1963: a merge costs what it
    adds to the variance within the segments, half the square of its height; all merges together
    cost the whole variance. (On a grid a later merge may cost less than an earlier one: what the
    tree undoes are the last ones, as many as are refused.) So a merge is refused that adds more
    than this share of it. heights: (n - 1,) of Ward's tree, in any order. The better known rule of
    Mojena (1977), heights far above their mean, depends on the number of leaves: twice as fine a
    grid gives twice as many segments. Fails where one contrast takes most of the variance (parts
    that differ less then cost too little to be kept) and for images of fewer than some hundred
    cells, where every cell is a large share.
    """
    costs = np.square(np.asarray(heights, dtype=np.float64))
    return 1 + int((costs > share * costs.sum()).sum())
