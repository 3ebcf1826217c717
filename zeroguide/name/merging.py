"""The merge graph: segments are nodes, edges join the pairs that may become one.

An edge weighs ``w * cos(embeddings) + (1 - w) * cos(label embeddings)``, as in zero-guidance
segmentation (ICCV 2023), which merges at 0.8 and above. That work lets only siblings of the
clustering tree merge, upwards; here pairs that touch, or any pairs at all, may merge too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import networkx as nx
import numpy as np
import torch
import torch.nn.functional as F


def merge_graph(
    embeddings: torch.Tensor,
    label_embeddings: torch.Tensor,
    *,
    pairs: set[tuple[int, int]] | None = None,
    embedding_weight: float = 0.5,
) -> nx.Graph:
    """The graph of n segments; every edge has a "weight", its similarity in [-1, 1].

    Args:
        embeddings: (n, e) segment embeddings, normalised or not.
        label_embeddings: (n, e) text embeddings of the segments' labels.
        pairs: pairs (i, j), i < j, that may merge; None: all of them.
        embedding_weight: share of the embeddings in the similarity; the labels have the rest.
    """
    visual, textual = (F.normalize(x.float(), dim=-1) for x in (embeddings, label_embeddings))
    similarity = embedding_weight * visual @ visual.T + (1 - embedding_weight) * textual @ textual.T
    n = len(embeddings)
    if pairs is None:
        pairs = {(i, j) for i in range(n) for j in range(i + 1, n)}
    graph: nx.Graph = nx.Graph()
    graph.add_nodes_from(range(n))
    values = similarity.cpu().numpy()
    graph.add_weighted_edges_from((i, j, float(values[i, j])) for i, j in sorted(pairs))
    return graph


def merge_groups(graph: nx.Graph, threshold: float) -> list[list[int]]:
    """Segments joined by edges of at least `threshold`: sorted groups, each node in one."""
    strong: nx.Graph = nx.Graph()
    strong.add_nodes_from(graph)
    edges: Iterable[tuple[int, int, float]] = graph.edges(data="weight")
    strong.add_edges_from((i, j) for i, j, weight in edges if weight >= threshold)
    return sorted(sorted(group) for group in nx.connected_components(strong))


def adjacent_pairs(label_map: np.ndarray) -> set[tuple[int, int]]:
    """Pairs (i, j), i < j, of labels that share a border in an (H, W) label map."""
    steps = [(label_map[:, :-1], label_map[:, 1:]), (label_map[:-1], label_map[1:])]
    pairs: set[tuple[int, int]] = set()
    for a, b in steps:
        a, b = a[a != b], b[a != b]
        low, high = np.minimum(a, b).astype(np.int64), np.maximum(a, b).astype(np.int64)
        codes = np.unique(low << 32 | high)
        pairs.update((int(code >> 32), int(code & 0xFFFFFFFF)) for code in codes)
    return pairs


def sibling_pairs(parts: Sequence[tuple[int, ...]], tree: np.ndarray) -> set[tuple[int, int]]:
    """Pairs (i, j), i < j, of segments that are the two children of a node of the merge tree.

    parts: for each segment the over-segments it is made of, ascending. tree: (n-1, 2), see
    zeroguide.segment.segmenters.SegmenterResult.
    """
    segment = {own: i for i, own in enumerate(parts)}
    nodes = [(part,) for part in range(len(tree) + 1)]
    pairs: set[tuple[int, int]] = set()
    for a, b in tree.tolist():
        nodes.append(tuple(sorted(nodes[a] + nodes[b])))
        if nodes[a] in segment and nodes[b] in segment:
            i, j = sorted((segment[nodes[a]], segment[nodes[b]]))
            pairs.add((i, j))
    return pairs
