"""How alike a picture's cells are: the cosine graph that the graph-cut segmenters share.

Only the direction of a feature counts, as in Deep Spectral, TokenCut, MaskCut and DiffCut. A full
matrix of affinities takes 4 bytes a pair: 52 MB at 3,600 cells, 400 MB at MAX_DENSE_CELLS (the
methods' peaks are in docs/results.md; a graph on which Lanczos stalls needs several times as much).
Larger pictures are cut on a coarser grid (`Grid`), whose result the cells take over from the coarse
cells around them. `neighbour_graph` is the sparse alternative: each cell's most alike others only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from zeroguide.segment.segmenters.common import as_rows

MAX_DENSE_CELLS = 10_000
BLOCK_BYTES = 64_000_000  # cosines held at once where the full matrix isn't


@dataclass(frozen=True, eq=False)
class Grid:
    """A picture's cells, and the fewer cells that are compared all with all.

    shape: (h, w) of the picture's grid.
    rows: (h * w, d) float32, every cell's feature scaled to length 1.
    coarse_shape, coarse_rows: the same of the grid to cut. Up to MAX_DENSE_CELLS cells they are
        `shape` and `rows` themselves; above, a coarse cell is the mean of some neighbours.
    """

    shape: tuple[int, int]
    rows: np.ndarray
    coarse_shape: tuple[int, int]
    coarse_rows: np.ndarray

    @classmethod
    def build(cls, features: Any, *, center: bool = False) -> Grid:
        """Features (h, w, d), tensor or array; ZeroguideError if they aren't finite.

        center: the picture's mean feature is subtracted first. The sources don't; but where all
        features have a large part in common, all cosines are large, and thresholds on them mean
        nothing without it.
        """
        rows = unit_rows(features, center=center)
        shape = (int(features.shape[0]), int(features.shape[1]))
        step = 1
        while -(-shape[0] // step) * -(-shape[1] // step) > MAX_DENSE_CELLS:
            step += 1
        if step == 1:
            return cls(shape, rows, shape, rows)
        starts = [np.arange(0, n, step) for n in shape]
        sums = np.add.reduceat(rows.reshape(*shape, -1), starts[0], axis=0)
        sums = np.add.reduceat(sums, starts[1], axis=1)  # (h', w', d)
        return cls(shape, rows, (len(starts[0]), len(starts[1])), unit_rows(sums))

    @cached_property
    def is_constant(self) -> bool:
        """Whether all cells are equal, up to rounding."""
        return bool(np.abs(self.rows - self.rows[0]).max() <= 1e-6)

    def spread(self, coarse_labels: np.ndarray) -> np.ndarray:
        """Labels of the coarse cells (n',) as labels of all cells (h, w).

        Of the labels that the 3 x 3 coarse cells around it have, a cell takes the one whose mean
        feature it is most like.
        """
        if self.coarse_rows is self.rows:
            return coarse_labels.reshape(self.shape)
        names, index = np.unique(coarse_labels, return_inverse=True)
        means = np.zeros((len(names), self.rows.shape[1]), np.float32)
        np.add.at(means, index, self.coarse_rows)
        means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
        step = [-(-a // b) for a, b in zip(self.shape, self.coarse_shape, strict=True)]
        y, x = (np.arange(n) // s for n, s in zip(self.shape, step, strict=True))
        padded = np.pad(index.reshape(self.coarse_shape), 1, mode="edge")
        near = np.stack(
            [
                padded[y + 1 + dy][:, x + 1 + dx].ravel()
                for dy in (0, -1, 1)  # the cell's own coarse cell first: it wins a tie
                for dx in (0, -1, 1)
            ],
            axis=1,
        )  # (h * w, 9)
        alike = np.take_along_axis(self.rows @ means.T, near, axis=1)
        best = alike.argmax(axis=1)
        return names[near[np.arange(len(near)), best]].reshape(self.shape)


def unit_rows(features: Any, *, center: bool = False) -> np.ndarray:
    """Features (h, w, d), tensor or array, as (h * w, d') float32 rows of length 1.

    center: less their mean first.

    Cells without any feature get a direction of their own (d' = d + 1): alike to each other and to
    nothing else. Raises ZeroguideError for features that aren't finite.
    """
    rows = as_rows(features)
    size = np.linalg.norm(rows, axis=1, keepdims=True)
    least = 1e-12
    if center:
        least = max(least, 1e-6 * float(size.max()))  # what rounding leaves of equal features
        rows = rows - rows.mean(axis=0, dtype=np.float64).astype(np.float32)
        size = np.linalg.norm(rows, axis=1, keepdims=True)
    empty = size <= least
    if empty.any():
        rows = np.concatenate([np.where(empty, 0, rows), empty.astype(np.float32)], axis=1)
        size = np.where(empty, 1, size)
    return np.ascontiguousarray(rows / size, dtype=np.float32)


def cosines(rows: np.ndarray) -> np.ndarray:
    """All cosines of unit rows (n, d): (n, n) float32, exactly symmetric."""
    # numpy has BLAS compute one triangle of a product with its own transpose, and mirrors it.
    return rows @ rows.T


def sharpened(cosine: np.ndarray, power: int) -> np.ndarray:
    """Cosines stretched to 0..1, then to that power, as in DiffCut: most pairs go to almost 0.

    They are changed in place, to hold the matrix only once.
    """
    cosine -= cosine.min()
    cosine /= max(float(cosine.max()), 1e-12)
    return np.power(cosine, power, out=cosine)


def neighbour_graph(rows: np.ndarray, n_neighbours: int) -> tuple[np.ndarray, np.ndarray]:
    """Each cell's most alike others: pairs (m, 2) int64, a < b, once each, and cosines (m,)."""
    n = len(rows)
    n_neighbours = min(n_neighbours, n - 1)
    if n_neighbours < 1:
        return np.empty((0, 2), np.int64), np.empty(0, np.float32)
    pairs, values = [], []
    for start, block in _cosine_blocks(rows):
        mine = np.arange(len(block))
        block[mine, start + mine] = -np.inf  # not itself
        near = np.argpartition(block, n - n_neighbours, axis=1)[:, n - n_neighbours :]
        values.append(np.take_along_axis(block, near, axis=1).ravel())
        pairs.append(np.stack([np.repeat(start + mine, n_neighbours), near.ravel()], axis=1))
    ends = np.sort(np.concatenate(pairs), axis=1)
    _, first = np.unique(ends[:, 0] * n + ends[:, 1], return_index=True)
    return ends[first], np.concatenate(values)[first]


def first_equal(rows: np.ndarray) -> np.ndarray:
    """(n,) for each row the index of the first row that is equal to it, bit by bit."""
    first: dict[bytes, int] = {}
    return np.array([first.setdefault(row.tobytes(), i) for i, row in enumerate(rows)])


def _cosine_blocks(rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Some rows of the cosine matrix at a time, with the index of the first."""
    size = max(1, BLOCK_BYTES // (4 * len(rows)))
    for start in range(0, len(rows), size):
        yield start, rows[start : start + size] @ rows.T
