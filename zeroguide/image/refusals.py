"""What is said of a file that isn't read: what it is, as far as its bytes tell, and the remedy."""

from __future__ import annotations

from typing import Any, BinaryIO

import PIL.Image
from PIL import TiffImagePlugin

from zeroguide.errors import ImageError
from zeroguide.image.kinds import RAW, Kind, is_readable, kind_of_content

_SIGNATURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF8": "GIF",
    b"RIFF": "WebP",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"BM": "BMP",
}
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SUBFILE, _BITS, _BANDS, _PLANAR, _SUB_IFDS, _FORMAT, _DNG = 254, 258, 277, 284, 330, 339, 50706
_NUMBERS = {2: "signed whole numbers", 3: "floating-point numbers", 6: "complex numbers"}


def empty(name: str) -> ImageError:
    """For a file without bytes."""
    return ImageError(f"{name}: is empty (0 bytes); copy or export it again.")


def too_much_memory(name: str) -> ImageError:
    """For what doesn't fit into memory."""
    return ImageError(f"{name}: decoding it needs more memory than there is; shrink the image.")


def damaged(name: str, why: str) -> ImageError:
    """For a file that a reader has begun and can't finish."""
    return ImageError(f"{name}: is truncated or damaged ({why}); copy or export it again.")


def check_contents(image: PIL.Image.Image, handle: BinaryIO, name: str) -> None:
    """ImageError for what Pillow opens and gives something else of than the picture.

    Raw photos are TIFF files that begin with a small preview; 16-bit colours whose bands lie apart
    are read as 8 bits. handle : the file behind the image; stays where it is
    """
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        return
    place = handle.tell()
    handle.seek(0)
    start = handle.read(16)
    handle.seek(place)
    if _is_raw(tags) or kind_of_content(start) is RAW:
        raise _unread(name, RAW)
    if tags.get(_PLANAR) == 2 and set(tags.get(_BITS, ())) == {16} and image.mode != "I;16":
        raise ImageError(
            f"{name}: stores 16-bit bands one after the other, which isn't read; save it with "
            "interleaved bands."
        )


def not_readable(handle: BinaryIO, name: str) -> ImageError:
    """For a file that no reader takes."""
    handle.seek(0)
    start = handle.read(1024)
    if start.startswith(_TIFF) and (found := _of_tiff(handle, start, name)):
        return found
    if kind := kind_of_content(start):
        return (
            damaged(name, f"starts like {kind.name}") if is_readable(kind) else _unread(name, kind)
        )
    known = next((n for magic, n in _SIGNATURES.items() if start.startswith(magic)), None)
    if kind is not None or known:
        return damaged(name, f"starts like {known or (kind and kind.name)}")
    return ImageError(
        f"{name}: is not an image in a supported format; convert it to JPEG, PNG, WebP or TIFF."
    )


def _unread(name: str, kind: Kind) -> ImageError:
    return ImageError(f"{name}: is {kind.name}, which can't be read; {kind.remedy}.")


def _is_raw(tags: Any) -> bool:
    """Whether a TIFF's first picture is a preview of another, as raw photos have it."""
    is_preview = bool(int(tags.get(_SUBFILE, 0)) & 1)
    return is_preview and (_SUB_IFDS in tags or _DNG in tags)


def _of_tiff(handle: BinaryIO, start: bytes, name: str) -> ImageError | None:
    """What a sound TIFF holds that Pillow has no mode for; None for a damaged one."""
    is_big = start[2:4] in (b"+\0", b"\0+")
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(start[: 16 if is_big else 8])
        handle.seek(tags.next)
        tags.load(handle)
        bits, bands = tags[_BITS], int(tags.get(_BANDS, 1))
        kind = int(tags.get(_FORMAT, (1,))[0])
    except Exception:  # damaged in one of many ways
        return None
    if _is_raw(tags) or _DNG in tags:
        return _unread(name, RAW)
    what = _NUMBERS.get(kind, "whole numbers")
    counted = "1 band" if bands == 1 else f"{bands} bands"
    return ImageError(
        f"{name}: is a TIFF with {counted} of {bits[0]}-bit {what}, which isn't read; save it as "
        "RGB of 8 or 16 bits, or as one band."
    )
