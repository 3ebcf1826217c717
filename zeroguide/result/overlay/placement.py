"""Where captions go: inside their segment where they fit, else beside it with a leader line.

Pure geometry on a coarse grid of cells, about six to the height of a caption. Sums over all
possible positions of a box come from summed-area tables, so that a picture takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Size = tuple[int, int]
Box = tuple[int, int, int, int]

# Costs of a place beside the segment, in caption heights of distance from the segment's anchor.
HIDING = 7.0  # a whole segment hidden under the caption; parts of it in proportion
SECOND_CHOICE = 1.0  # for each less preferred shape of the caption
ON_TOP = 0.5  # share of own pixels under a caption from which it needs no leader line
TRIES = 400  # places tried, best first, until one has a leader that crosses nothing


@dataclass(frozen=True)
class Placement:
    """One caption's place, in pixels of the canvas.

    choice: index into the sizes offered. box: (left, top, right, bottom), inside the canvas.
    leader: from a point of the segment to the edge of the box, or None where the box lies on it.
    """

    choice: int
    box: Box
    leader: tuple[tuple[float, float], tuple[float, float]] | None


def place(
    label_map: np.ndarray,
    sizes: Mapping[int, Sequence[Size]],
    canvas: Size,
    *,
    cell: float,
    reach: float,
) -> dict[int, Placement]:
    """Find a place for every segment's caption; boxes and leaders never touch one another.

    label_map: (H, W) int, ids from 1. sizes: id -> (width, height) of its caption's possible
    shapes, preferred first; in this order segments choose. canvas: (width, height) in pixels of the
    result, which the label map covers. cell: about the size of a grid cell in pixels, also the
    least distance between boxes. reach: longest leader in pixels.
    A segment without room is absent from the result. The same input gives the same places.
    """
    grid = _Grid(label_map, canvas, cell)
    placed: dict[int, Placement] = {}
    # Inside their own segments captions can't meet, so these go first.
    for id, shapes in sizes.items():
        found = grid.inside(id, shapes)
        if found is not None:
            placed[id] = found
            grid.occupy(found)
    for id, shapes in sizes.items():
        if id not in placed:
            found = grid.beside(id, shapes, reach)
            if found is not None:
                placed[id] = found
                grid.occupy(found)
    return placed


class _Grid:
    def __init__(self, label_map: np.ndarray, canvas: Size, cell: float) -> None:
        self.canvas = canvas
        columns, rows = max(1, round(canvas[0] / cell)), max(1, round(canvas[1] / cell))
        self.cell = (canvas[0] / columns, canvas[1] / rows)  # exact: no part of a cell is left over
        y = ((np.arange(rows) + 0.5) * label_map.shape[0] / rows).astype(int)
        x = ((np.arange(columns) + 0.5) * label_map.shape[1] / columns).astype(int)
        self.label_map = label_map
        self.ids = label_map[y][:, x]  # (rows, columns)
        self.depth = _depth(self.ids)
        self.taken = np.zeros(self.ids.shape, bool)
        # A box's sum of this is the number of segments it hides, parts counted in proportion.
        self.weight = 1.0 / np.bincount(self.ids.ravel())[self.ids]

    def cells(self, size: Size) -> tuple[int, int]:
        """Rows and columns a box needs, one to spare so that boxes keep their distance."""
        return int(np.ceil(size[1] / self.cell[1])) + 1, int(np.ceil(size[0] / self.cell[0])) + 1

    def box(self, row: int, column: int, size: Size) -> Box:
        """A box centred in the cells it was given."""
        rows, columns = self.cells(size)
        left = int((column + columns / 2) * self.cell[0] - size[0] / 2)
        top = int((row + rows / 2) * self.cell[1] - size[1] / 2)
        return left, top, left + size[0], top + size[1]

    def inside(self, id: int, shapes: Sequence[Size]) -> Placement | None:
        own = self.ids == id
        rows, columns = np.flatnonzero(own.any(1)), np.flatnonzero(own.any(0))
        if len(rows) == 0:
            return None
        y, x = int(rows[0]), int(columns[0])
        own = own[y : rows[-1] + 1, x : columns[-1] + 1]
        for choice, size in enumerate(shapes):
            h, w = self.cells(size)
            if h > own.shape[0] or w > own.shape[1]:
                continue
            margins = (0, h // 3, h, 2 * h, 4 * h)
            table = _summed(np.pad(own, margins[-1]))
            score = np.zeros((own.shape[0] - h + 1, own.shape[1] - w + 1))
            for margin in margins:
                spare = margins[-1] - margin
                inner = table[spare : len(table) - spare, spare : table.shape[1] - spare]
                own_share = _window(inner, h + 2 * margin, w + 2 * margin) / (
                    (h + 2 * margin) * (w + 2 * margin)
                )
                if margin == 0:
                    fits = own_share > 1 - 1e-9
                    if not fits.any():
                        break
                score += own_share
            else:
                # Most of its own segment around it; among equals the one nearest their middle.
                score = np.where(fits, score, -1.0)
                best = np.argwhere(score > score.max() - 0.05)
                middle = np.abs(best - best.mean(0)).sum(1)
                row, column = best[int(middle.argmin())]
                return Placement(choice, self.box(int(row) + y, int(column) + x, size), None)
        return None

    def anchor(self, id: int) -> tuple[float, float]:
        """The point deepest inside a segment, as (row, column) in cells."""
        depth = np.where(self.ids == id, self.depth, 0)
        if depth.any():
            deepest = np.argwhere(depth == depth.max())
            row, column = deepest[int(np.abs(deepest - deepest.mean(0)).sum(1).argmin())]
            return row + 0.5, column + 0.5
        first = int((self.label_map.ravel() == id).argmax())  # too small for the grid
        row, column = divmod(first, self.label_map.shape[1])
        return (
            (row + 0.5) / self.label_map.shape[0] * self.ids.shape[0],
            (column + 0.5) / self.label_map.shape[1] * self.ids.shape[1],
        )

    def beside(self, id: int, shapes: Sequence[Size], reach: float) -> Placement | None:
        row, column = self.anchor(id)
        own = _summed(self.ids == id)
        taken, weight = _summed(self.taken), _summed(self.weight)
        candidates = []  # cost, choice, top row, left column, needs no leader?
        for choice, size in enumerate(shapes):
            h, w = self.cells(size)
            if h > self.ids.shape[0] or w > self.ids.shape[1]:
                continue
            free = _window(taken, h, w) == 0  # (positions down, positions across)
            share = _window(own, h, w) / (h * w)
            y = np.arange(free.shape[0])[:, None]
            x = np.arange(free.shape[1])[None, :]
            away_y = np.maximum(np.abs(y + h / 2 - row) - h / 2, 0) * self.cell[1]
            away_x = np.maximum(np.abs(x + w / 2 - column) - w / 2, 0) * self.cell[0]
            away = np.hypot(away_y, away_x)  # pixels from the anchor to the box
            on_top = share >= ON_TOP
            # Off the segment, the leader must be long enough to be seen.
            led = (away >= 0.5 * size[1]) & (away <= reach) & ~on_top
            near = on_top & (away <= reach)
            cost = np.where(near, 0.5 * (1 - share), away / size[1] + 0.5)
            cost += HIDING * _window(weight, h, w) + SECOND_CHOICE * choice
            # Straight above, below or at the side, and centred, looks tidier than off a corner.
            cost += 0.2 * np.hypot((y + h / 2 - row) / h, (x + w / 2 - column) / w)
            cost = np.where(free & (led | near), cost, np.inf)
            for flat in np.argsort(cost, axis=None, kind="stable")[:TRIES]:
                top, left = divmod(int(flat), cost.shape[1])
                if not np.isfinite(cost[top, left]):
                    break
                candidates.append(
                    (float(cost[top, left]), choice, top, left, bool(near[top, left]))
                )
        for _, choice, top, left, on_segment in sorted(candidates):
            size = shapes[choice]
            if on_segment:
                return Placement(choice, self.box(top, left, size), None)
            box = self.box(top, left, size)
            start = (column * self.cell[0], row * self.cell[1])
            end = (min(max(start[0], box[0]), box[2]), min(max(start[1], box[1]), box[3]))
            placement = Placement(choice, box, (start, end))
            if not self.taken[self.leader_cells(placement)].any():
                return placement
        return None

    def leader_cells(self, placement: Placement) -> tuple[np.ndarray, np.ndarray]:
        """The cells that a leader runs through, as (rows, columns)."""
        assert placement.leader is not None
        (ax, ay), (bx, by) = placement.leader
        steps = 2 + int(2 * max(abs(ax - bx) / self.cell[0], abs(ay - by) / self.cell[1]))
        rows = (np.linspace(ay, by, steps) / self.cell[1]).astype(int)
        columns = (np.linspace(ax, bx, steps) / self.cell[0]).astype(int)
        return (
            np.clip(rows, 0, self.ids.shape[0] - 1),
            np.clip(columns, 0, self.ids.shape[1] - 1),
        )

    def occupy(self, placement: Placement) -> None:
        left, top, right, bottom = placement.box
        rows = slice(int(top / self.cell[1]), int(np.ceil(bottom / self.cell[1])))
        columns = slice(int(left / self.cell[0]), int(np.ceil(right / self.cell[0])))
        self.taken[rows, columns] = True
        if placement.leader is not None:
            self.taken[self.leader_cells(placement)] = True


def _depth(ids: np.ndarray) -> np.ndarray:
    """How many cells each cell is from the next segment or the edge: (rows, columns) int, >= 1."""
    depth = np.ones(ids.shape, int)
    deep = np.zeros(ids.shape, bool)
    deep[1:-1, 1:-1] = True
    for a, b in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        border = ids[a] != ids[b]
        deep[a] &= ~border
        deep[b] &= ~border
    while deep.any():
        depth += deep
        shrunk = deep.copy()
        shrunk[1:] &= deep[:-1]
        shrunk[:-1] &= deep[1:]
        shrunk[:, 1:] &= deep[:, :-1]
        shrunk[:, :-1] &= deep[:, 1:]
        deep = shrunk
    return depth


def _summed(values: np.ndarray) -> np.ndarray:
    """Summed-area table: (rows + 1, columns + 1), zeros first."""
    table = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    table[1:, 1:] = values.cumsum(0, dtype=float).cumsum(1)
    return table


def _window(table: np.ndarray, height: int, width: int) -> np.ndarray:
    """Sums over all windows: (rows - height + 1, columns - width + 1)."""
    sums: np.ndarray = (
        table[height:, width:] - table[:-height, width:] - table[height:, :-width]
    ) + table[:-height, :-width]
    return sums
