"""What the over-segmenters share: the result, the preparation of features, the order of ids."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np

from zeroguide.errors import UsageError, ZeroguideError

N_NEIGHBOURS = 15  # UMAP's default
# Not every threading layer of numba's, by which UMAP computes, takes calls from several threads.
_ONE_UMAP = threading.Lock()


@dataclass(frozen=True, eq=False)
class SegmenterResult:
    """An over-segmentation of one image's patch grid.

    label_map: (h, w) int32, ids 0..n-1, all used, in the order in which they appear row by row.
    tree: (n-1, 2) int64 or None. Row i merges two nodes into node n + i; nodes 0..n-1 are the
        segments, every later node is merged once, the last one is the whole image. Rows come in
        the order of the merges, so the first rows join what is most alike.
    classes: (n,) int64 or None. What each segment is in a model fitted to a folder: the same number
        in another image means the same class.
    """

    label_map: np.ndarray
    tree: np.ndarray | None = None
    classes: np.ndarray | None = None


def as_rows(features: Any) -> np.ndarray:
    """Features (h, w, d), tensor or array, as (h * w, d) float32; ZeroguideError if not finite."""
    if not isinstance(features, np.ndarray):
        features = features.detach().cpu().numpy()  # a tensor, wherever it lives
    if features.ndim != 3 or 0 in features.shape:
        raise ValueError(f"expected features of shape (h, w, d), got {features.shape}")
    rows: np.ndarray = features.reshape(-1, features.shape[2]).astype(np.float32)
    if not np.isfinite(rows).all():
        raise ZeroguideError(
            "the model's features are not finite: use a model in float32 or bfloat16"
        )
    return rows


def prepare(
    features: Any,
    pca: int | float | None = None,
    umap: int | None = None,
    normalize: bool = False,
    spatial_weight: float = 0.0,
    seed: int = 0,
) -> np.ndarray:
    """Features (h, w, d), tensor or array, as the centred rows to cluster: (h * w, d') float32.

    normalize: every cell's feature scaled to length 1 first. pca: keep that many principal
    components, or, of a float up to 1.0, as many as hold that share of the variance; None keeps
    everything (and distances). umap: UMAP then reduces to that many dimensions, which follows
    curved structure that PCA can't, but distorts distances between far clusters (needs
    zeroguide[umap]; `seed` is for it alone). spatial_weight: two columns, the cell's y and x, are
    appended, scaled so that at 1 they vary as much as the features do together; 0 appends none.
    """
    rows = as_rows(features)
    if normalize:
        rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    size = float(np.abs(rows).max())
    rows = rows - rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    if np.abs(rows).max() <= 1e-6 * size:  # the same feature everywhere, up to rounding
        rows = np.zeros_like(rows)
    if pca is not None:
        if pca <= 0 or (pca > 1 and pca != int(pca)):
            raise UsageError(
                f"segmenter.pca={pca} is out of range: choose a number of components (1 or more) "
                "or a share of the variance up to 1.0"
            )
        rows = rows @ principal_axes(rows, pca)
    if umap is not None:
        rows = _umap(rows, umap, seed)
    if spatial_weight < 0:
        raise UsageError(f"segmenter.spatial_weight={spatial_weight} is negative: choose 0 or more")
    if spatial_weight > 0 and len(rows) > 1:
        h, w = features.shape[:2]
        coordinates = np.indices((h, w)).reshape(2, len(rows)).T.astype(np.float32)
        coordinates -= coordinates.mean(axis=0)
        scale = np.sqrt(rows.var(axis=0).sum() / coordinates.var(axis=0).sum())
        rows = np.concatenate([rows, coordinates * (spatial_weight * scale)], axis=1)
    return np.ascontiguousarray(rows, dtype=np.float32)


def contiguous(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Any ids as int32 0..n-1 by first appearance, and (n,) the id that each one was before."""
    before, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    order = np.argsort(first)
    after = np.empty(len(before), dtype=np.int32)
    after[order] = np.arange(len(before), dtype=np.int32)
    return after[inverse].reshape(labels.shape), before[order]


def pruned(tree: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The merge tree of those segments that are left.

    tree: (n-1, 2) as in SegmenterResult. kept: (m,) different segments below n; kept[i] is now i.
    Returns (m-1, 2): the merges in their order, without those that no longer join two segments.
    """
    n = len(tree) + 1
    node = {int(old): new for new, old in enumerate(kept)}
    merges: list[tuple[int, int]] = []
    for i, (a, b) in enumerate(tree.tolist()):
        if a in node and b in node:
            merges.append((node[a], node[b]))
            node[n + i] = len(kept) + len(merges) - 1
        elif a in node or b in node:
            node[n + i] = node[a] if a in node else node[b]
    return np.array(merges, dtype=np.int64).reshape(-1, 2)


def check_n_segments(n_segments: int) -> None:
    """UsageError unless at least one segment is asked for."""
    if n_segments < 1:
        raise UsageError(f"segmenter.n_segments={n_segments} is too small: choose 1 or more")


def principal_axes(rows: np.ndarray, n_components: int | float) -> np.ndarray:
    """The first principal axes (d, k) float32, orthonormal columns, of centred rows (n, d).

    n_components: how many, at most d; a float up to 1.0: as many as hold that share of the
    variance.
    """
    covariance = (rows.T @ rows).astype(np.float64)  # (d, d)
    variances, axes = np.linalg.eigh(covariance)  # ascending
    variances, axes = np.maximum(variances[::-1], 0), axes[:, ::-1]
    if isinstance(n_components, float) and n_components <= 1:  # 1.0 is all of the variance
        share = np.cumsum(variances) / max(variances.sum(), 1e-30)
        n_components = int(np.searchsorted(share, n_components)) + 1
    return axes[:, : int(n_components)].astype(np.float32)


def _umap(rows: np.ndarray, n: int, seed: int) -> np.ndarray:
    """McInnes, Healy and Melville, "UMAP: Uniform Manifold Approximation and Projection", 2018.

    rows (cells, d) -> (cells, n). Fewer cells than UMAP's neighbourhoods are left as they are, and
    so are cells that are all equal.
    """
    try:
        from umap import UMAP
    except ImportError:
        raise UsageError(
            "segmenter.umap needs the package umap-learn: install zeroguide[umap]"
        ) from None
    if n < 1:
        raise UsageError(f"segmenter.umap={n} is too small: choose 1 or more")
    if len(rows) <= max(N_NEIGHBOURS, n + 1) or (rows == rows[0]).all():
        return rows
    # One job is what makes a seed hold.
    reducer = UMAP(n_components=n, n_neighbors=N_NEIGHBOURS, random_state=seed, n_jobs=1)
    with _ONE_UMAP:
        return np.asarray(reducer.fit_transform(rows))
