"""The fitted methods by name: fitting one to a folder, and loading what was fitted."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from zeroguide.errors import UsageError, nearest
from zeroguide.recipe import Recipe
from zeroguide.segment.fitted.config import read_config
from zeroguide.segment.fitted.model import FittedModel, read_tensors
from zeroguide.segment.fitted.store import FeatureStore

# Name -> what it does. Method NAME is the module fitted.NAME with its functions `check`
# and `fit` and its class `Model`; it is imported when used, so that listing the methods costs
# nothing.
METHODS = {
    "prototypes": "PCA and spherical k-means over all images' tokens or segments (Deep Spectral)",
    "stego": "head trained by correspondence distillation, then cosine clusters (STEGO)",
    "maskdistill": "salient objects clustered, then a linear classifier of tokens (MaskDistill)",
    "multilevel": "foreground by data set, category and image, then clusters inside (LightCluster)",
}


def fit(
    store: FeatureStore,
    *,
    method: str,
    n_classes: int,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
    **params: Any,
) -> FittedModel:
    """Fits the method of that name to a folder's features.

    The model has at most `n_classes` classes, fewer where the folder has fewer different contents;
    the same seed gives the same model. `progress` is called with a few words now and then. `params`
    are the method's own keyword arguments. Raises UsageError for an unknown method or argument, for
    values out of range and for an empty store.
    """
    check(method=method, n_classes=n_classes, n_images=len(store), **params)
    model: FittedModel = _module(method).fit(
        store, n_classes, seed, progress or (lambda _: None), **params
    )
    return model


def check(*, method: str, n_classes: int, n_images: int, **params: Any) -> None:
    """Raises the UsageError that `fit` would raise for these arguments, before any work."""
    check_method = _module(method).check
    known = list(inspect.signature(check_method).parameters)[2:]
    for name in params:
        if name not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise UsageError(f"the fitted method {method!r} has no parameter {name!r}: {takes}")
    if n_classes < 1:
        raise UsageError(f"{n_classes} classes are too few: choose 1 or more")
    if n_images < 1:
        raise UsageError("there is no image to fit a model to: give at least one")
    check_method(n_classes, n_images, **params)


def check_model(folder: str | Path, recipe: Recipe) -> None:
    """Raises what `load_fitted` and `check_backbone` say of a model's `config.json`.

    Nothing but this file is read, and torch isn't imported.
    """
    backbone = read_config(Path(folder), list(METHODS)).backbone
    backbone.check(recipe.models.dino, recipe.features.model_dump())


def load_fitted(folder: str | Path) -> FittedModel:
    """A model that `save` wrote.

    Raises UsageError if there is none, WeightsError if it is damaged or of another version.
    """
    folder = Path(folder)
    config = read_config(folder, list(METHODS))
    model: FittedModel = _module(config.method).Model.from_saved(
        folder, config, read_tensors(folder, config.digest)
    )
    model.digest = config.digest
    return model


def count_classes(
    store: FeatureStore, model: FittedModel, *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """How often each class comes in a folder: tokens (n_classes,) and images (n_classes,) int64."""
    tokens = np.zeros(model.n_classes, dtype=np.int64)
    images = np.zeros(model.n_classes, dtype=np.int64)
    for i in range(len(store)):
        classes = model.classify(store.features(i), seed=seed)
        counts = np.bincount(classes.ravel(), minlength=model.n_classes)
        tokens += counts
        images += counts > 0
    return tokens, images


def _module(method: str) -> Any:
    if method not in METHODS:
        raise UsageError(f"unknown fitted method {method!r}: {nearest(method, list(METHODS))}")
    return import_module(f"{__package__}.{method}")
