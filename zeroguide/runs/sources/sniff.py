"""The usual suffix of an image by its first bytes."""

from __future__ import annotations

from zeroguide.image.kinds import HEIF, kind_of_content

_STARTS = {
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG\r\n\x1a\n": ".png",
    b"GIF8": ".gif",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
    b"BM": ".bmp",
    b"qoif": ".qoi",
    b"\0\0\0\x0cjP  \r\n\x87\n": ".jp2",
    b"\xff\x4f\xff\x51": ".j2k",
}


def suffix_of(data: bytes) -> str:
    """ ".jpg", ".png" and so on; "" for what isn't known as an image."""
    if data[:4] == b"RIFF":
        return ".webp" if data[8:12] == b"WEBP" else ""
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        return ".avif"
    if kind_of_content(data[:64]) is HEIF:
        return ".heic"
    return next((suffix for start, suffix in _STARTS.items() if data.startswith(start)), "")
