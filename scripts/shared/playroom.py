"""Rendered scenes as ground truth: the worlds by their seeds, true regions, what is right."""

from __future__ import annotations

import numpy as np

from zeroguide.clip import Region, SegmentedImage
from zeroguide.playroom import Scene
from zeroguide.result import Labeling

TRAIN_SEED = 1
"""The Playroom's training world. Tuning uses VALIDATION_SEED, reported numbers TEST_SEED."""

VALIDATION_SEED = 2
TEST_SEED = 3

LEAST_SHARE = 0.01
MATCH_IOU = 0.5

Hits = list[np.ndarray]
"""One boolean array per scene: a value for each region that counts."""


def counted(scene: Scene) -> np.ndarray:
    """Indices of the regions that are large enough to count."""
    areas = np.bincount(scene.label_map.ravel(), minlength=len(scene.names))
    return np.flatnonzero(areas >= LEAST_SHARE * scene.label_map.size)


def interval(hits: Hits, rng: np.random.Generator) -> tuple[float, float, float]:
    """Share of hits over all regions, with a 95 % bootstrap interval over scenes, in percent."""
    sums = np.array([h.sum() for h in hits], float)
    counts = np.array([len(h) for h in hits], float)
    draws = rng.integers(len(hits), size=(2000, len(hits)))
    shares = sums[draws].sum(1) / counts[draws].sum(1)
    low, high = np.quantile(shares, [0.025, 0.975])
    return 100 * sums.sum() / counts.sum(), 100 * float(low), 100 * float(high)


def true_regions(scene: Scene) -> list[Region]:
    """The scene's regions as if they had been found."""
    picture = SegmentedImage(scene.pixels, scene.label_map)
    return [Region(picture, (i,)) for i in range(len(scene.names))]


def match_names(scene: Scene, labeling: Labeling) -> tuple[np.ndarray, np.ndarray]:
    """Which segments match which true regions, and which have their names: two (true, found)."""
    n_true, n_found = len(scene.names), len(labeling.segments)
    pairs = scene.label_map.astype(np.int64) * n_found + labeling.label_map - 1
    both = np.bincount(pairs.ravel(), minlength=n_true * n_found).reshape(n_true, n_found)
    union = both.sum(1, keepdims=True) + both.sum(0, keepdims=True) - both
    named = np.array([[s.label == name for s in labeling.segments] for name in scene.names])
    match: np.ndarray = both / union >= MATCH_IOU
    return match, named
