"""Where over-segments lie in an image: bounding boxes and areas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Box(NamedTuple):
    """Pixels from top to bottom - 1 and left to right - 1."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, to cut the box out of an array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


@dataclass(frozen=True)
class Extents:
    """Of a label map's n parts. boxes: (n, 4) int64, in the order of Box. areas: (n,) pixels."""

    boxes: np.ndarray
    areas: np.ndarray

    def box(self, parts: Sequence[int]) -> Box:
        """The bounding box of a union of parts."""
        own = self.boxes[list(parts)]
        top, left = own[:, :2].min(0).tolist()
        bottom, right = own[:, 2:].max(0).tolist()
        return Box(top, left, bottom, right)

    def area(self, parts: Sequence[int]) -> int:
        """Pixels of a union of parts."""
        return int(self.areas[list(parts)].sum())

    def of(self, parts: Sequence[int]) -> tuple[tuple[int, int, int, int], int]:
        """((x, y, width, height), area) of a union of parts, as results have them."""
        top, left, bottom, right = self.box(parts)
        return (left, top, right - left, bottom - top), self.area(parts)


def measure(label_map: np.ndarray) -> Extents:
    """Bounding boxes and areas of (H, W) labels 0..n-1, every value present."""
    from scipy.ndimage import find_objects  # takes half a second to import, and few modes ask

    found = find_objects(label_map.astype(np.int32) + 1)
    boxes = [(rows.start, columns.start, rows.stop, columns.stop) for rows, columns in found]
    return Extents(np.array(boxes), np.bincount(label_map.ravel()))
