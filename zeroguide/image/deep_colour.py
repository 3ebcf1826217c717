"""Colour images of 16 bits a channel, of which Pillow keeps the upper 8: the lower ones, too.

Pillow takes the first byte of each big-endian value. Told that the values are little-endian, it
takes the other one, so a second look at the file gives what the first has dropped.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL.Image

_OTHER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_RAW_MODES = {f"{mode};16{order}" for mode in ("RGB", "RGBA", "RGBX") for order in _OTHER}
# Grey with alpha becomes RGBA in Pillow. Taken for bytes, its channels are grey's two and alpha's.
_GREY_ALPHA = "LA;16B"


@dataclass(frozen=True)
class DeepColour:
    """Two loaded looks at one image: as Pillow makes it, and with the bytes that this drops."""

    upper: PIL.Image.Image
    lower: PIL.Image.Image
    is_grey: bool

    def part(self, box: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray | None]:
        """Colours (h, w, 3) uint16 of a part, and its alpha (h, w) uint8 if it has any."""
        upper, lower = (np.asarray(look.crop(box)) for look in (self.upper, self.lower))
        low = lower[..., 1:2] if self.is_grey else lower[..., :3]
        alpha = upper[..., 3] if upper.shape[2] == 4 else None
        return upper[..., :3].astype(np.uint16) << 8 | low, alpha


def is_deep_colour(image: PIL.Image.Image) -> bool:
    """Whether an opened image that isn't loaded yet would lose half of its colours' 16 bits."""
    return bool(_raw_modes(image)) and _raw_modes(image) <= {*_RAW_MODES, _GREY_ALPHA}


def load_deep_colour(image: PIL.Image.Image, again: Callable[[], PIL.Image.Image]) -> DeepColour:
    """Load an image that `is_deep_colour`, twice; `again` opens its file once more.

    Raises what Pillow raises for damaged files.
    """
    is_grey = _GREY_ALPHA in _raw_modes(image)
    image.load()
    lower = again()
    lower.tile = [_swapped(tile) for tile in lower.tile]  # type: ignore[attr-defined]
    lower.load()
    return DeepColour(image, lower, is_grey)


def _swapped(tile: Any) -> Any:
    """A tile's description, as if its values had the other order of bytes."""
    codec, box, offset, args = tile
    raw, *more = (args,) if isinstance(args, str) else args
    raw = "RGBA" if raw == _GREY_ALPHA else raw[:-1] + _OTHER[raw[-1]]
    make = getattr(type(tile), "_make", tuple)  # plain tuples before Pillow 11
    return make((codec, box, offset, raw if isinstance(args, str) else (raw, *more)))


def _raw_modes(image: PIL.Image.Image) -> set[str]:
    """How the file's bytes are to be unpacked, for all parts of an image that isn't loaded."""
    args = [tile[3] for tile in getattr(image, "tile", ())]
    return {str(each if isinstance(each, str) else each[0]) for each in args if each}
