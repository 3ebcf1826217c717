"""A decoded image of any colour mode -> upright RGB bytes.

Works block by block, so that besides Pillow's image and the result no further copy of the picture
exists: 200 million pixels fit into 1.5 GB.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import PIL.Image

from zeroguide.errors import ImageError

_BLOCK = 2**22  # pixels
Box = tuple[int, int, int, int]


def to_rgb(image: PIL.Image.Image, orientation: int, name: str, notes: list[str]) -> np.ndarray:
    """The pixels of a loaded image as (H, W, 3) uint8, upright, transparency laid on white.

    orientation : of EXIF, 1 to 8; from 5 on height and width are swapped
    name : what sentences call the image
    notes : gets a phrase for each thing that had to be decided

    16-bit and float values are scaled to bytes. Raises ImageError for values that aren't numbers
    and for colour modes that have no conversion.
    """
    width, height = image.size
    shape = (width, height) if orientation >= 5 else (height, width)
    upright = np.empty((*shape, 3), np.uint8)
    pixels = _as_stored(upright, orientation)  # a view: what is written is turned
    if image.mode.startswith("I") or image.mode == "F":
        _write_grey(image, pixels, name, notes)
    else:
        try:
            _write_colours(image, pixels, notes)
        except ValueError as error:
            raise ImageError(
                f"{name}: its colour mode {image.mode} can't be converted; save it as RGB."
            ) from error
    return upright


def _as_stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """The view of upright pixels that has the file's order of rows and columns."""
    view = upright
    if orientation in (2, 3, 6, 7):
        view = view[:, ::-1]
    if orientation in (3, 4, 7, 8):
        view = view[::-1]
    return view.swapaxes(0, 1) if orientation in (5, 6, 7, 8) else view


def _write_colours(image: PIL.Image.Image, pixels: np.ndarray, notes: list[str]) -> None:
    transparent = image.has_transparency_data
    note = "transparency laid on white"
    for box, block in _blocks(image):
        if transparent:
            block = block.convert("RGBA")
            if np.asarray(block.getchannel("A")).min() < 255:
                ground = PIL.Image.new("RGB", block.size, "white")
                ground.paste(block, mask=block)
                block = ground
                if note not in notes:
                    notes.append(note)
        _part(pixels, box)[:] = np.asarray(block.convert("RGB"))


def _write_grey(image: PIL.Image.Image, pixels: np.ndarray, name: str, notes: list[str]) -> None:
    """Scale 16-bit, 32-bit or float grey values to bytes."""
    low, high = np.inf, -np.inf
    for _, block in _blocks(image):
        values = np.asarray(block)
        if not np.isfinite(values).all():
            raise ImageError(
                f"{name}: holds values that are not numbers; replace them and export it."
            )
        low, high = min(low, float(values.min())), max(high, float(values.max()))
    if low >= 0 and 4095 < high <= 65535:
        low, high = 0.0, 65535.0
    elif low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    elif low >= 0 and high <= 4095:
        # 10- and 12-bit sensors store their values unscaled: read as 16 bits they'd be black.
        notes.append(f"values up to {high:g} stretched to the full range")
        low = 0.0
    else:
        notes.append(f"values from {low:g} to {high:g} stretched to the full range")
    scale = 255.0 / max(high - low, 1e-12)
    for box, block in _blocks(image):
        values = np.asarray(block).astype(np.float32)
        _part(pixels, box)[:] = np.rint((values - low) * scale).astype(np.uint8)[:, :, None]


def _blocks(image: PIL.Image.Image) -> Iterator[tuple[Box, PIL.Image.Image]]:
    """The image in parts of at most `_BLOCK` pixels, each with left, top, right and bottom."""
    across = min(image.width, _BLOCK)
    down = min(image.height, _BLOCK // across)
    for top in range(0, image.height, down):
        for left in range(0, image.width, across):
            box = (left, top, min(left + across, image.width), min(top + down, image.height))
            yield box, image.crop(box)


def _part(pixels: np.ndarray, box: Box) -> np.ndarray:
    left, top, right, bottom = box
    return pixels[top:bottom, left:right]
