"""One named region of a picture, before and after it is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from zeroguide.recipe.class_files import OTHER

Box = tuple[int, int, int, int]
"""x, y, width, height in pixels."""


class Category(NamedTuple):
    """The class that a segment was given, of those fixed beforehand.

    id: its number in the user's table. name: as it stands there. probability: 0 to 1; of "other",
    that the segment is of no class.
    """

    id: int
    name: str
    probability: float


class Label(NamedTuple):
    """What is known of one segment before it is measured; the fields are as in `Segment`."""

    label: str
    score: float
    confidence: float
    alternatives: Sequence[tuple[str, float]]
    merged_from: Sequence[int]
    embedding: np.ndarray | None = None  # (e,), any length but zero
    composed: bool = False
    category: Category | None = None

    def measured(self, id: int, bbox: Box, area: int) -> Segment:
        """The segment that it is, with plain Python values for JSON."""
        return Segment(
            id=id,
            label=str(self.label),
            score=float(self.score),
            confidence=float(self.confidence),
            alternatives=tuple((str(label), float(score)) for label, score in self.alternatives),
            merged_from=tuple(int(part) for part in self.merged_from),
            bbox=bbox,
            area=area,
            composed=bool(self.composed),
            category=self.category,
        )


@dataclass(frozen=True)
class Segment:
    """One region and its name.

    id: from 1. label: free text. score: the decoder's, comparable within one recipe only.
    confidence: estimated probability that the label is right, 0 to 1; as good as the recipe's
    calibration. alternatives: further (label, score), best first. merged_from: ids of the
    over-segments it is made of. bbox: (x, y, width, height) in pixels. area: number of pixels, at
    least 1. composed: a modifier was put before a name of the list. original: what the models
    wrote, where the label was renamed since; else None. category: its class, where the recipe has
    classes.
    """

    id: int
    label: str
    score: float
    confidence: float
    alternatives: tuple[tuple[str, float], ...]
    merged_from: tuple[int, ...]
    bbox: Box
    area: int
    composed: bool = False
    original: str | None = None
    category: Category | None = None

    @property
    def as_class(self) -> Segment:
        """The same called like its class, where it has one, for what knows one name of a segment.

        The confidence is the class's probability then, and the label the first alternative.
        """
        if self.category is None:
            return self
        return replace(
            self,
            label=self.category.name,
            confidence=self.category.probability,
            alternatives=((self.label, self.score), *self.alternatives),
        )

    @property
    def caption(self) -> str:
        """What is written on it in a picture: its class, where it has one, else its label.

        Of the class "other" both are: ``"other: kite"``.
        """
        if self.category is None:
            return self.label
        name = self.category.name
        return f"{name}: {self.label}" if name == OTHER else name


def regions(label_map: np.ndarray, n: int) -> list[tuple[Box, int]]:
    """((x, y, width, height), area) of the ids 1..n of a label map (H, W) with ids 1..n.

    Raises ValueError if an id has no pixel.
    """
    height, width = label_map.shape
    in_row = np.zeros((height, n + 1), bool)  # which ids a row holds: one pass for all of them
    in_row[np.arange(height)[:, None], label_map] = True
    in_column = np.zeros((width, n + 1), bool)
    in_column[np.arange(width)[None, :], label_map] = True
    areas = np.bincount(label_map.ravel(), minlength=n + 1)
    found = []
    for id in range(1, n + 1):
        if areas[id] == 0:
            raise ValueError(f"segment {id} has no pixel")
        rows, columns = np.flatnonzero(in_row[:, id]), np.flatnonzero(in_column[:, id])
        x, y = int(columns[0]), int(rows[0])
        found.append(((x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1), int(areas[id])))
    return found
