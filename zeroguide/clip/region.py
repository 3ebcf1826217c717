"""What embeddings and decoders are asked about: parts of over-segmented images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class SegmentedImage:
    """An image and its over-segments.

    pixels: (H, W, 3) uint8 RGB. label_map: (H, W) integers 0..n-1, every value present. tree:
    (n-1, 2) the segmenter's merge tree, where it has one.
    """

    pixels: np.ndarray
    label_map: np.ndarray
    tree: np.ndarray | None = None


@dataclass(frozen=True)
class Region:
    """A union of an image's over-segments.

    parts: their labels in the image's label map, at least one.
    """

    image: SegmentedImage
    parts: tuple[int, ...]

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool, made anew at every call."""
        return np.isin(self.image.label_map, self.parts)


def over_segments(image: SegmentedImage) -> list[Region]:
    """Every over-segment as a region."""
    return [Region(image, (part,)) for part in range(int(image.label_map.max()) + 1)]


def union(regions: Sequence[Region]) -> Region:
    """Regions of one image, at least one, that don't overlap, as one."""
    parts = sorted(part for region in regions for part in region.parts)
    return Region(regions[0].image, tuple(parts))


def region_map(regions: Sequence[Region]) -> np.ndarray:
    """(H, W) int32: at each pixel the index of its region; each lies in exactly one."""
    label_map = regions[0].image.label_map
    region_of = np.empty(int(label_map.max()) + 1, np.int32)
    for i, region in enumerate(regions):
        region_of[list(region.parts)] = i
    return region_of[label_map]
