"""The masks of one image as a file draws them, and as checked run-length codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pycocotools import mask as coco_mask

from zeroguide.errors import ZeroguideError
from zeroguide.result.rle import RLE, checked, enclose_nothing, from_polygons, outline

MOST = 4096  # masks of an image: more than any tool finds, and few enough for the memory
LONGEST = 50_000_000  # pixels of all their outlines: drawing more would take minutes


class Mask(NamedTuple):
    """id: the file's own, or the place in it, from 1. code: a sound run-length code."""

    id: int
    code: RLE


@dataclass(frozen=True)
class Drawn:
    """An image's masks in a file.

    Attributes:
        path: of the file.
        shapes: run-length codes, or COCO's polygons [[x, y, x, y, ...], ...]; neither is checked.
        ids: a number for each.
        size: (height, width) that the file tells; None: it doesn't.
        relative: polygons are in shares of width and height.
    """

    path: Path
    shapes: Sequence[Any]
    ids: Sequence[int]
    size: tuple[int, int] | None = None
    relative: bool = False

    def masks(self, size: tuple[int, int]) -> list[Mask]:
        """The masks for an image of (height, width).

        Raises ZeroguideError: none or too many, of another size, empty, damaged, or too much to
        draw.
        """
        height, width = size
        if self.size not in (None, size):
            raise ZeroguideError(
                f"{self.path}: its masks are for {self.size[1]} x {self.size[0]} pixels, but the "
                f"image is {width} x {height}; make masks of this very image."
            )
        if not 1 <= len(self.shapes) <= MOST:
            raise ZeroguideError(
                f"{self.path}: has {len(self.shapes) or 'no'} masks of this image; 1 to {MOST} can "
                "be named."
            )
        found = []
        length = 0.0
        for id, shape in zip(self.ids, self.shapes, strict=True):
            try:
                if isinstance(shape, list):
                    polygons = self._polygons(shape, size)
                    code = from_polygons(polygons, size)
                    length += outline(polygons)
                else:
                    code = checked(shape, size)
            except ValueError as error:
                raise ZeroguideError(f"{self.path}: mask {id} {error}; write it again.") from None
            if not coco_mask.area(code):
                raise ZeroguideError(f"{self.path}: mask {id} is empty; leave it out.")
            if length > LONGEST:
                raise ZeroguideError(
                    f"{self.path}: the outlines of its masks have more than {LONGEST} pixels; draw "
                    "them with fewer corners."
                )
            found.append(Mask(id, code))
        return found

    def _polygons(self, shape: list[Any], size: tuple[int, int]) -> list[Any]:
        if enclose_nothing(shape):
            raise ValueError("has no polygon of three corners")
        if not self.relative:
            return shape
        height, width = size
        return [
            [number * (height if place % 2 else width) for place, number in enumerate(polygon)]
            for polygon in shape
        ]
