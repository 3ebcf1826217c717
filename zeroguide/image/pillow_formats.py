"""Which of Pillow's readers may open a file, and how: the header only, within our own limits."""

from __future__ import annotations

import threading
from typing import BinaryIO

import PIL.Image

from zeroguide.image.kinds import HEIF, is_readable, kind_of_content

# Raster formats only: EPS would start Ghostscript, and others hand over to foreign programs.
FORMATS = ["AVIF", "BMP", "DIB", "GIF", "HEIF", "ICO", "JPEG", "JPEG2000", "MPO", "PCX", "PNG"]
FORMATS += ["PPM", "QOI", "TGA", "TIFF", "WEBP"]
_ICON = b"\x00\x00\x01\x00"
_open_lock = threading.Lock()


def open_header(handle: BinaryIO) -> PIL.Image.Image:
    """A file as a Pillow image whose pixels aren't decoded yet.

    Pillow's own limit, 179 Mpx for the process, gives way to ours. Not for icons: Pillow decodes
    the picture inside while it opens them. Raises what Pillow raises.
    """
    start = handle.read(16)
    handle.seek(0)
    is_icon = start.startswith(_ICON)
    with _open_lock:
        PIL.Image.init()
        if kind_of_content(start) is HEIF and is_readable(HEIF):
            import pillow_heif

            pillow_heif.register_heif_opener()
        formats = [name for name in FORMATS if name in PIL.Image.OPEN]  # some may be missing
        limit = PIL.Image.MAX_IMAGE_PIXELS
        if not is_icon:
            PIL.Image.MAX_IMAGE_PIXELS = None
        try:
            return PIL.Image.open(handle, formats=formats)
        finally:
            PIL.Image.MAX_IMAGE_PIXELS = limit
