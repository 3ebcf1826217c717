"""What embeddings and decoders are asked about: parts of over-segmented pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture and its over-segments.

    pixels: (H, W, 3) uint8 RGB. label_map: (H, W) integers 0..n-1, every value present. tree:
    (n-1, 2) the segmenter's merge tree, where it has one.
    """

    pixels: np.ndarray
    label_map: np.ndarray
    tree: np.ndarray | None = None


@dataclass(frozen=True)
class Region:
    """A union of a picture's over-segments.

    parts: their labels in the picture's label map, at least one.
    """

    picture: Picture
    parts: tuple[int, ...]

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool, made anew at every call."""
        return np.isin(self.picture.label_map, self.parts)
