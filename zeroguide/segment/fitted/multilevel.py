"""LightCluster: foreground agreed on by data set, category and image, then classes inside each.

Cheung, Chen, Yang and Zhao, "A Lightweight Clustering Framework for Unsupervised Semantic
Segmentation", 2023. Two clusters of features separate foreground from background at three levels:
over all images' tokens, over those of images of the same category (images grouped by the mean
feature of their foreground), and inside each image; what the levels agree on is kept.

The source leaves open which of two clusters is the foreground. Here it is the one that is more
attended and touches the images' borders less: the larger quotient of its mean attention and its
share of border cells. Inside one image that is uncertain, so the image's own clusters are matched
to the category's. A cell is foreground where two of the three levels say so: asking for all three
loses whatever one level misses. The classes, spherical k-means inside foreground and background,
share `n_classes` as they need it.

It fails where things fill the pictures up to their borders, and where a data set's strongest
contrast isn't that of things and ground (day and night): all levels then agree on the wrong one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np

from zeroguide.errors import UsageError
from zeroguide.segment.fitted.config import Backbone, Config
from zeroguide.segment.fitted.model import FittedModel, Tensors, checked_tensors
from zeroguide.segment.fitted.sphere import (
    Projection,
    fit_projection,
    nearest_centres,
    spherical_kmeans,
    unit,
)
from zeroguide.segment.fitted.store import FeatureStore

MAX_TOKENS = 50_000  # to cluster, drawn from all images; 77 MB at width 384
N_COMPONENTS = 64


def check(n_classes: int, n_images: int, n_categories: int = 8) -> None:
    """See `zeroguide.segment.fitted.check`."""
    if n_classes < 2:
        raise UsageError("multilevel needs two classes or more: background and foreground")
    if n_categories < 1:
        raise UsageError(f"n_categories={n_categories} is too small: choose 1 or more")


def fit(
    store: FeatureStore,
    n_classes: int,
    seed: int,
    progress: Callable[[str], None],
    n_categories: int = 8,
) -> Model:
    """Fits the levels and the classes; see `zeroguide.segment.fitted.fit`.

    n_categories: groups of images, at most; there are no more than a fourth of the images, since a
    group of few is no other level than the image. Background classes come before foreground
    classes.
    """
    numbers = store.sample(MAX_TOKENS, seed)
    tokens = store.tokens(numbers)
    progress(f"two clusters of {len(tokens)} tokens")
    projection = fit_projection(tokens, min(N_COMPONENTS, tokens.shape[1]))
    points = projection(tokens)
    image_of, border, attention = _evidence(store, numbers)
    dataset = _two(points, border, attention, seed)

    progress("categories of images")
    means = np.stack([_foreground_mean(store, i, projection, dataset) for i in range(len(store))])
    n_categories = max(1, min(n_categories, len(store) // 4))
    categories, category_of = spherical_kmeans(means, n_categories, seed)
    pairs = np.stack([dataset] * len(categories))
    for c in range(len(categories)):
        members = category_of[image_of] == c
        if members.any():
            pairs[c] = _two(points[members], border[members], attention[members], seed)

    levels = Levels(projection, dataset, categories, pairs)
    is_foreground = np.zeros(len(numbers), dtype=bool)
    for i, part, cells in store.by_image(numbers):
        progress(f"levels of image {i + 1} of {len(store)}")
        h, w = store.entries[i].grid
        rows = store.features(i).reshape(h * w, -1)
        is_foreground[part] = levels.foreground(rows, h, w, seed)[cells]
    progress("classes inside foreground and background")
    halves = [points[~is_foreground], points[is_foreground]]
    counts = _share(halves, n_classes, seed)
    centres = [spherical_kmeans(half, k, seed)[0] for half, k in zip(halves, counts, strict=True)]
    return Model(store.backbone, levels, centres[0], centres[1])


class Levels:
    """The three levels of foreground and background.

    projection: features -> the k values that everything is clustered in. dataset: (2, k) centres of
    background and foreground. categories: (c, k) unit mean foregrounds of the groups of images.
    pairs: (c, 2, k) centres of background and foreground of each.
    """

    def __init__(
        self,
        projection: Projection,
        dataset: np.ndarray,
        categories: np.ndarray,
        pairs: np.ndarray,
    ) -> None:
        self.projection, self.dataset = projection, dataset
        self.categories, self.pairs = categories, pairs

    def foreground(self, rows: np.ndarray, h: int, w: int, seed: int) -> np.ndarray:
        """What at least two of the levels call foreground, of rows (h * w, d): (h * w,) bool."""
        from zeroguide.segment.segmenters.multilevel import multilevel

        points = self.projection(rows)
        by_dataset = nearest_centres(points, self.dataset) == 1
        mean = unit(_mean(points, by_dataset)[None])
        category = int(nearest_centres(mean, self.categories)[0])
        by_category = nearest_centres(points, self.pairs[category]) == 1
        halves = multilevel(rows.reshape(h, w, -1), n_segments=2, seed=seed).label_map.ravel() == 1
        if (halves == by_category).sum() < (halves != by_category).sum():
            halves = ~halves
        if halves.all() or not halves.any():  # one half only: the image doesn't say
            halves = by_category
        return (by_dataset.astype(int) + by_category + halves) >= 2


class Model(FittedModel):
    """Background classes, then foreground classes, each by the nearest of unit centres."""

    method = "multilevel"

    def __init__(
        self, backbone: Backbone, levels: Levels, background: np.ndarray, foreground: np.ndarray
    ) -> None:
        super().__init__(len(background) + len(foreground), backbone)
        self.levels, self.background, self.foreground = levels, background, foreground

    @classmethod
    def from_saved(cls, folder: Path, config: Config, tensors: Tensors) -> Self:
        d, k = config.backbone.width, tensors.get("dataset", np.empty((0, 0))).shape[-1]
        n_background = len(tensors.get("background", ()))
        n_categories = len(tensors.get("categories", ()))
        shapes = {
            "mean": (d,),
            "axes": (d, k),
            "dataset": (2, k),
            "categories": (n_categories, k),
            "pairs": (n_categories, 2, k),
            "background": (n_background, k),
            "foreground": (config.n_classes - n_background, k),
        }
        t = checked_tensors(folder, tensors, shapes)
        projection = Projection(t["mean"], t["axes"])
        levels = Levels(projection, t["dataset"], t["categories"], t["pairs"])
        return cls(config.backbone, levels, t["background"], t["foreground"])

    def _classify(self, rows: np.ndarray, h: int, w: int, seed: int) -> np.ndarray:
        points = self.levels.projection(rows)
        ground = nearest_centres(points, self.background)
        things = nearest_centres(points, self.foreground) + len(self.background)
        return np.where(self.levels.foreground(rows, h, w, seed), things, ground)

    def _tensors(self) -> Tensors:
        return {
            "mean": self.levels.projection.mean,
            "axes": self.levels.projection.axes,
            "dataset": self.levels.dataset,
            "categories": self.levels.categories,
            "pairs": self.levels.pairs,
            "background": self.background,
            "foreground": self.foreground,
        }


def _evidence(
    store: FeatureStore, numbers: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of tokens: their image, whether they lie on its border, their share of its attention, (n,).

    Attention is relative to the image's mean, so that grids of all sizes count alike; it is 1
    everywhere unless all images have it.
    """
    image_of = np.empty(len(numbers), dtype=np.int64)
    border = np.empty(len(numbers), dtype=bool)
    attention = np.ones(len(numbers), dtype=np.float32)
    for i, part, cells in store.by_image(numbers):
        image_of[part] = i
        edge = np.ones(store.entries[i].grid, dtype=bool)
        edge[1:-1, 1:-1] = False
        border[part] = edge.flat[cells]
        values = store.attention(i) if store.has_attention else None
        if values is not None:
            attention[part] = values.flat[cells] / max(float(values.mean()), 1e-12)
    return image_of, border, attention


def _two(points: np.ndarray, border: np.ndarray, attention: np.ndarray, seed: int) -> np.ndarray:
    """Centres (2, k) of background and foreground of unit points (n, k).

    Of equal points both centres are the same: everything is then background.
    """
    centres, labels = spherical_kmeans(points, 2, seed)
    if len(centres) == 1:
        return np.repeat(centres, 2, axis=0)
    touches = [float(border[labels == i].mean()) for i in (0, 1)]
    attended = [float(attention[labels == i].mean()) for i in (0, 1)]
    # 0.01: a cluster that no border cell belongs to isn't infinitely much of a foreground
    evidence = [a / (t + 0.01) for a, t in zip(attended, touches, strict=True)]
    return centres if evidence[1] >= evidence[0] else centres[::-1].copy()


def _foreground_mean(
    store: FeatureStore, i: int, projection: Projection, dataset: np.ndarray
) -> np.ndarray:
    """The unit mean (k,) of what the data set's clusters call image i's foreground."""
    features = store.features(i)
    points = projection(features.reshape(-1, features.shape[2]))
    return unit(_mean(points, nearest_centres(points, dataset) == 1)[None])[0]


def _mean(points: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The mean of the points in the mask, or of all if it is empty: (k,)."""
    return points[mask].mean(axis=0) if mask.any() else points.mean(axis=0)


def _share(halves: list[np.ndarray], n: int, seed: int) -> list[int]:
    """How many of n classes each half (m, k) needs, at least one.

    The cluster that gains most by being divided in two is divided next, in whichever half it lies:
    size alone would give all classes to a large noisy background.
    """
    counts = [1, 1]
    divisions = [_division(half, seed) for half in halves]
    owners = [0, 1]
    while sum(counts) < n:
        i = int(np.argmax([gain for gain, _ in divisions]))
        gain, pieces = divisions[i]
        if gain <= 0:
            break  # equal points only
        counts[owners[i]] += 1
        divisions[i : i + 1] = [_division(piece, seed) for piece in pieces]
        owners[i : i + 1] = [owners[i]] * 2
    return counts


def _division(points: np.ndarray, seed: int) -> tuple[float, list[np.ndarray]]:
    """Two clusters of the points (n, k), and by how much less they spread; 0 if all are equal."""
    labels = spherical_kmeans(points, 2, seed)[1]
    if len(points) == 0 or labels.max() == 0:
        return 0.0, [points]
    pieces = [points[labels == i] for i in (0, 1)]
    return _spread(points) - sum(map(_spread, pieces)), pieces


def _spread(points: np.ndarray) -> float:
    """Sum over the points (n, k) of 1 - cosine to their mean direction."""
    return float((1 - points @ unit(points.mean(axis=0)[None])[0]).sum())
