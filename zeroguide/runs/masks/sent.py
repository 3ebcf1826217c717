"""A file of masks that somebody sends to the page or the service, for one image."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from zeroguide.errors import ZeroguideError
from zeroguide.image import Image
from zeroguide.image.pillow_formats import open_header
from zeroguide.runs.masks.drawn import Mask
from zeroguide.runs.masks.files import MaskFiles
from zeroguide.runs.masks.formats import ENDINGS, MAPS

MAX_WORK = 4_000_000_000
"""Masks times pixels: what is more keeps the networks from everybody else for too long."""


def read_masks(content: bytes, name: str, image: Image, *, max_pixels: int) -> list[Mask]:
    """The image's masks in the bytes of a file, as `zeroguide name` reads the file.

    name: the file's; its ending says what kind it is, as in `zeroguide.runs.masks.formats`.
    max_pixels: that an image may have here.

    Raises ZeroguideError: no such kind, damaged, too much work, or as `MaskFiles`; none is a
    UsageError.
    """
    ending = Path(name).suffix.lower()
    if ending not in ENDINGS:
        raise ZeroguideError(
            f"{name}: the name of a file of masks ends in one of {', '.join(ENDINGS)}; send it "
            "with its name"
        )
    if ending in MAPS:
        _check_size(content, name, max_pixels)
    # What reads masks takes files; this one is gone when they are read.
    with tempfile.TemporaryDirectory(prefix="zeroguide-masks-") as folder:
        path = Path(folder, f"masks{ending}")
        path.write_bytes(content)
        del content
        height, width = image.pixels.shape[:2]
        try:
            found = Path(image.file_name)
            masks = MaskFiles(path, [found]).masks(found, (height, width))
        except ZeroguideError as error:
            raise ZeroguideError(str(error).replace(str(path), name)) from None
    if len(masks) * height * width > MAX_WORK:
        raise ZeroguideError(
            f"{name}: {len(masks)} masks of {width} x {height} pixels are too much work; "
            "send fewer, or a smaller picture, or use the command `zeroguide name`"
        )
    return masks


def _check_size(content: bytes, name: str, max_pixels: int) -> None:
    """ZeroguideError if the header alone tells that a map is larger than any image may be."""
    try:
        with open_header(io.BytesIO(content)) as header:
            width, height = header.size
    except Exception:  # whatever is wrong with it, who reads it has the words
        return
    if width * height > max_pixels:
        raise ZeroguideError(
            f"{name}: its masks are for {width} x {height} pixels, more than an image may have "
            "here; make masks of this very image"
        )
