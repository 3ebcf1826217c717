"""Over-segmenters: patch features in, label map out. One file per method, one registry by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from zeroguide.errors import UsageError
from zeroguide.segmenters.common import SegmenterResult

__all__ = ["SEGMENTERS", "SegmenterResult", "segment"]

# Name -> what it does. Method NAME is the function NAME of module zeroguide.segmenters.NAME; it is
# imported when used, so that listing the methods costs nothing.
SEGMENTERS = {
    "kmeans": "k-means on the patch features, optionally reduced by PCA and with their position",
    "agglomerative": "Ward clustering over the patch grid; keeps the tree of merges (the paper's)",
    "spectral": "k-means on eigenvectors of the cosine graph (Deep Spectral)",
    "ncut": "normalised cuts, one mask after another (MaskCut)",
    "kway": "normalised cut into all parts at once, by moving cells (Falcon)",
    "communities": "modularity communities of a sparse token graph; keeps the tree of merges",
    "prima": "masks along the principal direction of what remains (PriMaPs)",
    "saliency": "salient objects by diffusion, one after another (MaskDistill)",
    "multilevel": "foreground and background first, then clusters inside each (LightCluster)",
}


def segment(features: Any, *, method: str, seed: int = 0, **params: Any) -> SegmenterResult:
    """Over-segments one image's features (h, w, d) with the method of that name.

    `params` are the method's own keyword arguments; the same seed gives the same result. Raises
    UsageError for an unknown method or argument.
    """
    function = _function(method)
    known = [name for name in inspect.signature(function).parameters if name != "features"]
    for name in params:
        if name not in known:
            raise UsageError(
                f"segmenter {method!r} has no parameter {name!r}: it takes {', '.join(known)}"
            )
    return function(features, seed=seed, **params)


def _function(method: str) -> Callable[..., SegmenterResult]:
    if method not in SEGMENTERS:
        near = get_close_matches(method, SEGMENTERS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(SEGMENTERS)}"
        raise UsageError(f"unknown segmenter {method!r}: {hint}")
    return getattr(import_module(f"{__name__}.{method}"), method)
