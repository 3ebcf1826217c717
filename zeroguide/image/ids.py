"""Pictures whose pixels are numbers: label maps and masks as they are stored, not as they look."""

from __future__ import annotations

from os import PathLike

import numpy as np
import PIL.Image

from zeroguide.errors import ImageError, ZeroguideError


def read_ids(path: str | PathLike[str]) -> np.ndarray:
    """(H, W) int32 ids of a mask: palette, grey or 16-bit PNG, or TIFF.

    Raises ZeroguideError: missing, damaged, colours where ids belong, fractions or numbers below 0.
    """
    pixels = read_pixels(path)
    if pixels.ndim != 2:
        raise ZeroguideError(
            f"{path}: is a colour picture, not a mask of class ids; save the ids as a grey or "
            "palette PNG."
        )
    if pixels.dtype.kind not in "bui" or pixels.min(initial=0) < 0:
        raise ZeroguideError(
            f"{path}: holds numbers that are no class ids (fractions or negative ones); save the "
            "ids as a grey or palette PNG."
        )
    return pixels.astype(np.int32)


def read_colours(path: str | PathLike[str]) -> np.ndarray:
    """(H, W, 3) uint8 colours of a mask that encodes ids as colours; errors as in `read_ids`."""
    pixels = read_pixels(path, palette=True)
    if pixels.ndim != 3 or pixels.dtype != np.uint8:
        raise ZeroguideError(
            f"{path}: is a grey picture where colours stand for ids; use the original file."
        )
    return pixels[:, :, :3]


def read_pixels(path: str | PathLike[str], palette: bool = False) -> np.ndarray:
    """(H, W) or (H, W, c) values of a mask as stored; a palette's colours only if asked for.

    Raises ZeroguideError: missing or damaged.
    """
    try:
        with PIL.Image.open(path) as image:
            return np.asarray(image.convert("RGB") if palette and image.mode == "P" else image)
    except FileNotFoundError:
        raise ZeroguideError(f"{path}: is missing; copy it there again.") from None
    except Exception:  # Pillow lets many kinds escape on damaged files
        raise ImageError(f"{path}: is not a readable mask; copy or export it again.") from None
