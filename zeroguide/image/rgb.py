"""A decoded image of any colour mode -> upright sRGB bytes.

Works block by block, so that besides Pillow's image and the result no further copy of the picture
exists: 200 million pixels fit into 1.5 GB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import PIL.Image

from zeroguide.errors import ImageError
from zeroguide.image.colour_profile import Conversion, conversion
from zeroguide.image.deep_colour import DeepColour
from zeroguide.image.value_range import Range, describe, own_range, to_bytes

_BLOCK = 2**22  # pixels
_GDAL_NODATA = 42113  # the TIFF tag in which GDAL writes what stands for "no data"
Box = tuple[int, int, int, int]
# Values of a part, (h, w) or (h, w, 3), and its alpha (h, w) uint8 if there is any.
Part = Callable[[Box], tuple[np.ndarray, np.ndarray | None]]


def to_rgb(
    image: PIL.Image.Image,
    orientation: int,
    name: str,
    notes: list[str],
    value_range: Range | None = None,
    deep: DeepColour | None = None,
) -> np.ndarray:
    """The pixels of a loaded image as (H, W, 3) uint8 sRGB, upright, transparency laid on white.

    orientation : of EXIF, 1 to 8; from 5 on height and width are swapped
    name : what sentences call the image
    notes : gets a phrase for each thing that had to be decided
    value_range : what becomes black and white of values of more than 8 bits; None: their own range
    deep : the image with all its bits, if its colours have 16

    Raises ImageError for values of which none is a number and for colour modes that have no
    conversion.
    """
    width, height = image.size
    shape = (width, height) if orientation >= 5 else (height, width)
    upright = np.empty((*shape, 3), np.uint8)
    pixels = _as_stored(upright, orientation)  # a view: what is written is turned
    profile = conversion(image, notes)
    blocks = _blocks(image)
    if deep is not None:
        blocks = _stretched(image, deep.part, name, notes, value_range)
    elif image.mode.startswith("I") or image.mode == "F":
        blocks = _stretched(image, _grey_part(image), name, notes, value_range)
    try:
        _write(blocks, pixels, profile, notes)
    except ValueError:
        raise ImageError(
            f"{name}: its colour mode {image.mode} can't be converted; save it as RGB."
        ) from None
    return upright


def _as_stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """The view of upright pixels that has the file's order of rows and columns."""
    view = upright
    if orientation in (2, 3, 6, 7):
        view = view[:, ::-1]
    if orientation in (3, 4, 7, 8):
        view = view[::-1]
    return view.swapaxes(0, 1) if orientation in (5, 6, 7, 8) else view


def _write(
    blocks: Iterator[tuple[Box, PIL.Image.Image]],
    pixels: np.ndarray,
    profile: Conversion | None,
    notes: list[str],
) -> None:
    """Blocks of 8 bits a channel as sRGB into their places."""
    note = "transparency laid on white"
    for box, block in blocks:
        alpha = None
        if block.has_transparency_data:
            block = block.convert("RGBA")
            alpha = block.getchannel("A")
        if profile is not None:
            block = profile.apply(block.convert(profile.mode))
        if alpha is not None and np.asarray(alpha).min() < 255:
            ground = PIL.Image.new("RGB", block.size, "white")
            ground.paste(block, mask=alpha)
            block = ground
            if note not in notes:
                notes.append(note)
        _part(pixels, box)[:] = np.asarray(block.convert("RGB"))


def _stretched(
    image: PIL.Image.Image, part: Part, name: str, notes: list[str], given: Range | None
) -> Iterator[tuple[Box, PIL.Image.Image]]:
    """Values of more than 8 bits as blocks of modes L, RGB or RGBA; notes what was done."""
    no_data = _no_data(image)
    range_ = given or _own_range(image, part, no_data, name, notes)
    n = n_void = n_beyond = 0
    for box in _boxes(image):
        values, alpha = part(box)
        void = _is_void(values, no_data)
        n += values.size
        n_void += int(void.sum())
        n_beyond += int((((values < range_[0]) | (values > range_[1])) & ~void).sum())
        scaled = to_bytes(values, range_)
        scaled[void] = 0
        block = PIL.Image.fromarray(scaled)
        if alpha is not None:
            block.putalpha(PIL.Image.fromarray(alpha))
        yield box, block
    if n_void:
        notes.append(f"black where there is no data, {n_void / n:.2%} of the values")
    if given is not None and n_beyond:
        notes.append(f"{n_beyond / n:.2%} of the values lie outside of the value range")


def _own_range(
    image: PIL.Image.Image, part: Part, no_data: float | None, name: str, notes: list[str]
) -> Range:
    """The image's own range of values, noted; of one that is flat, what its type can hold."""

    def valid() -> Iterator[np.ndarray]:
        return (v[~_is_void(v, no_data)] for v in (part(box)[0] for box in _boxes(image)))

    found = own_range(valid)
    if found is None:
        raise ImageError(f"{name}: holds no values that are numbers; export it again.")
    if found[0] == found[1]:
        notes.append(f"all values are {found[0]:g}: a picture of one grey")
        return (0.0, 1.0) if image.mode == "F" else (0.0, 65535.0)
    if note := describe(found):
        notes.append(note)
    return found


def _grey_part(image: PIL.Image.Image) -> Part:
    return lambda box: (np.asarray(image.crop(box)), None)


def _no_data(image: PIL.Image.Image) -> float | None:
    """The value that a TIFF says to stand for "no data"."""
    try:
        return float(image.tag_v2[_GDAL_NODATA])  # type: ignore[attr-defined]
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _is_void(values: np.ndarray, no_data: float | None) -> np.ndarray:
    """Which values mean nothing: a mask of the same shape."""
    void = ~np.isfinite(values)
    if no_data is not None:
        void |= values == no_data
    return void


def _boxes(image: PIL.Image.Image) -> Iterator[Box]:
    """The image in parts of at most `_BLOCK` pixels: left, top, right and bottom of each."""
    across = min(image.width, _BLOCK)
    down = min(image.height, _BLOCK // across)
    for top in range(0, image.height, down):
        for left in range(0, image.width, across):
            yield left, top, min(left + across, image.width), min(top + down, image.height)


def _blocks(image: PIL.Image.Image) -> Iterator[tuple[Box, PIL.Image.Image]]:
    return ((box, image.crop(box)) for box in _boxes(image))


def _part(pixels: np.ndarray, box: Box) -> np.ndarray:
    left, top, right, bottom = box
    return pixels[top:bottom, left:right]
