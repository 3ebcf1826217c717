"""Modularity communities of the graph that links each cell to its most alike others.

Stands in for Li et al., "ACSeg: Adaptive Conceptualization for Unsupervised Semantic Segmentation",
CVPR 2023, which trains prototypes to maximise modularity over a dataset. Here the modularity of one
picture's graph is maximised directly (Blondel et al., "Fast unfolding of communities in large
networks", 2008: the Louvain method, networkx). It finds its own number of segments; where that is
more than may be, communities join in the order in which they would if resolution was lowered bit by
bit, which also is the merge tree.

Fails on things of fewer cells than neighbours are looked for: they hang on what they resemble. The
larger the picture, the more pieces a plain region comes in, as few neighbours reach across it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from zeroguide.errors import UsageError
from zeroguide.segment.segmenters.affinity import Grid, first_equal, neighbour_graph
from zeroguide.segment.segmenters.common import SegmenterResult, check_n_segments, contiguous
from zeroguide.system.one_thread import one_thread


@one_thread()
def communities(
    features: Any,
    *,
    n_segments: int,
    n_neighbours: int = 10,
    resolution: float = 1.0,
    center: bool = False,
    seed: int = 0,
) -> SegmenterResult:
    """Groups features (h, w, d) into at most `n_segments` segments, and gives their merge tree.

    n_neighbours: how many others each cell is linked to. resolution: above 1 favours smaller
    communities, below 1 larger ones. `center` is explained at
    zeroguide.segment.segmenters.affinity.Grid.build. Raises UsageError for values out of range.
    """
    import networkx as nx

    check_n_segments(n_segments)
    if n_neighbours < 1:
        raise UsageError(f"segmenter.n_neighbours={n_neighbours} is too small: choose 1 or more")
    if resolution <= 0:
        raise UsageError(f"segmenter.resolution={resolution} is out of range: choose more than 0")
    grid = Grid.build(features, center=center)
    if n_segments == 1 or grid.is_constant:
        return SegmenterResult(np.zeros(grid.shape, np.int32), np.empty((0, 2), np.int64))
    pairs, alike = neighbour_graph(grid.coarse_rows, n_neighbours)
    weights = np.maximum(alike, 1e-6).astype(np.float64)
    graph: nx.Graph = nx.Graph()
    graph.add_nodes_from(range(len(grid.coarse_rows)))
    graph.add_weighted_edges_from(zip(*pairs.T.tolist(), weights.tolist(), strict=True))
    found = nx.community.louvain_communities(graph, resolution=resolution, seed=seed)
    coarse = np.empty(len(grid.coarse_rows), np.int64)
    for i, members in enumerate(found):
        coarse[list(members)] = i
    coarse = coarse[first_equal(grid.coarse_rows)]
    labels, names = contiguous(grid.spread(coarse))

    # The merges are those of communities that any cell has taken over.
    new_name = np.full(len(found), -1)
    new_name[names] = np.arange(len(names))
    ends = new_name[coarse][pairs]
    kept = (ends >= 0).all(axis=1)
    merges = _merges(ends[kept], weights[kept], len(names))
    n_found = len(merges) + 1
    n = min(n_segments, n_found)
    node = np.arange(2 * n_found - 1)
    for i in reversed(range(n_found - n)):  # from the top down, every node learns its last ancestor
        node[merges[i]] = node[n_found + i]
    label_map, roots = contiguous(node[labels])
    renamed = np.empty(2 * n_found - 1, np.int64)
    renamed[roots] = np.arange(n)
    renamed[2 * n_found - n :] = np.arange(n, 2 * n - 1)
    return SegmenterResult(label_map, renamed[merges[n_found - n :]])


def _merges(ends: np.ndarray, weights: np.ndarray, n: int) -> np.ndarray:
    """(n - 1, 2) nodes that join, n communities first.

    Two communities gain from joining if the links between them, a share of all, exceed resolution *
    product of their shares of all link ends: the pair of largest quotient is first.
    ends: (m, 2) the communities that each link connects.
    """
    links = np.zeros((n, n))
    np.add.at(links, (ends[:, 0], ends[:, 1]), weights / (2 * weights.sum()))
    links += links.T
    share = np.maximum(links.sum(axis=1), 1e-12)
    np.fill_diagonal(links, -np.inf)
    node = np.arange(n)
    merges = np.empty((n - 1, 2), np.int64)
    for i in range(n - 1):
        a, b = sorted(divmod(int((links / np.outer(share, share)).argmax()), n))
        merges[i] = node[a], node[b]
        node[a] = n + i
        links[a] += links[b]
        links[:, a] += links[:, b]
        share[a] += share[b]
        links[b] = links[:, b] = links[a, a] = -np.inf
    return merges
