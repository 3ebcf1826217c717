"""Ward's tree against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import ward_tree
from sklearn.feature_extraction.image import grid_to_graph

from zeroguide.segment.segmenters.ward import ward, ward_of_grid


def ordered(merges: np.ndarray) -> np.ndarray:
    return np.sort(merges, axis=1)


@pytest.mark.parametrize(("h", "w"), [(1, 2), (1, 9), (7, 1), (6, 8), (20, 15)])
def test_neighbours_merge_as_in_scikit_learn(h: int, w: int) -> None:
    rows = np.random.default_rng(h * w).normal(size=(h * w, 12)).astype(np.float32)
    merges, heights = ward_of_grid(rows, h, w)
    expected, *_, distances = ward_tree(
        rows, connectivity=grid_to_graph(h, w), return_distance=True
    )
    assert np.allclose(heights, distances, atol=1e-5)
    assert np.array_equal(ordered(merges), ordered(expected))


def test_all_pairs_merge_as_in_scikit_learn() -> None:
    rows = np.random.default_rng(3).normal(size=(60, 5))
    merges, heights = ward(rows)
    expected, *_, distances = ward_tree(rows, return_distance=True)
    assert np.allclose(heights, distances)
    assert np.array_equal(ordered(merges), ordered(expected))


def test_equal_cells_merge_first_and_at_no_height() -> None:
    rows = np.repeat(np.eye(2, 3), 8, axis=0)  # two halves, one above the other
    merges, heights = ward_of_grid(rows, 4, 4)
    assert (heights[:-1] == 0).all() and heights[-1] == pytest.approx(np.sqrt(2 * 4 * 2))
    assert set(merges[-1]) <= set(range(16, 31))
