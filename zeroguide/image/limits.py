"""How large an image may be, so that reading it takes seconds and less than 2 GB of memory.

The limits are looked at after the header has been read and before a pixel is decoded. They differ
between formats as some decoders hold the picture several times.
"""

from __future__ import annotations

from typing import BinaryIO

import PIL.Image

from zeroguide.errors import ImageError

MAX_PIXELS = 200_000_000  # the largest phone cameras; as RGB bytes 600 MB
# Lower ones by format; TIFF's is Pillow's own, which it applies while decoding.
_FORMATS = {
    "AVIF": 80_000_000,
    "HEIF": 80_000_000,
    "JPEG2000": 60_000_000,
    "QOI": 120_000_000,
    "TIFF": 178_000_000,
    "WEBP": 90_000_000,
}
# Decoded twice.
_DEEP_COLOUR = 120_000_000
# All coefficients of a progressive JPEG are kept until its last scan.
_PROGRESSIVE = 120_000_000
# Encoders write about ten scans; each costs a walk over the whole picture but only a few bytes.
_MAX_SCANS = 100
_SCAN = b"\xff\xda"  # can't occur within a scan's data


def check_size(name: str, width: int, height: int) -> None:
    """ImageError unless there are from 1 to `MAX_PIXELS` pixels; `name` is what it calls them."""
    if width < 1 or height < 1:
        raise ImageError(f"{name}: has no pixels ({width} x {height}); export it again.")
    if width * height > MAX_PIXELS:
        raise _too_many(name, width, height, MAX_PIXELS)


def check_cost(image: PIL.Image.Image, handle: BinaryIO, name: str) -> None:
    """ImageError if decoding an opened image would take far more memory or time than others.

    handle : the file behind the image; stays where it is
    """
    kind = image.format or ""
    limit = _FORMATS.get(kind, MAX_PIXELS)
    if kind in ("JPEG", "MPO") and "progressive" in image.info:
        kind, limit = "progressive JPEG", _PROGRESSIVE
        place = handle.tell()
        handle.seek(0)
        scans = handle.read().count(_SCAN)
        handle.seek(place)
        if scans > _MAX_SCANS:
            raise ImageError(f"{name}: has {scans} scans; save it as a plain JPEG.")
    if image.width * image.height > limit:
        raise _too_many(name, *image.size, limit, f" for {kind}")


def check_deep_colour(image: PIL.Image.Image, name: str) -> None:
    """ImageError if an image with colours of 16 bits is too large for that."""
    if image.width * image.height > _DEEP_COLOUR:
        raise _too_many(name, *image.size, _DEEP_COLOUR, " for 16-bit colours")


def _too_many(name: str, width: int, height: int, limit: int, which: str = "") -> ImageError:
    return ImageError(
        f"{name}: {width} x {height} pixels are more than the limit of {limit // 1_000_000} "
        f"million{which}; shrink or tile the image."
    )
