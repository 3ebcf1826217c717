"""Ward's tree of merges: of all pairs of cells, or of neighbours on the patch grid.

Ward, "Hierarchical grouping to optimize an objective function", JASA 1963: the two clusters are
merged whose union adds the least variance, m n / (m + n) times the squared distance of their means.
Heights are the square root of twice that, as those of scipy and scikit-learn are. Among neighbours
this is scikit-learn's `ward_tree`, but without its import, which takes longer than the photograph.
"""

from __future__ import annotations

import heapq

import numpy as np


def ward(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All merges of cells (n, d), any two of which may merge.

    Returns merges (n - 1, 2) int64, numbers of nodes, of which the first n are cells and node n + i
    is what merge i made; and their heights (n - 1,) float64, ascending. Holds all pairs: 4 n^2
    bytes.
    """
    from scipy.cluster.hierarchy import linkage

    tree = linkage(rows, method="ward")
    return tree[:, :2].astype(np.int64), tree[:, 2]


def ward_of_grid(rows: np.ndarray, h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
    """The same of cells (h * w, d), row by row, where only clusters that touch merge.

    Heights needn't ascend: what has waited for a neighbour may then merge at less than what was
    merged before.
    """
    n = h * w
    sums = np.empty((2 * n - 1, rows.shape[1]))
    sums[:n] = rows
    sizes = np.ones(2 * n - 1)
    cells = np.arange(n).reshape(h, w)
    beside = (cells[:, :-1].ravel(), cells[:, 1:].ravel())
    below = (cells[:-1].ravel(), cells[1:].ravel())
    pairs = np.concatenate([np.stack(beside, 1), np.stack(below, 1)])
    neighbours: list[set[int]] = [set() for _ in range(n)]
    for a, b in pairs.tolist():
        neighbours[a].add(b)
        neighbours[b].add(a)
    gaps = sums[pairs[:, 0]] - sums[pairs[:, 1]]
    costs = np.einsum("ij,ij->i", gaps, gaps) / 2
    heap = [(cost, a, b) for cost, (a, b) in zip(costs.tolist(), pairs.tolist(), strict=True)]
    heapq.heapify(heap)
    merges, heights = np.empty((n - 1, 2), np.int64), np.empty(n - 1)
    is_merged = bytearray(2 * n - 1)
    for new in range(n, 2 * n - 1):
        cost, a, b = heapq.heappop(heap)
        while is_merged[a] or is_merged[b]:
            cost, a, b = heapq.heappop(heap)
        is_merged[a] = is_merged[b] = True
        merges[new - n], heights[new - n] = (a, b), cost
        sums[new], sizes[new] = sums[a] + sums[b], sizes[a] + sizes[b]
        own = (neighbours[a] | neighbours[b]) - {a, b}
        neighbours.append(own)
        if not own:
            continue
        others = np.fromiter(sorted(own), np.int64, len(own))
        gaps = sums[others] / sizes[others, None] - sums[new] / sizes[new]
        costs = np.einsum("ij,ij->i", gaps, gaps)
        costs *= sizes[others] * sizes[new] / (sizes[others] + sizes[new])
        for cost, other in zip(costs.tolist(), others.tolist(), strict=True):
            neighbours[other] -= {a, b}
            neighbours[other].add(new)
            heapq.heappush(heap, (cost, other, new))
    return merges, np.sqrt(2 * heights)
