"""Prototypes: dataset PCA and spherical k-means over all images' tokens, or over their segments.

The common core of three systems: Melas-Kyriazi et al., "Deep Spectral Methods", CVPR 2022, second
step (segments of all images clustered by their features); Zadaianchuk et al., "Unsupervised
Semantic Segmentation with Self-supervised Object-centric Representations" (COMUS), ICLR 2023, its
clustering half; and the cosine prototypes of Hamilton et al., STEGO, ICLR 2022. Differences: none
of their trained networks; segments are averages of the image's own features instead of a second
pass over crops; what all features share, their mean, is taken off first.

It fails where a class has no direction of its own (parts of a thing at the one end, rare things at
the other), and over segments also where a segment holds two contents.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from zeroguide.errors import UsageError
from zeroguide.segment.fitted.config import Backbone, Config, unusable
from zeroguide.segment.fitted.model import FittedModel, Tensors, checked_tensors
from zeroguide.segment.fitted.sphere import (
    Projection,
    check_components,
    fit_projection,
    nearest_centres,
    spherical_kmeans,
    unit,
)
from zeroguide.segment.fitted.store import FeatureStore

MAX_TOKENS = 50_000  # to cluster, drawn from all images; 77 MB at width 384


def check(
    n_classes: int,
    n_images: int,
    over: str = "tokens",
    n_components: int | float = 64,
    segmenter: dict[str, Any] | None = None,
) -> None:
    """See `zeroguide.segment.fitted.check`."""
    if over not in ("tokens", "segments"):
        raise UsageError(f"over={over!r} is unknown: choose tokens or segments")
    if segmenter is not None:
        if over == "tokens":
            raise UsageError("a segmenter is for prototypes over segments: add over=segments")
        _check_segmenter(segmenter)
    check_components(n_components)


def fit(
    store: FeatureStore,
    n_classes: int,
    seed: int,
    progress: Callable[[str], None],
    over: Literal["tokens", "segments"] = "tokens",
    n_components: int | float = 64,
    segmenter: dict[str, Any] | None = None,
) -> Model:
    """Fits prototypes; see `zeroguide.segment.fitted.fit`.

    over: what is clustered: single tokens, or the mean features of each image's segments, whose
    cells then get one class together. n_components: principal components kept, below 1 the share of
    the variance. segmenter: method and parameters for `segmenters.segment`; default Ward
    clustering into 20.
    """
    tokens = store.tokens(store.sample(MAX_TOKENS, seed))
    progress(f"principal components of {len(tokens)} tokens")
    projection = fit_projection(tokens, n_components)
    if over == "tokens":
        points = projection(tokens)
    else:
        segmenter = segmenter or {"method": "agglomerative", "n_segments": 20, "normalize": True}
        means = []
        for i in range(len(store)):
            progress(f"segments of image {i + 1} of {len(store)}")
            features = store.features(i)
            rows = features.reshape(-1, features.shape[2])
            means.append(_segment_means(rows, _segments(features, segmenter, seed)))
        points = projection.project_unit(np.concatenate(means))
    progress(f"clustering {len(points)} {over}")
    centres, _ = spherical_kmeans(points, n_classes, seed)
    return Model(store.backbone, projection, centres, segmenter)


class Model(FittedModel):
    """Classes by the nearest of unit centres (n_classes, k), in a projection of the features."""

    method = "prototypes"

    def __init__(
        self,
        backbone: Backbone,
        projection: Projection,
        centres: np.ndarray,
        segmenter: dict[str, Any] | None,
    ) -> None:
        super().__init__(len(centres), backbone)
        self.projection, self.centres, self.segmenter = projection, centres, segmenter

    @classmethod
    def from_saved(cls, folder: Path, config: Config, tensors: Tensors) -> Self:
        d, k = config.backbone.width, tensors.get("centres", np.empty((0, 0))).shape[-1]
        shapes = {"mean": (d,), "axes": (d, k), "centres": (config.n_classes, k)}
        t = checked_tensors(folder, tensors, shapes)
        try:
            segmenter = config.settings["segmenter"]
            if segmenter is not None:
                _check_segmenter(segmenter)
        except (KeyError, UsageError) as e:
            raise unusable(folder, str(e)) from None
        return cls(config.backbone, Projection(t["mean"], t["axes"]), t["centres"], segmenter)

    def _classify(self, rows: np.ndarray, h: int, w: int, seed: int) -> np.ndarray:
        if self.segmenter is None:
            return nearest_centres(self.projection(rows), self.centres)
        segments = _segments(rows.reshape(h, w, -1), self.segmenter, seed)
        means = self.projection.project_unit(_segment_means(rows, segments))
        return nearest_centres(means, self.centres)[segments]

    def _tensors(self) -> Tensors:
        return {
            "mean": self.projection.mean,
            "axes": self.projection.axes,
            "centres": self.centres,
        }

    def _settings(self) -> dict[str, Any]:
        return {"segmenter": self.segmenter}


def _check_segmenter(segmenter: Any) -> None:
    """UsageError unless it is a method and its parameters, with values as in a recipe."""
    from pydantic import ValidationError

    from zeroguide.recipe import Segmenter
    from zeroguide.segment.segmenters import arguments

    try:
        section = Segmenter.model_validate(segmenter)
    except ValidationError as e:
        raise UsageError(f"the segmenter {segmenter!r} is wrong: {e.errors()[0]['msg']}") from None
    for name in segmenter:
        if name not in arguments(section):
            raise UsageError(f"the segmenter {section.method!r} has no parameter {name!r}")


def _segments(features: np.ndarray, segmenter: dict[str, Any], seed: int) -> np.ndarray:
    """An image's over-segmentation as (h * w,) ids."""
    from zeroguide.segment.segmenters import segment

    return segment(features, seed=seed, **segmenter).label_map.ravel()


def _segment_means(rows: np.ndarray, segments: np.ndarray) -> np.ndarray:
    """Mean unit feature (n, d) float32 of each segment of rows (h * w, d)."""
    sums = np.zeros((int(segments.max()) + 1, rows.shape[1]))
    np.add.at(sums, segments, unit(rows))
    return (sums / np.bincount(segments)[:, None]).astype(np.float32)
