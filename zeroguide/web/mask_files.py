"""Files of masks that somebody sends, and what is said of the masks in them."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from zeroguide.errors import ZeroguideError
from zeroguide.image import Image
from zeroguide.image.pillow_formats import open_header
from zeroguide.result import names
from zeroguide.result.overlay import draw
from zeroguide.result.segment import Label, Segment
from zeroguide.runs.masks.drawn import Mask
from zeroguide.runs.masks.files import MaskFiles
from zeroguide.runs.masks.formats import ENDINGS, MAPS
from zeroguide.web.namings import Naming
from zeroguide.web.uploads import MAX_PIXELS

MAX_WORK = 4_000_000_000
"""Masks times pixels: what is more keeps the networks from everybody else for too long."""


def read_masks(content: bytes, name: str, image: Image) -> list[Mask]:
    """The image's masks in the bytes of a file, as `zeroguide name` reads the file.

    name: the file's; its ending says what kind it is, as in `zeroguide.runs.masks.formats`.

    Raises ZeroguideError: no such kind, damaged, too much work, or as `MaskFiles`.
    """
    ending = Path(name).suffix.lower()
    if ending not in ENDINGS:
        raise ZeroguideError(
            f"{name}: isn't a file of masks by its ending; these are {', '.join(ENDINGS)}"
        )
    if ending in MAPS:
        _check_size(content, name)
    with tempfile.TemporaryDirectory(prefix="zeroguide-web-") as folder:  # readers take files
        path = Path(folder, f"masks{ending}")
        path.write_bytes(content)
        height, width = image.pixels.shape[:2]
        try:
            found = Path(image.file_name)
            masks = MaskFiles(path, [found]).masks(found, (height, width))
        except ZeroguideError as error:
            raise ZeroguideError(str(error).replace(str(path), name)) from None
    if len(masks) * height * width > MAX_WORK:
        raise ZeroguideError(
            f"{name}: {len(masks)} masks of {width} x {height} pixels are more than this page "
            "takes; send fewer, or a smaller picture, or use the command `zeroguide name`"
        )
    return masks


def _check_size(content: bytes, name: str) -> None:
    """ZeroguideError if the header alone tells that a map is larger than any image may be."""
    try:
        with open_header(io.BytesIO(content)) as header:
            width, height = header.size
    except Exception:  # whatever is wrong with it, who reads it has the words
        return
    if width * height > MAX_PIXELS:
        raise ZeroguideError(
            f"{name}: its masks are for {width} x {height} pixels, more than an image may have "
            "here; make masks of this very image"
        )


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
