"""Salient objects by diffusion from the most attended cell, one after another.

Van Gansbeke, Vandenhende and Van Gool, "Discovering Object Masks with Transformers for Unsupervised
Semantic Segmentation" (MaskDistill), 2022, first stage; the diffusion is that of LOST (Simeoni et
al., BMVC 2021). The seeds are those of the 40 % most attended cells whose feature correlates
positively with that of the most attended cell; the object is the connected part that holds this
cell, of all cells whose correlations with the seeds have a positive sum.

Differences: the source finds one object; here rounds on the remaining cells find more, and what is
left is the background. Features are centred, since the sign of a correlation says nothing while all
share a large part. Without attention of the class token, a cell counts as salient as its feature is
unlike the mean feature. Late rounds find parts of the background: with many segments it is cut too.
It fails where the rarest content isn't a thing (a lamp, a shadow), and objects that touch and are
alike come as one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from zeroguide.errors import UsageError
from zeroguide.segment.segmenters.common import (
    SegmenterResult,
    check_n_segments,
    contiguous,
    prepare,
)
from zeroguide.segment.segmenters.regions import connected_parts

SEED_SHARE = 0.4  # of the cells, the most attended ones


def saliency(
    features: Any, *, n_segments: int, attention: np.ndarray | None = None, seed: int = 0
) -> SegmenterResult:
    """Splits features (h, w, d) into at most `n_segments` - 1 objects and the background; no tree.

    `attention`: (h, w), the class token's attention to every cell, heads averaged; None measures
    saliency by the features. Nothing here is random, `seed` has no effect. Raises UsageError for a
    number below 1 and for attention that doesn't fit the features.
    """
    check_n_segments(n_segments)
    rows, salience = _salience(features, attention)
    labels = np.zeros(salience.shape, dtype=np.int64)  # 0 is the background
    for i in range(1, n_segments):
        found = _object(rows, salience, labels == 0)
        if not found.any():
            break
        labels[found] = i
    return SegmenterResult(contiguous(labels)[0])


def salient_object(features: Any, attention: np.ndarray | None = None) -> np.ndarray:
    """The first of these objects alone: (h, w) bool, all False if nothing stands out."""
    rows, salience = _salience(features, attention)
    return _object(rows, salience, np.ones(salience.shape, dtype=bool))


def _salience(features: Any, attention: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Centred rows (h * w, d) of features, and how salient each cell is: (h, w)."""
    rows = prepare(features)
    h, w = features.shape[:2]
    if attention is None:
        return rows, np.square(rows).sum(axis=1).reshape(h, w)
    return rows, _checked(attention, h, w)


def _object(rows: np.ndarray, salience: np.ndarray, free: np.ndarray) -> np.ndarray:
    """The most salient object of the free cells (h, w): (h, w) bool, empty if none stands out."""
    found = np.zeros(free.shape, dtype=bool)
    left = np.flatnonzero(free)
    if len(left) == 0 or np.ptp(rows[left], axis=0).max() <= 1e-6 * np.abs(rows).max():
        return found  # equal cells only
    salient = salience.flat[left]
    found.flat[left] = _diffuse(rows[left], salient)
    parts = connected_parts(found)
    return parts == parts.flat[left[salient.argmax()]]


def _diffuse(rows: np.ndarray, salient: np.ndarray) -> np.ndarray:
    """Which cells (n,) the most salient one reaches; itself always.

    The sum of a cell's correlations with the seeds is its correlation with their sum: no affinity
    of all pairs is needed.
    """
    top = int(salient.argmax())
    n_seeds = max(1, int(SEED_SHARE * len(rows)))
    candidates = np.argsort(-salient, kind="stable")[:n_seeds]
    seeds = candidates[rows[candidates] @ rows[top] > 0]
    reached = rows @ rows[seeds].sum(axis=0) > 0
    reached[top] = True
    return reached


def _checked(attention: np.ndarray, h: int, w: int) -> np.ndarray:
    """Attention (h, w) as float64."""
    values = np.asarray(attention, dtype=np.float64)
    if values.shape != (h, w):
        raise UsageError(
            f"attention of shape {values.shape} doesn't fit features of {h} x {w} cells: "
            "take both from the same picture at the same stride"
        )
    if not np.isfinite(values).all():
        raise UsageError("attention has values that are not finite: use a model in float32")
    return values
