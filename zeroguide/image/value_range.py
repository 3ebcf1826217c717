"""Values of more than 8 bits -> bytes: which of them become black and white, and the rest between.

Sensors store 12 or 14 bits in 16, thermal cameras and elevation models use a small part of what
their type can hold: taken as they are, such images are black or flat grey. Their own range is found
robustly: what is no number, an image's "no data" value, and dead pixels don't count.

Failure modes: two frames of one camera are stretched differently, unless both are given one range.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

Range = tuple[float, float]
Blocks = Callable[[], Iterator[np.ndarray]]

_CONVENTIONAL = ((0.0, 1.0), (0.0, 255.0), (0.0, 65535.0))  # nothing to be said about these
_TAIL = 1e-3  # share of the values that dead or glaring pixels may be, at either end
_BINS = 65536  # of the histogram: exact for 16 bits


def own_range(blocks: Blocks) -> Range | None:
    """The least and the greatest of an image's values that count; None if none is a number.

    blocks : gives the image's values in parts, without those that mean "no data"; called often

    A value at an end that lies farther from all others than these are spread is no data or a dead
    pixel, however many pixels have it. So are up to a thousandth of the pixels at an end, if
    without them the range is less than half as wide.
    """
    low, high = _extent(blocks, -np.inf, np.inf)
    if not low <= high:
        return None
    before = None
    while before != (low, high):
        before = low, high
        inner_low, inner_high = _extent(blocks, low, high)
        spread = inner_high - inner_low
        if spread > 0:
            low = inner_low if inner_low - low > spread else low
            high = inner_high if high - inner_high > spread else high
    return _without_tails(blocks, low, high) if low < high else (low, high)


def to_bytes(values: np.ndarray, range_: Range) -> np.ndarray:
    """Values of any shape as uint8: `range_` becomes 0 to 255, what lies beyond is cut to it.

    What is no number becomes 0. Of a range without width, what lies above it becomes 255.
    """
    low, high = range_
    width = max(high - low, 1e-300)
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.clip((values.astype(np.float64) - low) / width * 255.0, 0.0, 255.0)
    return np.rint(np.nan_to_num(scaled, copy=False)).astype(np.uint8)


def describe(range_: Range) -> str | None:
    """What stretching this range means, as a note; None for the ranges that all programs take."""
    low, high = range_
    if range_ in _CONVENTIONAL:
        return None
    return f"values from {low:g} to {high:g} stretched to the full range"


def _extent(blocks: Blocks, above: float, below: float) -> Range:
    """The least and greatest value between two others; (inf, -inf) if there is none."""
    low, high = np.inf, -np.inf
    for values in blocks():
        inside = values[(values > above) & (values < below)]
        if inside.size:
            low, high = min(low, float(inside.min())), max(high, float(inside.max()))
    return low, high


def _without_tails(blocks: Blocks, low: float, high: float) -> Range:
    counts = np.zeros(_BINS, np.int64)
    for values in blocks():
        counts += np.histogram(values.astype(np.float64), _BINS, (low, high))[0]
    edges = np.linspace(low, high, _BINS + 1)
    least = _TAIL * counts.sum()
    first = int(np.argmax(np.cumsum(counts) > least))
    last = _BINS - int(np.argmax(np.cumsum(counts[::-1]) > least))
    core_low, core_high = float(edges[first]), float(edges[last])
    core = core_high - core_low
    return (
        core_low if core_low - low > core else low,
        core_high if high - core_high > core else high,
    )
