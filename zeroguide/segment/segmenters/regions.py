"""Label maps tidied by place: split into connected parts, and small parts given to a neighbour.

A region here is a part of one label that hangs together over shared edges (4 neighbours).
Clustering by features leaves specks of one cell: a segment of a few cells has no useful embedding.
Removing them is region merging by size (Haralick and Shapiro, "Image Segmentation Techniques",
CVGIP 1985; the last step of Felzenszwalb and Huttenlocher, IJCV 2004), with the longest common
border instead of the most alike neighbour, since only the map is known here. It fails where
something small matters: a bird in the sky goes the way of a speck.
"""

from __future__ import annotations

import heapq

import numpy as np

from zeroguide.errors import UsageError
from zeroguide.segment.segmenters.common import SegmenterResult, contiguous, pruned


def connected_parts(label_map: np.ndarray) -> np.ndarray:
    """Every connected part of (h, w) labels gets its own id: (h, w) int32, ids row by row."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    a, b = _neighbours(label_map.shape)
    equal = label_map.ravel()[a] == label_map.ravel()[b]
    a, b = a[equal], b[equal]
    n = label_map.size
    graph = coo_array((np.ones(len(a), dtype=bool), (a, b)), shape=(n, n))
    parts = connected_components(graph, directed=False)[1]
    return contiguous(parts.reshape(label_map.shape))[0]


def remove_small(result: SegmenterResult, min_share: float) -> SegmenterResult:
    """Gives every region below `min_share` of the picture (0 to 1) to a neighbour.

    The smallest region comes first and takes the label of the neighbour with which it shares the
    longest border (of equal ones the larger, then the first row by row); sizes and borders are
    brought up to date before the next one. In the end no region is smaller, or there is only one.
    Large regions of one label keep their common label. A label of which only specks exist is gone,
    also from the merge tree. Raises UsageError for a share out of range.
    """
    if not 0 <= min_share <= 1:
        raise UsageError(
            f"segmenter.min_share={min_share} is out of range: choose a share from 0 to 1"
        )
    parts = connected_parts(result.label_map)
    merged = _Regions(parts, result.label_map).merge_below(min_share * parts.size)
    label_map, kept = contiguous(merged[parts])
    return SegmenterResult(
        label_map,
        None if result.tree is None else pruned(result.tree, kept),
        None if result.classes is None else result.classes[kept],
    )


class _Regions:
    """The regions of a label map with their labels, sizes and borders, while they are merged."""

    def __init__(self, parts: np.ndarray, label_map: np.ndarray) -> None:
        self.sizes = np.bincount(parts.ravel()).tolist()
        first = np.unique(parts, return_index=True)[1]
        self.labels = label_map.ravel()[first].tolist()
        self.parent = list(range(len(self.sizes)))
        self.borders: list[dict[int, int]] = [{} for _ in self.sizes]  # neighbour -> common edges
        a, b = (parts.ravel()[side] for side in _neighbours(parts.shape))
        pairs = np.stack([np.minimum(a, b), np.maximum(a, b)], axis=1)[a != b]
        for (i, j), length in zip(*_counts(pairs, len(self.sizes)), strict=True):
            self.borders[i][j] = self.borders[j][i] = length

    def merge_below(self, least: float) -> np.ndarray:
        """Merges until no region has fewer cells than `least`; the label of each part (n,)."""
        queue = [(size, i) for i, size in enumerate(self.sizes) if size < least]
        heapq.heapify(queue)
        while queue:
            size, i = heapq.heappop(queue)
            if self.parent[i] != i or self.sizes[i] != size or not self.borders[i]:
                continue  # merged since, grown since, or the only region left
            target = max(self.borders[i], key=lambda j: (self.borders[i][j], self.sizes[j], -j))
            self._join(i, target)
            # The region between two of the same label has taken that label: they are one now.
            label = self.labels[target]
            for j in [j for j in self.borders[target] if self.labels[j] == label]:
                self._join(j, target)
            if self.sizes[target] < least:
                heapq.heappush(queue, (self.sizes[target], target))
        return np.array([self.labels[self._root(i)] for i in range(len(self.parent))])

    def _join(self, i: int, target: int) -> None:
        self.parent[i] = target
        self.sizes[target] += self.sizes[i]
        for j, length in self.borders[i].items():
            del self.borders[j][i]
            if j != target:
                total = self.borders[target].get(j, 0) + length
                self.borders[target][j] = self.borders[j][target] = total
        self.borders[i] = {}

    def _root(self, i: int) -> int:
        while self.parent[i] != i:
            self.parent[i] = self.parent[self.parent[i]]
            i = self.parent[i]
        return i


def _neighbours(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of cells (flat indices) with a common edge, each once."""
    cell = np.arange(shape[0] * shape[1]).reshape(shape)
    a = np.concatenate([cell[:, :-1].ravel(), cell[:-1].ravel()])
    b = np.concatenate([cell[:, 1:].ravel(), cell[1:].ravel()])
    return a, b


def _counts(pairs: np.ndarray, n: int) -> tuple[list[tuple[int, int]], list[int]]:
    """The different rows of pairs (m, 2), ids below n, and how often each occurs."""
    keys, counts = np.unique(pairs[:, 0].astype(np.int64) * n + pairs[:, 1], return_counts=True)
    return list(zip((keys // n).tolist(), (keys % n).tolist(), strict=True)), counts.tolist()
