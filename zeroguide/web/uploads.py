"""Photos that somebody sends: read from memory, within limits."""

from __future__ import annotations

import io
import math

from zeroguide.errors import ImageError
from zeroguide.image import Image, read_image
from zeroguide.image.pillow_formats import open_header
from zeroguide.image.value_range import Range

MAX_BYTES = 20_000_000
MAX_PIXELS = 25_000_000  # with its label map about 200 MB for as long as the session lasts


def read_photo(
    content: bytes, name: str, value_range: Range | None = None, *, taker: str = "this page"
) -> Image:
    """The bytes of an image file as an image.

    taker: what sentences call whoever sets the limits.

    Raises ImageError: more than `MAX_BYTES` or `MAX_PIXELS`, or as `zeroguide.image.read_image`.
    """
    if len(content) > MAX_BYTES:
        raise ImageError(
            f"{name}: has {math.ceil(len(content) / 1e5) / 10:.1f} MB, {taker} takes "
            f"{MAX_BYTES // 10**6}; save it smaller, or use the command `zeroguide label`"
        )
    try:  # from the header alone
        with open_header(io.BytesIO(content)) as header:
            width, height = header.size
    except Exception:  # whatever is wrong with it, read_image has the words
        return read_image(content, name, value_range)
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{name}: {width} x {height} pixels are more than the {MAX_PIXELS // 10**6} million "
            f"{taker} takes; save it smaller, or use the command `zeroguide label`"
        )
    return read_image(content, name, value_range)
