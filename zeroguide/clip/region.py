"""What embeddings and decoders are asked about: parts of over-segmented images."""

from __future__ import annotations

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
