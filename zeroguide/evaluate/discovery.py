"""A folder's own classes: segments of many images, clustered by what CLIP sees and their labels.

A segment's embedding and the embedding of its label are put side by side, weighted as in the merge
of one picture's segments. Spherical k-means makes many small clusters of them, average linkage of
their centres joins these step by step, and the number of classes is given or the one with the best
silhouette. Each class is then named by the decoder from the mean of its embeddings: what one
segment hides, the others show.

Related: Deep Spectral (Melas-Kyriazi et al., CVPR 2022) and COMUS (Zadaianchuk et al., ICLR 2023)
cluster features of segments without naming anything. Unlike theirs, these clusters know texts: two
contents of one look but different names stay apart, and one name holds together many looks. Fails
where the labels are wrong in the same way: all pictures of a thing CLIP doesn't know end in the
class of what it is taken for. Rare content has no class of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from zeroguide.segment.fitted.sphere import nearest_centres, spherical_kmeans, unit
from zeroguide.segment.segmenters.choose import mean_silhouette

SEGMENTS_PER_CLUSTER = 4  # of the small clusters, on average
MOST_CLUSTERS = 1000  # linkage compares all pairs of them
MOST_CLUSTERED = 20_000  # segments that the small clusters are found on; the others join them
BLOCK = 20_000  # segments compared with all clusters at once
MOST_MEASURED = 5000  # segments that the silhouette is taken over
N_TRIED = 40  # numbers of classes


@dataclass(frozen=True, eq=False)
class Classes:
    """Classes of n segments, the largest first.

    labels: (n,) int64, each segment's class, 0..k-1. centres: (k, e) float32, unit: the mean
    direction of each class's embeddings. nearness: (n,) float32, how near each segment is to the
    middle of its class, embedding and label together: a cosine.
    """

    labels: np.ndarray
    centres: np.ndarray
    nearness: np.ndarray

    def examples(self, number: int, images: np.ndarray, n: int) -> list[int]:
        """At most n segments of a class, the most typical first, one an image if there are enough.

        images: (segments,) the image that each segment is in.
        """
        members = np.flatnonzero(self.labels == number)
        members = members[np.argsort(-self.nearness[members], kind="stable")]
        first = np.sort(np.unique(images[members], return_index=True)[1])
        others = np.setdiff1d(np.arange(len(members)), first)
        return members[np.concatenate([first, others])[:n]].tolist()


def discover_classes(
    embeddings: np.ndarray,
    texts: np.ndarray,
    *,
    n_classes: int | None,
    embedding_weight: float = 0.5,
    seed: int = 0,
) -> Classes:
    """Clusters segments of many images.

    Args:
        embeddings: (n, e) the segments' embeddings, normalised or not; n >= 1.
        texts: (n, e') embeddings of their labels; zeros for a segment without a label.
        n_classes: how many classes, fewer if there are fewer segments; None: by the silhouette.
        embedding_weight: share of the embeddings beside the texts, 0 to 1.
    """
    seen = unit(np.asarray(embeddings, np.float32))
    texts = unit(np.asarray(texts, np.float32))
    together = np.concatenate(
        [math.sqrt(embedding_weight) * seen, math.sqrt(1 - embedding_weight) * texts], axis=1
    )
    together = unit(together)
    n_clusters = max(n_classes or 0, len(seen) // SEGMENTS_PER_CLUSTER, 2)
    n_clusters = min(n_clusters, max(MOST_CLUSTERS, n_classes or 0), len(seen))
    fitted_on = _sample(len(seen), MOST_CLUSTERED, seed)
    centres, _ = spherical_kmeans(together[fitted_on], n_clusters, seed)
    labels = np.concatenate(
        [nearest_centres(together[i : i + BLOCK], centres) for i in range(0, len(seen), BLOCK)]
    )
    centres, labels = centres[np.unique(labels)], np.unique(labels, return_inverse=True)[1]
    if len(centres) > 1:
        tree = _average_linkage(unit(centres))
        if n_classes is None:
            n_classes = _best_number(together, labels, tree, seed)
        labels = _cut(tree, n_classes)[labels]
    order = np.argsort(-np.bincount(labels), kind="stable")
    labels = np.argsort(order)[labels]
    members = [labels == i for i in range(len(order))]
    middles = unit(np.stack([together[own].mean(axis=0) for own in members]))
    means = unit(np.stack([seen[own].mean(axis=0) for own in members]))
    nearness = (together * middles[labels]).sum(axis=1)
    return Classes(labels, means.astype(np.float32), nearness)


def _average_linkage(centres: np.ndarray) -> np.ndarray:
    """scipy's tree (k - 1, 4) over unit centres (k, d), by 1 - cosine."""
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    distance = np.maximum(1 - centres @ centres.T, 0).astype(np.float64)
    np.fill_diagonal(distance, 0)
    return linkage(squareform((distance + distance.T) / 2, checks=False), "average")


def _cut(tree: np.ndarray, n: int) -> np.ndarray:
    """The class (k,) of each cluster when n classes are left, or a few less if merges tie."""
    from scipy.cluster.hierarchy import fcluster

    return np.unique(fcluster(tree, n, "maxclust"), return_inverse=True)[1]


def _sample(n: int, most: int, seed: int) -> np.ndarray:
    """Indices of all n, or of `most` of them at random, ascending."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, most, replace=False))


def _best_number(together: np.ndarray, labels: np.ndarray, tree: np.ndarray, seed: int) -> int:
    """The number of classes with the best silhouette, of about N_TRIED from 2 on."""
    measured = _sample(len(labels), MOST_MEASURED, seed)
    rows, clusters = together[measured], labels[measured]
    numbers = np.unique(np.geomspace(2, len(tree) + 1, N_TRIED).round().astype(int))

    def silhouette(n: int) -> float:
        classes = np.unique(_cut(tree, n)[clusters], return_inverse=True)[1]
        return mean_silhouette(rows, classes)

    return int(max(numbers, key=silhouette))
