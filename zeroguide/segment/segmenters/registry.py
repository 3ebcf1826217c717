"""The over-segmenters by name, and the one door to all of them: `segment`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from zeroguide.errors import UsageError
from zeroguide.segment.segmenters.common import SegmenterResult
from zeroguide.system.one_thread import one_thread

if TYPE_CHECKING:
    from zeroguide.recipe import Segmenter
    from zeroguide.segment.segmenters.automatic import Criterion

# Name -> what it does. Method NAME is the function NAME of module segmenters.NAME; it is
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


def segment(
    features: Any,
    *,
    method: str,
    n_segments: int | str = "auto",
    granularity: float = 0.5,
    min_share: float = 0.0,
    attention: np.ndarray | None = None,
    seed: int = 0,
    **params: Any,
) -> SegmenterResult:
    """Over-segments one image's features (h, w, d) with the method of that name.

    n_segments: how many there may be at most, or by which criterion the number is chosen from the
    image ("auto", "eigengap", "silhouette": see segmenters.automatic). granularity: 0 to
    1, how fine a number is chosen (see there); a given number stays. min_share: smaller regions go
    to a neighbour (see segmenters.regions). attention: (h, w), the class token's, for
    methods that use it. params: the method's other keyword arguments; the same seed gives the same
    result. Raises UsageError for an unknown method or argument and for values out of range.
    """
    known = parameters(method)
    for name in params:
        if name not in known:
            raise UsageError(
                f"segmenter {method!r} has no parameter {name!r}: it takes {', '.join(known)}"
            )
    if "attention" in known:
        params["attention"] = attention
    if not 0 <= granularity <= 1:
        raise UsageError(f"segmenter.granularity={granularity:g} is out of range: choose 0 to 1")
    number: int | str | None = n_segments
    if number == "auto" and method == "agglomerative":
        number = None  # its own tree says
        if granularity != 0.5:
            from zeroguide.segment.segmenters.automatic import finer

            chosen = _function(method)(features, n_segments=None, seed=seed, **params).label_map
            number = finer(1 + int(chosen.max()), granularity)
    elif isinstance(number, str):
        from zeroguide.segment.segmenters.automatic import choose_n_segments

        number = choose_n_segments(features, cast("Criterion", number), granularity, seed=seed)
    with one_thread():
        result = _function(method)(features, n_segments=number, seed=seed, **params)
    if min_share == 0:
        return result
    from zeroguide.segment.segmenters.regions import remove_small

    return remove_small(result, min_share)


def parameters(method: str) -> list[str]:
    """Names of the method's keyword arguments. UsageError: no such method."""
    return [name for name in inspect.signature(_function(method)).parameters if name != "features"]


def arguments(knobs: Segmenter) -> dict[str, Any]:
    """What of a recipe's knobs `segment` takes as keyword arguments for their method."""
    names = {"method", "n_segments", "granularity", "min_share", *parameters(knobs.method)}
    return knobs.model_dump(include=names)


def _function(method: str) -> Callable[..., SegmenterResult]:
    if method not in SEGMENTERS:
        near = get_close_matches(method, SEGMENTERS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(SEGMENTERS)}"
        raise UsageError(f"unknown segmenter {method!r}: {hint}")
    return getattr(import_module(f"{__package__}.{method}"), method)
