"""Photographs as ground truth: the sets at hand, true regions, shares with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zeroguide.clip import Region, SegmentedImage
from zeroguide.evaluate.datasets import Sample
from zeroguide.evaluate.metrics import bootstrap

SETS = {"coco_panoptic": "coco-panoptic", "coco_stuff": "folder", "ade20k_33": "folder"}
LEAST_SHARE = 0.01


@dataclass(frozen=True)
class Truth:
    """A photograph's true regions that count."""

    regions: list[Region]
    classes: np.ndarray


def true_regions(sample: Sample) -> Truth:
    """All of at least 1 % of the photograph."""
    regions = sample.regions()
    n = len(regions.classes)
    label_map = np.where(regions.label_map < 0, n, regions.label_map).astype(np.int32)
    counts = np.bincount(label_map.ravel(), minlength=n + 1)
    # A label map has no gaps: what covers nothing, or is void everywhere, is left out.
    present = np.flatnonzero(counts)
    picture = SegmentedImage(sample.open_image().pixels, np.searchsorted(present, label_map))
    keep = (counts[:n] >= LEAST_SHARE * label_map.size) & ~regions.crowd
    chosen = np.flatnonzero(keep)
    places = np.searchsorted(present, chosen)
    return Truth([Region(picture, (int(i),)) for i in places], regions.classes[chosen])


def interval(hits: Sequence[float], totals: Sequence[float]) -> str:
    """Of all photographs' hits in all their totals the share in per cent, with its interval."""
    found = bootstrap.of_ratio(100 * np.array(hits, float), np.array(totals, float))
    return f"{found.value:.1f} [{found.low:.1f}, {found.high:.1f}]"
