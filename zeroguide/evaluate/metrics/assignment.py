"""Which class of a list a freely named segment is taken for.

Zero-guidance segmentation (ICCV 2023) compares a segment with a class in two ways:

- **TT**, text to text: the cosine of the sentence embeddings of its label and the class's name;
  none is taken below 0.5 (all-mpnet-base-v2).
- **ST**, segment to text: the cosine of the segment's embedding with CLIP's text embedding of
  "Image of a {class}."; none is taken below 0.1. What it was labelled plays no part.

Both with all classes of the dataset, and with those that are in the image: an easier task, as it
tells the method what to find.
"""

from __future__ import annotations

import numpy as np

TT_THRESHOLD = 0.5
ST_THRESHOLD = 0.1


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(m, n) float64 cosines of the rows of (m, e) and (n, e); 0 for rows of zeros."""
    a, b = (np.asarray(x, dtype=np.float64) for x in (a, b))
    lengths = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)
    return a @ b.T / np.where(lengths > 0, lengths, 1)


def best_name(similarity: np.ndarray, owners: np.ndarray, n_classes: int) -> np.ndarray:
    """(m, n_classes) similarity with a class that has several names: that of its nearest one.

    Args:
        similarity: (m, n) with each name.
        owners: (n,) int, the class each name belongs to; a class without a name gets -inf.
    """
    result = np.full((len(similarity), n_classes), -np.inf)
    np.maximum.at(result.T, np.asarray(owners), np.asarray(similarity, dtype=np.float64).T)
    return result


def assign(
    similarity: np.ndarray, *, threshold: float, allowed: np.ndarray | None = None
) -> np.ndarray:
    """(m,) int class each segment is most similar to, -1 below the threshold.

    Args:
        similarity: (m, C) with each class, such as `cosine` gives.
        threshold: TT_THRESHOLD or ST_THRESHOLD for the published protocols.
        allowed: (k,) int, the classes to choose from, such as those in the image; None: all.
    """
    similarity = np.asarray(similarity)
    if allowed is None:
        allowed = np.arange(similarity.shape[1])
    if not len(allowed):
        return np.full(len(similarity), -1)
    chosen = similarity[:, allowed]
    best = chosen.argmax(axis=1)
    return np.where(
        chosen[np.arange(len(chosen)), best] >= threshold, np.asarray(allowed)[best], -1
    )


def keep_best(classes: np.ndarray, similarity: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """(m,) int: of the segments assigned to one class only the most similar; the others get -1.

    The variant "argmax" of the paper, where a class is one segment and not their union. Of equally
    similar ones, as of those with the same label, the largest stays.

    Args:
        classes: (m,) from `assign`.
        similarity: (m, C) it was made from.
        areas: (m,) pixels of each segment outside the void; one without any stands for nothing.
    """
    classes, areas = np.asarray(classes), np.asarray(areas)
    own = np.asarray(similarity)[np.arange(len(classes)), classes]
    order = np.lexsort((-areas, -own))  # most similar first, then largest
    order = order[(classes[order] >= 0) & (areas[order] > 0)]
    _, first = np.unique(classes[order], return_index=True)
    result = np.full_like(classes, -1)
    kept = order[first]
    result[kept] = classes[kept]
    return result
