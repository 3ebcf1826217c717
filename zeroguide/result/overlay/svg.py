"""Masks as outlines in SVG, and where a name finds room in them.

Outlines run along the borders between pixels with every corner cut by half a pixel: stairs become
slanting lines, and neighbours still share their border.
"""

from __future__ import annotations

import numpy as np

from zeroguide.result.formats.outlines import parts


def reduce(label_map: np.ndarray, side: int) -> np.ndarray:
    """A label map (H, W) at no more than this longer side, by nearest neighbour."""
    y, x = (grid(length, max(label_map.shape), side) for length in label_map.shape)
    return label_map[y][:, x]


def grid(length: int, longer: int, side: int) -> np.ndarray:
    """The pixels of an axis that are kept where the longer axis is reduced to `side`."""
    kept = max(1, round(length * min(1.0, side / longer)))
    return ((np.arange(kept) + 0.5) * length / kept).astype(int)


def outline(mask: np.ndarray) -> tuple[str, tuple[float, float, float] | None]:
    """The path of a mask (h, w) bool and (x, y, radius) of the largest disc in it.

    Both in pixels of the mask; "" and None for an empty one.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return "", None
    y, x = int(rows[0]), int(columns[0])
    mask = mask[y : rows[-1] + 1, x : columns[-1] + 1]
    rings = [ring + np.array((x, y)) for rings in parts(mask) for ring in rings]
    row, column, radius = _deepest(mask)
    return "".join(map(_path, rings)), (x + column, y + row, radius)


def _path(ring: np.ndarray) -> str:
    """A ring of corners (n, 2) with integers as an SVG path, every corner cut by half a pixel."""
    following = np.roll(ring, -1, axis=0)
    step = 0.5 * np.sign(following - ring)
    points = np.stack([ring + step, following - step], axis=1).reshape(-1, 2)
    same = (points == np.roll(points, 1, axis=0)).all(axis=1)  # sides of one pixel have one middle
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points[~same].tolist()) + "Z"


def _deepest(mask: np.ndarray) -> tuple[float, float, float]:
    """Row, column and radius of the largest disc in a mask (h, w), not empty."""
    from scipy.ndimage import distance_transform_edt

    stride = 1 + max(mask.shape) // 120  # a name needs no more exactness
    coarse = mask[::stride, ::stride]
    if not coarse.any():
        stride, coarse = 1, mask
    depth = distance_transform_edt(np.pad(coarse, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return (row + 0.5) * stride, (column + 0.5) * stride, float(depth.max()) * stride
