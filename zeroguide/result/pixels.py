"""The pixels that a `Labeling` is about: it holds a reference to them, and its JSON doesn't.

A file is read when its pixels are needed, and must then be the file that was labelled, by its hash.
Pixels in memory are believed: a copy of the picture has another hash but the same size.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.image import ImageSource, open_image, path_of, to_image
from zeroguide.result.named_map import NamedMap
from zeroguide.result.provenance import value_range
from zeroguide.system.files import write_atomically

QUALITY = 92  # of JPEG and WebP


def read_pixels(labeling: NamedMap) -> np.ndarray:
    """(H, W, 3) uint8 RGB. Raises as `Labeling.pixels`."""
    picture = labeling.picture
    if isinstance(picture, np.ndarray):
        return picture
    if picture is None:
        raise ZeroguideError(
            f"{labeling.file_name}: where this picture is isn't known; give its file with "
            "labeling.with_image(...)"
        )
    image = open_image(picture, value_range(labeling.recipe))
    if image.sha256 != labeling.sha256:
        raise ZeroguideError(
            f"{picture}: isn't the file that was labelled, or has changed since; label it again, "
            "or give the pixels of a copy with labeling.with_image(...)"
        )
    return image.pixels


def reference(source: ImageSource, recipe: dict[str, Any]) -> Path | np.ndarray:
    """What a Labeling made by a recipe holds: a file's absolute path, the pixels of all else."""
    return path_of(source) or to_image(source, value_range(recipe)).pixels


def find(labeling: NamedMap, result: Path) -> Path | None:
    """The picture, by its name, beside a result or beside the folder of results."""
    places = (folder / labeling.file_name for folder in result.absolute().parents[:2])
    return next((place for place in places if place.is_file()), None)


def cut_out(labeling: NamedMap, id: int) -> PIL.Image.Image:
    """A segment's box as RGBA; see `Labeling.crop`."""
    mask = labeling.mask(id)
    x, y, width, height = labeling.segments[id - 1].bbox
    box = (slice(y, y + height), slice(x, x + width))
    alpha = mask[box].view(np.uint8) * np.uint8(255)
    return PIL.Image.fromarray(np.dstack([read_pixels(labeling)[box], alpha]))


def check_target(labeling: NamedMap, path: Path) -> None:
    """UsageError if writing to the path would replace the picture."""
    picture = labeling.picture
    if isinstance(picture, Path) and path.exists() and picture.exists() and path.samefile(picture):
        raise UsageError(f"{path}: is the picture that was labelled; choose another name")


def save_overlay(labeling: NamedMap, path: Path) -> None:
    """Write the overlay, in the format of the path's ending, whole or not at all."""
    from zeroguide.result.overlay import draw

    data = io.BytesIO()
    kind = path.suffix[1:].upper().replace("JPG", "JPEG")
    draw(labeling, read_pixels(labeling)).save(data, kind, quality=QUALITY)  # PNG has no use for it
    write_atomically(path, data.getvalue())
