"""Label Studio with brush masks: as `label_studio`, but every segment one mask, exactly.

The masks are in Label Studio's own RLE, which is that of the library rle-pack: bits, most
significant first. 32 of them give the number of values, 5 the bits of a value less 1, four times 4
the possible bits of a length less 1; then come runs: a 1, 2 bits that choose the size of the
length, the length less 1, the value. Values are the bytes of an RGBA image in rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from zeroguide.result.chosen import Chosen
from zeroguide.result.formats.base import Run, row_runs
from zeroguide.result.formats.label_studio import write_tasks
from zeroguide.result.segment import Segment

LENGTH_BITS = np.array([3, 4, 8, 16])
LONGEST = 1 << 16


def write(run: Run, folder: Path) -> None:
    """Fill a folder (see `zeroguide.result.formats.registry`)."""
    write_tasks(run, folder, "BrushLabels", _brush)


def _brush(labeling: Chosen, segment: Segment) -> list[dict[str, Any]]:
    return [{"format": "rle", "rle": encode(labeling.mask(segment))}]


def encode(mask: np.ndarray) -> list[int]:
    """The bytes of a mask (H, W) bool as Label Studio's RLE; all four channels are 255 inside."""
    runs = 4 * np.array(row_runs(mask))  # of values, four for each pixel
    values = np.where(np.arange(len(runs)) % 2, 255, 0)
    pieces = -(-runs // LONGEST)
    ends = np.cumsum(pieces)
    lengths = np.full(ends[-1], LONGEST)
    lengths[ends[pieces > 0] - 1] = (runs - (pieces - 1) * LONGEST)[pieces > 0]
    values = np.repeat(values, pieces)
    choice = np.searchsorted(1 << LENGTH_BITS, lengths)
    n = len(lengths)
    numbers = [4 * mask.size, 7, *(LENGTH_BITS - 1)]
    widths = [32, 5, 4, 4, 4, 4]
    run_numbers = np.stack([np.ones(n, int), choice, lengths - 1, values], axis=1)
    run_widths = np.stack([np.ones(n, int), np.full(n, 2), LENGTH_BITS[choice], np.full(n, 8)], 1)
    number = np.concatenate([numbers, run_numbers.ravel()])
    width = np.concatenate([widths, run_widths.ravel()])
    # one entry for each bit: which number it is of, and which of its bits
    of = np.repeat(np.arange(len(width)), width)
    bit = np.cumsum(width)[of] - 1 - np.arange(len(of))
    return np.packbits(((number[of] >> bit) & 1).astype(np.uint8)).tolist()


def decode(codes: object, size: tuple[int, int]) -> np.ndarray:
    """The inverse, whoever has written it: (H, W) bool, where the alpha channel isn't 0.

    Raises ValueError if it isn't such a code or has another size.
    """
    bits = np.unpackbits(np.array(codes, np.uint8))
    n_values = 4 * size[0] * size[1]
    at = 0

    def number(width: int) -> int:
        nonlocal at
        at += width
        if at > len(bits):
            raise ValueError("a brush mask that is cut off")
        return int("".join(map(str, bits[at - width : at].tolist())), 2)

    if number(32) != n_values:
        raise ValueError("a brush mask of another size")
    value_bits = number(5) + 1
    length_bits = [number(4) + 1 for _ in range(4)]
    values = np.zeros(n_values, bool)
    done = 0
    while done < n_values:
        is_run = number(1)
        length = number(length_bits[number(2)]) + 1
        if is_run:
            values[done : done + length] = number(value_bits) > 0
        else:  # values one by one
            at += length * value_bits
            if at > len(bits) or done + length > n_values:
                raise ValueError("a brush mask that is cut off")
            each = bits[at - length * value_bits : at].reshape(length, value_bits)
            values[done : done + length] = each.any(axis=1)
        done += length
    alpha: np.ndarray = values.reshape(*size, 4)[..., 3]
    return alpha.copy()
