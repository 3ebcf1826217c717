"""What is said of the masks of a file that somebody dropped on the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from zeroguide.image import Image
from zeroguide.result import names
from zeroguide.result.overlay import draw
from zeroguide.result.segment import Label, Segment
from zeroguide.runs.masks.drawn import Mask
from zeroguide.web.namings import Naming


@dataclass(eq=False)
class NamedMasks:
    """Masks of one image and their names.

    file_name: of the masks. embeddings: (n, e) float32, what CLIP saw in each. namings: n, which
    change with the certainty. recipe: how they were named, for results.
    """

    image: Image
    file_name: str
    masks: Sequence[Mask]
    embeddings: np.ndarray
    namings: Sequence[Naming]
    recipe: dict[str, Any]

    def segments(self) -> list[Segment]:
        """What results say of each mask, ids as in its file."""
        return [
            _measured(mask, naming) for mask, naming in zip(self.masks, self.namings, strict=True)
        ]

    def order(self) -> list[int]:
        """Their indices, the largest first."""
        areas = coco_mask.area([mask.code for mask in self.masks])
        return sorted(range(len(self.masks)), key=lambda i: -int(areas[i]))

    def to_dict(self) -> dict[str, Any]:
        """The schema zeroguide-names/1, as `zeroguide name` writes it."""
        codes = [mask.code for mask in self.masks]
        return names.to_dict(self.image, self.segments(), codes, self.recipe)

    def overlay(self) -> Any:
        """The Pillow image that `zeroguide name` draws."""
        codes = [mask.code for mask in self.masks]
        seen = names.flattened(self.image, self.segments(), codes, self.recipe)
        return draw(seen, self.image.pixels, legend="never")

    def with_names(self, namings: Sequence[Naming], certainty: float | None) -> NamedMasks:
        """The same under the names of another certainty; None: the recipe's own."""
        plain = {key: value for key, value in self.recipe.items() if key != "edits"}
        edits = {} if certainty is None else {"edits": {"certainty": certainty}}
        return replace(self, namings=namings, recipe=plain | edits)


def _measured(mask: Mask, naming: Naming) -> Segment:
    x, y, width, height = (int(value) for value in coco_mask.toBbox(mask.code))
    (label, score), *others = naming.labels
    words = Label(label, score, naming.confidence, others, (), composed=naming.composed)
    return words.measured(mask.id, (x, y, width, height), int(coco_mask.area(mask.code)))
