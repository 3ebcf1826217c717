"""A labelled picture with some of its segments, as the writers of formats read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from zeroguide.result.named_map import NamedMap
from zeroguide.result.segment import Segment


@dataclass(frozen=True, eq=False)
class Chosen:
    """Segments of a labelled picture, in order of id; those that aren't chosen are no segments.

    Ids are those of the labeling, so that they lead to its JSON; there may be gaps between them.
    Segments that have a class are called like it: its number is fixed, that of a label isn't.
    """

    labeling: NamedMap
    segments: tuple[Segment, ...]

    @classmethod
    def of(cls, labeling: NamedMap, fits: Callable[[Segment], bool] | None = None) -> Chosen:
        """The segments that fit; all without `fits`."""
        chosen = labeling.segments if fits is None else filter(fits, labeling.segments)
        return cls(labeling, tuple(segment.as_class for segment in chosen))

    @property
    def width(self) -> int:
        return self.labeling.width

    @property
    def height(self) -> int:
        return self.labeling.height

    @property
    def sha256(self) -> str:
        return self.labeling.sha256

    @property
    def recipe(self) -> dict[str, Any]:
        return self.labeling.recipe

    @property
    def last_id(self) -> int:
        """The highest id; 0 if nothing is chosen."""
        return self.segments[-1].id if self.segments else 0

    @cached_property
    def label_map(self) -> np.ndarray:
        """(H, W) int32, the segment id of every pixel; 0 where none is chosen."""
        if len(self.segments) == len(self.labeling.segments):
            return self.labeling.label_map
        kept = np.zeros(len(self.labeling.segments) + 1, np.int32)
        ids = [segment.id for segment in self.segments]
        kept[ids] = ids
        return kept[self.labeling.label_map]

    def mask(self, segment: Segment) -> np.ndarray:
        """The pixels of a segment: (H, W) bool."""
        return self.labeling.label_map == segment.id

    def crop(self, segment: Segment) -> np.ndarray:
        """The mask of a segment within its box: (height, width) bool."""
        x, y, width, height = segment.bbox
        box = self.labeling.label_map[y : y + height, x : x + width]
        return np.ascontiguousarray(box == segment.id)

    def embedding(self, segment: Segment) -> np.ndarray | None:
        """(e,) float16: what CLIP sees in a segment; None where it isn't known."""
        rows = self.labeling.embeddings
        return None if rows is None else rows[segment.id - 1]

    def rles(self) -> list[dict[str, Any]]:
        """The segments' masks as COCO's compressed RLE, ready for JSON: {"size", "counts"}."""
        return self.labeling.rles(self.segments)
