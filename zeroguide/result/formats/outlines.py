"""Masks as polygons that give back exactly the same pixels.

The outline runs along the borders between pixels, not through their centres, so a polygon encloses
precisely the mask's area: the pixel (x, y) is the square from (x, y) to (x + 1, y + 1). Pixels that
touch only at a corner belong to different parts. A hole is joined to the outline around it by a
slit of no width, so that tools without holes keep them: the outline goes in along the slit, round
the hole, and back.

Readers that round every vertex down to a pixel and then draw the border too (Pillow's and OpenCV's
polygons) would make each mask one pixel too large to the right and below; `inset` moves every side
a little inwards, so that each vertex lies in a pixel of the mask. Readers that ask for a pixel's
centre get the same mask with any inset below a half.

Nothing is smoothed: a slanting border has two vertices per step.
"""

from __future__ import annotations

import numpy as np


def polygons(mask: np.ndarray, *, inset: float = 0.0) -> list[np.ndarray]:
    """One closed polygon for each part of a mask, holes cut in by a slit.

    Args:
        mask: (H, W) bool.
        inset: how far every side is moved inwards, in pixels, 0 to below 0.5.

    Returns (n, 2) float64 arrays of x, y, clockwise as seen on a screen, the first vertex not
    repeated at the end; from top to bottom by the parts' first pixel. Empty for an empty mask.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return []
    y, x = int(rows[0]), int(columns[0])
    crop = np.pad(mask[y : rows[-1] + 1, x : columns[-1] + 1], 1)
    rings = _rings(crop)
    outlines = {i: ring for i, ring in enumerate(rings) if _area(ring) > 0}
    owner = {i: i for i in outlines}  # ring -> the outline it has become part of
    # A slit runs from a hole's leftmost side to the left, to a ring that lies further left: holes
    # from left to right find it joined already.
    holes = [(int(ring[:, 0].min()), i) for i, ring in enumerate(rings) if i not in outlines]
    ring_at = _ring_at(rings, crop.shape) if holes else None
    for left, i in sorted(holes):
        assert ring_at is not None
        ring = rings[i]
        start = _vertical_side(ring, left)
        row = int(min(ring[start, 1], ring[(start + 1) % len(ring), 1]))
        end = int(np.flatnonzero(~crop[row, :left])[-1]) + 1
        owner[i] = owner[int(ring_at[row, end])]
        outline = outlines[owner[i]]
        middle = row + 0.25  # not at the pixels' centres, where readers ask
        side = _side_across(outline, end, middle)
        here = np.array([end, middle, outline[side, 2], 0])
        there = np.array([left, middle, ring[start, 2], 0])
        around = np.roll(ring, -(start + 1), axis=0)
        outlines[owner[i]] = np.vstack(
            [outline[: side + 1], here, there, around, there, here, outline[side + 1 :]]
        )
    return [r[:, :2] + inset * r[:, 2:] + (x - 1, y - 1) for r in outlines.values()]


def parts(mask: np.ndarray) -> list[list[np.ndarray]]:
    """The outline and the holes of each part of a mask (H, W) bool.

    Returns for each part its rings, (n, 2) float64 arrays of x, y as in `polygons`: the outline,
    clockwise as seen on a screen, then the holes, counter-clockwise. No ring meets itself, two
    meet in single points at most: they are valid polygons of OGC's simple features.
    """
    from scipy.ndimage import label

    padded = np.pad(mask, 1)
    components, n = label(padded)
    found: list[list[np.ndarray]] = [[] for _ in range(n)]
    for ring in _rings(padded):
        x, y = (ring[0, :2] + (ring[0, 2:] - 1) / 2).astype(int)  # a pixel of the mask
        for loop in _loops(ring):
            if _area(loop) > 0:
                found[components[y, x] - 1].insert(0, loop - 1)
            else:
                found[components[y, x] - 1].append(loop - 1)
    return found


def _loops(ring: np.ndarray) -> list[np.ndarray]:
    """A ring cut into rings (n, 2) wherever it comes back to a corner."""
    loops = []
    way: list[tuple[float, float]] = []
    way_at: dict[tuple[float, float], int] = {}
    for x, y in ring[:, :2].tolist():
        if (x, y) in way_at:
            at = way_at[x, y]
            loops.append(np.array(way[at:]))
            for corner in way[at + 1 :]:
                del way_at[corner]
            del way[at + 1 :]
        else:
            way_at[x, y] = len(way)
            way.append((x, y))
    return [*loops, np.array(way)]


def _rings(mask: np.ndarray) -> list[np.ndarray]:
    """Every closed border of a mask (h, w) bool whose outermost pixels are False.

    Returns (n, 4) float64: x, y of the corners and the direction (-1 or 1 in x and y) in which the
    mask lies from the two sides that meet there. Mask on the right-hand side of the way: outlines
    clockwise, holes counter-clockwise.
    """
    a, b, c, d = mask[:-1, :-1], mask[:-1, 1:], mask[1:, :-1], mask[1:, 1:]
    ad, bc = a & d & ~b & ~c, b & c & ~a & ~d  # two pixels that touch at a corner: two vertices
    turns = (a ^ b ^ c ^ d) | ad | bc
    y, x = np.nonzero(turns)
    double = (ad | bc)[y, x]
    y, x, crossing = (np.repeat(values, 1 + double) for values in (y, x, bc[y, x]))
    second = np.zeros(len(y), bool)
    second[1:] = (y[1:] == y[:-1]) & (x[1:] == x[:-1])
    # In each row of corners, sides run from the 1st vertex to the 2nd, from the 3rd to the 4th...;
    # of a double vertex the first copy ends the side on the left. Likewise down the columns, where
    # the copy that belongs to the side above comes first.
    across = np.arange(len(y)).reshape(-1, 2)
    down = np.lexsort((second ^ crossing, y, x)).reshape(-1, 2)
    partner = np.empty(len(y), int)
    partner[down] = down[:, ::-1]
    below = mask[y[across[:, 0]] + 1, x[across[:, 0]] + 1]  # is the mask below the side?
    starts = np.where(below, across[:, 0], across[:, 1])
    ends = np.where(below, across[:, 1], across[:, 0])
    end_of = np.full(len(y), -1)
    end_of[starts] = ends
    # The mask lies on the right of each vertical side: to the east of one that goes up.
    up = y[partner] < y
    east = np.empty(len(y), int)
    east[ends] = np.where(up[ends], 1, -1)
    east[partner[ends]] = east[ends]
    south = np.empty(len(y), int)
    south[starts] = south[ends] = np.where(below, 1, -1)
    corners = np.stack([x + 1, y + 1, east, south], axis=1).astype(float)
    to, side = partner.tolist(), end_of.tolist()
    left = set(starts.tolist())
    rings = []
    for start in np.sort(starts).tolist():
        if start not in left:
            continue
        ring = []
        at = start
        while at in left:
            left.remove(at)
            ring += [at, side[at]]
            at = to[side[at]]
        rings.append(corners[ring])
    return rings


def _area(ring: np.ndarray) -> float:
    """Twice the area, positive if clockwise on a screen."""
    x, y = ring[:, 0], ring[:, 1]
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))


def _vertical_side(ring: np.ndarray, x: int) -> int:
    """Where the first vertical side at x starts."""
    upright = (ring[:, 0] == x) & (np.roll(ring[:, 0], -1) == x)
    return int(np.flatnonzero(upright)[0])


def _ring_at(rings: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """The ring with a vertical side at [row, x]: (h, w) int32, -1 where there is none."""
    found = np.full(shape, -1, np.int32)
    for i, ring in enumerate(rings):
        way = np.stack([ring[1::2, :2], np.roll(ring[::2, :2], -1, axis=0)], axis=1).astype(int)
        for (x, y), (_, y_end) in way.tolist():
            found[min(y, y_end) : max(y, y_end), x] = i
    return found


def _side_across(ring: np.ndarray, x: int, y: float) -> int:
    """Where the vertical side at x that passes y starts."""
    after = np.roll(ring, -1, axis=0)
    passes = (ring[:, 1] < y) != (after[:, 1] < y)
    return int(np.flatnonzero((ring[:, 0] == x) & (after[:, 0] == x) & passes)[0])
