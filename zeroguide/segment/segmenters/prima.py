"""PriMaPs: masks along the principal direction of what remains, one after another.

Hahn, Araslanov, Schaub-Meyer and Roth, "Boosting Unsupervised Semantic Segmentation with Principal
Mask Proposals", TMLR 2024. A round takes the first principal component of the cells that are not
covered yet, the cell whose feature lies nearest to its direction, and covers every cell whose
cosine with that one is at least 0.4 of the greatest; rounds end when 95 % are covered.

It finds its own number of segments. Differences: the cosines are taken between centred features, so
that a feature common to the whole image can't make everything alike; cells left at the end join the
most similar mask, where the source ignores them; the source's CRF and its training on these masks
are left out. It fails where two things lie in one direction from the mean (they become one mask)
and covers mixed leftovers with a late mask of scattered cells.
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
from zeroguide.system.one_thread import one_thread

COVERED = 0.95  # the share of cells at which the rounds end
DENSE = 32  # cells or dimensions up to which the covariance is cheaper


@one_thread()
def prima(
    features: Any, *, n_segments: int, threshold: float = 0.4, seed: int = 0
) -> SegmenterResult:
    """Covers features (h, w, d) with at most `n_segments` masks; no merge tree.

    `threshold`: cells with at least that share of the round's greatest cosine belong to its mask,
    above 0 and up to 1; higher gives more and purer masks. Nothing here is random, `seed` has no
    effect. Raises UsageError for values out of range.
    """
    check_n_segments(n_segments)
    if not 0 < threshold <= 1:
        raise UsageError(
            f"segmenter.threshold={threshold} is out of range: choose a value above 0 and up to 1"
        )
    rows = prepare(features)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = rows / np.maximum(length, 1e-30)  # (n, d)
    free = np.ones(len(rows), dtype=bool)
    anchors: list[int] = []
    labels = np.zeros(len(rows), dtype=np.int64)
    while len(anchors) < n_segments and free.mean() > 1 - COVERED:
        where = np.flatnonzero(free)
        anchor = where[_anchor(rows[where], unit[where])]
        cosine = unit[where] @ unit[anchor]
        # The anchor always belongs to its mask: its cosine is 0 where its feature is the mean.
        inside = (cosine >= threshold * cosine.max()) | (where == anchor)
        labels[where[inside]] = len(anchors)
        free[where[inside]] = False
        anchors.append(int(anchor))
    if free.any():
        labels[free] = (unit[free] @ unit[anchors].T).argmax(axis=1)
    h, w = features.shape[:2]
    return SegmenterResult(contiguous(labels.reshape(h, w))[0])


def _anchor(rows: np.ndarray, unit: np.ndarray) -> int:
    """The cell of rows (m, d) whose feature lies nearest to their first principal component.

    A component has no sign, so the nearest to either end: where the sign is left to the solver, as
    in the source, so is the result. (Taking the purer end also covers Playroom scenes better.)
    """
    centred = rows - rows.mean(axis=0)
    if np.abs(centred).max() <= 1e-6 * np.abs(rows).max():
        return 0  # the same feature everywhere
    return int(np.abs(unit @ _first_component(centred)).argmax())


def _first_component(centred: np.ndarray) -> np.ndarray:
    """(d,) float32 unit direction in which rows (m, d) vary most.

    Lanczos needs some tens of products with the rows, where their covariance alone would cost d.
    Small problems, and those on which it stalls, are solved whole.
    """
    from scipy.linalg import eigh
    from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

    d = centred.shape[1]
    if min(centred.shape) > DENSE:
        operator = LinearOperator(
            (d, d), matvec=lambda x: centred.T @ (centred @ x.ravel()), dtype=np.float32
        )
        # The longest row is no direction across which nothing varies.
        start = centred[np.square(centred).sum(axis=1).argmax()]
        try:
            with one_thread():
                return eigsh(operator, 1, which="LA", v0=start, tol=1e-5)[1][:, 0]
        except ArpackError:
            pass
    covariance = (centred.T @ centred).astype(np.float64)
    with one_thread():
        return eigh(covariance, subset_by_index=[d - 1, d - 1])[1][:, 0].astype(np.float32)
