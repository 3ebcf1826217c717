"""How good the names are when the masks are the true ones.

The naming half of zero-guidance segmentation (ICCV 2023), on rows of cosines: one row per true
region. CLIPScore and RefCLIPScore are those of Hessel et al. (EMNLP 2021), for a segment's
embedding instead of an image's.
"""

from __future__ import annotations

import numpy as np

TEXT_THRESHOLD = 0.5
CLIP_WEIGHT = 2.5  # brings CLIP's cosines, which rarely exceed 0.4, to about 0..1


def similar_enough(
    similarity: np.ndarray, true_classes: np.ndarray, *, threshold: float = TEXT_THRESHOLD
) -> np.ndarray:
    """(n,) bool: the label's text similarity with the true name is at least the threshold.

    Args:
        similarity: (n, C) cosine of each region's label with each class name.
        true_classes: (n,) int.
    """
    return np.asarray(similarity)[np.arange(len(true_classes)), true_classes] >= threshold


def top1(similarity: np.ndarray, true_classes: np.ndarray) -> np.ndarray:
    """(n,) bool: no other class name is as similar to the label as the true one.

    A tie is a miss, so that a label equally like all names isn't right by the order of classes.
    """
    similarity = np.asarray(similarity, dtype=np.float64)
    rows = np.arange(len(true_classes))
    own = similarity[rows, true_classes]
    others = similarity.copy()
    others[rows, true_classes] = -np.inf
    return own > others.max(axis=1, initial=-np.inf)


def clip_score(cosines: np.ndarray) -> np.ndarray:
    """(n,) float64 2.5 * max(cos, 0) of segment embeddings and CLIP's embeddings of their labels.

    Some tables give the plain cosine: this divided by 2.5.
    """
    return CLIP_WEIGHT * np.maximum(np.asarray(cosines, dtype=np.float64), 0)


def ref_clip_score(cosines: np.ndarray, text_cosines: np.ndarray) -> np.ndarray:
    """(n,) float64 harmonic mean of `clip_score` and max(text cosine, 0); 0 if either is 0.

    Args:
        cosines: (n,) of segment and label.
        text_cosines: (n,) of label and true name, both as CLIP's text embeddings.
    """
    image = clip_score(cosines)
    text = np.maximum(np.asarray(text_cosines, dtype=np.float64), 0)
    total = image + text
    return 2 * image * text / np.where(total > 0, total, 1)
