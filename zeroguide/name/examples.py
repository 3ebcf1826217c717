"""A user's own names and the pictures that show what they mean: a folder with a folder for each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import PIL.Image
import PIL.ImageOps

from zeroguide.errors import ImageError, UsageError
from zeroguide.image import Image, open_image
from zeroguide.image.value_range import Range
from zeroguide.recipe.class_files import is_name

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Examples:
    """What CLIP sees in the pictures of each name.

    names: k of them. embeddings: k tensors (m, e) float32, unit, m pictures of the name.
    """

    names: tuple[str, ...]
    embeddings: tuple[torch.Tensor, ...]


def find_examples(folder: Path) -> dict[str, list[Path]]:
    """The pictures of each name: the files in FOLDER/NAME, in order; what is hidden doesn't count.

    Raises UsageError for a folder that can't be read, one without folders, a file beside the
    folders, a folder without a file or with a folder in it, and a name without a letter or digit.
    """
    found: dict[str, list[Path]] = {}
    for place in _visible(folder):
        if not place.is_dir():
            raise UsageError(f"{place}: put it into a folder with the name of what it shows")
        name = " ".join(place.name.split())
        if not is_name(name):
            raise UsageError(f"{place}: its name is the label of what it shows; use words")
        if name in found:
            raise UsageError(f"{place}: there are two folders for {name!r}; join them")
        found[name] = _visible(place)
        if not found[name]:
            raise UsageError(f"{place}: has no picture; one is enough")
        for path in found[name]:
            if path.is_dir():
                raise UsageError(f"{path}: is a folder; put the pictures right into {place}")
    if not found:
        raise UsageError(
            f"{folder}: has no folders; make one for each name, with at least one picture in it"
        )
    return found


def open_example(path: Path, value_range: Range | None = None) -> tuple[Image, np.ndarray | None]:
    """A picture, and what of it is the thing: (H, W) bool where parts of it are transparent.

    value_range: as of `zeroguide.image.open_image`.

    Raises UsageError for what is no picture that can be read, and for one with nothing to see.
    """
    try:
        image = open_image(path, value_range)
    except ImageError as e:
        raise UsageError(f"{e} All files in a folder of examples must be pictures.") from None
    mask = _opaque(path)
    if mask is None or mask.shape != image.pixels.shape[:2] or mask.all():
        return image, None
    if not mask.any():
        raise UsageError(f"{path}: is transparent everywhere; remove it")
    return image, mask


def digest(folder: Path) -> str:
    """Of the names and pictures of a folder, wherever it lies; raises as `find_examples`."""
    files = [(name, path) for name, paths in find_examples(folder).items() for path in paths]
    stats = [(name, str(path), path.stat()) for name, path in files]
    return _digest(tuple((name, path, s.st_size, s.st_mtime_ns) for name, path, s in stats))


@lru_cache(maxsize=4)
def _digest(files: tuple[tuple[str, str, int, int], ...]) -> str:
    """Read once for as long as no file has changed."""
    found = hashlib.sha256()
    for name, path, *_ in files:
        content = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        found.update(f"{name}\n{content}\n".encode())
    return found.hexdigest()


def _opaque(path: Path) -> np.ndarray | None:
    """(H, W) bool where a picture has transparency, upright like the picture."""
    with PIL.Image.open(path) as opened:
        if not opened.has_transparency_data:
            return None
        upright = PIL.ImageOps.exif_transpose(opened)
        return np.asarray(upright.convert("RGBA").getchannel("A")) > 127


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as e:
        raise UsageError(f"{folder}: can't be read as a folder ({e.strerror})") from None
