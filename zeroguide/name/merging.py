"""The merge graph: segments are nodes, edges join the pairs that may become one.

An edge weighs ``w * cos(embeddings) + (1 - w) * cos(label embeddings)``, as in zero-guidance
segmentation (ICCV 2023), which merges at 0.8 and above. That work lets only siblings of the
clustering tree merge, upwards; here pairs that touch, or any pairs at all, may merge too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import networkx as nx
import numpy as np
import torch
import torch.nn.functional as F

from zeroguide.name.name import UNNAMED
from zeroguide.recipe import Merge

Parts = tuple[int, ...]
"""A segment: the over-segments it is made of, ascending."""

T = TypeVar("T")


class Merger:
    """Says which segments of one image are to become one.

    Args:
        merge: the recipe's section.
        label_map: (H, W) integers, the image's over-segments.
        tree: (n-1, 2), the segmenter's merge tree.

    Raises:
        ValueError: the edges "siblings" without a tree.
    """

    def __init__(self, merge: Merge, label_map: np.ndarray, tree: np.ndarray | None) -> None:
        if merge.edges == "siblings" and tree is None:
            raise ValueError("the edges 'siblings' need the segmenter's tree")
        self._merge, self._tree = merge, tree
        self._neighbours = adjacent_pairs(label_map) if merge.edges == "adjacent" else set()

    def graph(
        self,
        segments: Sequence[Parts],
        embeddings: torch.Tensor,
        labels: Sequence[str],
        label_embeddings: torch.Tensor,
    ) -> nx.Graph:
        """The merge graph of n segments of the image; tensors as in `merge_graph`."""
        label_embeddings = label_embeddings.clone()
        # Not to have been named is nothing that segments have in common.
        label_embeddings[[label == UNNAMED for label in labels]] = 0
        return merge_graph(
            embeddings,
            label_embeddings,
            pairs=self._pairs(segments),
            embedding_weight=self._merge.embedding_weight,
        )

    def _pairs(self, segments: Sequence[Parts]) -> set[tuple[int, int]] | None:
        if self._merge.edges == "siblings":
            assert self._tree is not None
            return sibling_pairs(segments, self._tree)
        if self._merge.edges == "adjacent":
            return lift_pairs(self._neighbours, segments)
        return None


def merge_all(
    segments: list[list[T]],
    alike: Callable[[list[T]], list[list[T]]],
    join: Callable[[list[list[list[T]]]], list[list[T]]],
) -> list[list[T]]:
    """Join the alike segments of every image, and the joined ones again, until none are alike.

    Args:
        segments: of each image.
        alike: an image's segments -> the same in groups that are to become one.
        join: each image's groups of two or more -> the segments that they become.
    """
    while True:
        groups = [alike(of_image) if of_image else [] for of_image in segments]
        larger = [[group for group in of_image if len(group) > 1] for of_image in groups]
        if not any(larger):
            return segments
        segments = [
            [group[0] for group in of_image if len(group) == 1] + joined
            for of_image, joined in zip(groups, join(larger), strict=True)
        ]


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


def lift_pairs(pairs: Iterable[tuple[int, int]], segments: Sequence[Parts]) -> set[tuple[int, int]]:
    """Pairs of over-segments -> pairs (i, j), i < j, of the different segments they are in."""
    segment_of = {part: i for i, parts in enumerate(segments) for part in parts}
    both = ((segment_of[a], segment_of[b]) for a, b in pairs if {a, b} <= segment_of.keys())
    return {(min(i, j), max(i, j)) for i, j in both if i != j}


def sibling_pairs(segments: Sequence[Parts], tree: np.ndarray) -> set[tuple[int, int]]:
    """Pairs (i, j), i < j, of segments that are the two children of a node of the merge tree.

    tree: (n-1, 2), see `zeroguide.segment.segmenters.SegmenterResult`.
    """
    segment = {parts: i for i, parts in enumerate(segments)}
    nodes = [(part,) for part in range(len(tree) + 1)]
    pairs: set[tuple[int, int]] = set()
    for a, b in tree.tolist():
        nodes.append(tuple(sorted(nodes[a] + nodes[b])))
        if nodes[a] in segment and nodes[b] in segment:
            i, j = sorted((segment[nodes[a]], segment[nodes[b]]))
            pairs.add((i, j))
    return pairs
