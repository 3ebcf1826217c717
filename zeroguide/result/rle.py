"""COCO's run-length codes of masks, read from files that anybody may have written.

pycocotools believes a code: counts that don't fill the picture make it read memory that nobody has
written, or never end. So every code that comes from outside goes through `checked` first, and every
polygon through `from_polygons`. A code is {"size": [height, width], "counts"}: lengths of runs down
the columns, of pixels outside and inside the mask in turn, as a list of numbers or as text in which
each number takes one or more characters of 5 bits (LEB128 with the differences to the number before
the last one; `rleToString` in pycocotools' maskApi.c).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

RLE = dict[str, Any]
"""A code that is sound: {"size": [height, width], "counts": compressed, bytes}."""

_FIRST = ord("0")  # the character for 0; the bits above its five digits say that more follow
# Characters of a number: pycocotools puts them together in 32 bits, and no picture needs more.
_LONGEST = 6
# How far from the picture a corner may lie, in the picture's longer side: the memory that an
# outline takes grows with its length.
_FAR = 10


def checked(code: object, size: tuple[int, int]) -> RLE:
    """A code, compressed or not, as one that pycocotools can be given.

    Args:
        code: {"size": [height, width], "counts": str, bytes or a list of numbers}.
        size: (height, width) of the picture in pixels, both positive.

    Returns the same mask without empty runs, over which pycocotools' IoU stumbles; only the first
    may be empty.
    Raises ValueError for anything else, with words that go on "a mask of photo.jpg ...".
    """
    if not isinstance(code, Mapping) or not {"size", "counts"} <= code.keys():
        raise ValueError("can't be read (it has no size or no counts)")
    height, width = _size(code["size"])
    if (height, width) != tuple(size):
        raise ValueError(f"is {width} x {height} pixels, not {size[1]} x {size[0]}")
    text = code["counts"]
    if isinstance(text, str):
        text = text.encode(errors="surrogatepass")
    counts = _counts_of_text(text) if isinstance(text, bytes) else _counts_of_numbers(text)
    if (counts < 0).any():
        raise ValueError(f"can't be read (a run of {counts.min()} pixels)")
    if (total := int(counts.sum())) != height * width:
        raise ValueError(f"covers {total} of {height * width} pixels")
    if isinstance(text, bytes) and (counts[1:] > 0).all():
        return {"size": [height, width], "counts": text}
    return _compressed(counts, [height, width])


def enclose_nothing(polygons: Sequence[object]) -> bool:
    """Whether none of COCO's polygons has three corners; pycocotools takes two for a box."""
    return all(isinstance(polygon, list) and len(polygon) < 6 for polygon in polygons)


def from_polygons(polygons: Sequence[object], size: tuple[int, int]) -> RLE:
    """The union of COCO's polygons, as pycocotools draws them.

    Args:
        polygons: lists [x, y, x, y, ...] in pixels, not all of them `enclose_nothing`.
        size: (height, width) of the picture in pixels.

    Raises ValueError as `checked` does: no numbers, an odd count of them, or far outside.
    """
    far = _FAR * max(size)
    corners = []
    for polygon in polygons:
        if not isinstance(polygon, list) or not all(map(_is_number, polygon)):
            raise ValueError("can't be read (a polygon is no list of numbers)")
        if len(polygon) % 2:
            raise ValueError(f"can't be read (a polygon has {len(polygon)} numbers, an odd count)")
        # Not NaN either.
        strange = next((value for value in polygon if not -far <= value <= far), None)
        if strange is not None:
            raise ValueError(f"has a corner at {strange}, far outside of the picture")
        if len(polygon) >= 6:
            corners.append(list(polygon))
    return checked(coco_mask.merge(coco_mask.frPyObjects(corners, *size)), size)


def from_coco(segmentation: object, size: tuple[int, int]) -> RLE:
    """A mask as COCO's annotations hold it: polygons or a run-length code, compressed or not.

    size: (height, width) of the picture in pixels. Raises ValueError as `checked` does.
    """
    if isinstance(segmentation, list):
        return from_polygons(segmentation, size)
    return checked(segmentation, size)


def decode(code: RLE) -> np.ndarray:
    """(H, W) bool: the pixels of a sound code."""
    mask: np.ndarray = coco_mask.decode(code).astype(bool)
    return mask


def whole(value: object) -> int | None:
    """A whole number however JSON spells it, 64 or 64.0; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _size(value: object) -> tuple[int, int]:
    sides = [whole(each) for each in value] if isinstance(value, list | tuple) else []
    found = [side for side in sides if side is not None and side > 0]
    if len(sides) != 2 or len(found) != 2:
        raise ValueError(f"can't be read (size {value!r})")
    return found[0], found[1]


def _counts_of_text(text: bytes) -> np.ndarray:
    """The counts (n,) int64 in a compressed code."""
    digits = np.frombuffer(text, np.uint8).astype(np.int64) - _FIRST
    if not len(digits):
        return digits
    if digits.min() < 0 or digits.max() > 63:
        raise ValueError("can't be read (its code holds characters that no code has)")
    ends = np.flatnonzero(digits < 32)
    if not len(ends) or ends[-1] != len(digits) - 1:
        raise ValueError("can't be read (its code is cut off within a number)")
    starts = np.append(0, ends[:-1] + 1)
    lengths = ends - starts + 1
    if lengths.max() > _LONGEST:
        raise ValueError("can't be read (its code holds a number that is too long)")
    place = np.arange(len(digits)) - np.repeat(starts, lengths)
    counts: np.ndarray = np.add.reduceat((digits & 31) << (5 * place), starts)
    counts -= ((digits[ends] & 16) > 0) * (1 << (5 * lengths))  # the highest bit is the sign
    # From the fourth on they are differences to the one before the last.
    counts[1::2] = np.cumsum(counts[1::2])
    counts[2::2] = np.cumsum(counts[2::2])
    return counts


def _counts_of_numbers(values: object) -> np.ndarray:
    """The counts (n,) int64 of a code that isn't compressed."""
    if not isinstance(values, list | tuple):
        raise ValueError(f"can't be read (counts of the type {type(values).__name__})")
    counts = [whole(value) for value in values]
    for count, value in zip(counts, values, strict=True):
        if count is None or abs(count) >= 1 << 31:  # no picture is as large
            raise ValueError(f"can't be read (a run of {value!r} pixels)")
    return np.array(counts, np.int64)


def _compressed(counts: np.ndarray, size: list[int]) -> RLE:
    """Counts (n,), of which at least one isn't 0, without empty runs beyond the first."""
    filled = np.flatnonzero(counts)
    runs, inside = counts[filled], filled % 2
    starts = np.flatnonzero(np.diff(inside, prepend=-1))  # where the mask begins or ends
    joined = np.add.reduceat(runs, starts).tolist()
    plain = {"size": size, "counts": [0, *joined] if inside[0] else joined}
    return dict(coco_mask.frPyObjects(plain, *size))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
