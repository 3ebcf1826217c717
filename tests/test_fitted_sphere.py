"""Spherical k-means and the projection under it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroguide.errors import UsageError
from zeroguide.segment.fitted.sphere import fit_projection, nearest_centres, spherical_kmeans, unit


def planted(sizes: list[int], d: int = 12, noise: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows around orthogonal directions, shuffled, and which direction each belongs to."""
    rng = np.random.default_rng(3)
    directions = np.linalg.qr(rng.normal(size=(d, d)))[0][: len(sizes)]
    truth = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    rows = directions[truth] + noise * rng.normal(size=(len(truth), d))
    return unit(rows).astype(np.float32), truth


@pytest.mark.parametrize("seed", range(5))
def test_planted_clusters_come_back_exactly_largest_first(seed):
    rows, truth = planted([90, 70, 50, 30, 10])
    centres, labels = spherical_kmeans(rows, 5, seed)
    assert np.array_equal(labels, truth)
    for i in range(5):
        mean = rows[truth == i].mean(axis=0)
        assert centres[i] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)


def test_the_length_of_the_mean_has_no_say():
    """Euclidean k-means with its unscaled means would move the border between the two clusters."""
    angles = np.deg2rad([0, 2, 4, 30, 40, 50, 60]).astype(np.float32)
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    centres, labels = spherical_kmeans(rows, 2, 0)
    assert labels.tolist() == [1, 1, 1, 0, 0, 0, 0]
    assert np.rad2deg(np.arctan2(centres[:, 1], centres[:, 0])) == pytest.approx([45, 2], abs=0.01)


def test_no_more_clusters_than_directions():
    rows = np.eye(3, dtype=np.float32)[[0, 0, 1, 2, 2, 2]]
    centres, labels = spherical_kmeans(rows, 9, 0)
    assert np.array_equal(centres, np.eye(3, dtype=np.float32)[[2, 0, 1]])
    assert labels.tolist() == [1, 1, 2, 0, 0, 0]


def test_rows_without_a_direction_move_no_centre():
    rows = np.zeros((5, 2), dtype=np.float32)
    assert spherical_kmeans(rows, 3, 0)[0].tolist() == [[0, 0]]
    rows[:2] = [1, 0]
    rows[2] = [0, 1]
    centres, labels = spherical_kmeans(rows, 2, 0)
    assert centres.tolist() == [[1, 0], [0, 1]]
    assert labels.tolist() == [0, 0, 1, 0, 0]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 9))
def test_is_a_fixed_point_and_the_same_again(n, k, seed):
    rows = unit(np.random.default_rng(n).normal(size=(n, 4))).astype(np.float32)
    centres, labels = spherical_kmeans(rows, k, seed)
    assert len(centres) == len(np.unique(labels)) <= min(n, k)
    assert np.linalg.norm(centres, axis=1) == pytest.approx(1, abs=1e-5)
    assert np.array_equal(labels, nearest_centres(rows, centres))
    sizes = np.bincount(labels)
    assert (np.diff(sizes) <= 0).all()
    for i in range(len(centres)):
        mean = unit(rows[labels == i].sum(axis=0)[None])[0]
        assert centres[i] @ mean == pytest.approx(1, abs=1e-4)
    again = spherical_kmeans(rows, k, seed)
    assert np.array_equal(centres, again[0])
    assert np.array_equal(labels, again[1])


def test_projection_agrees_with_scikit_learn():
    from sklearn.decomposition import PCA

    rows = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32) * np.arange(1, 9) + 2
    projection = fit_projection(rows, 3)
    reference = PCA(3, svd_solver="full").fit(unit(rows))
    expected = unit(reference.transform(unit(rows)))
    signs = np.sign((projection(rows) * expected).sum(axis=0))
    assert projection(rows) * signs == pytest.approx(expected, abs=1e-4)
    share = fit_projection(rows, 0.8).axes.shape[1]
    assert share == PCA(0.8, svd_solver="full").fit(unit(rows)).n_components_
    assert fit_projection(rows, 99).axes.shape == (8, 8)


def test_a_projection_is_fitted_on_one_thread(monkeypatch):
    """Sums taken in another order could end in other clusters."""
    from threadpoolctl import threadpool_info, threadpool_limits

    threads = []
    eigh = np.linalg.eigh

    def counting(matrix):
        threads.extend(p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas")
        return eigh(matrix)

    monkeypatch.setattr(np.linalg, "eigh", counting)
    with threadpool_limits(2):
        fit_projection(np.eye(4, dtype=np.float32), 2)
    assert threads and set(threads) == {1}


def test_a_constant_data_set_has_no_directions():
    """Neither rounding of the mean nor storage in float16 makes one up."""
    rows = np.tile(np.random.default_rng(0).normal(size=16), (50, 1)).astype(np.float32)
    projection = fit_projection(rows.astype(np.float16).astype(np.float32), 4)
    assert not projection(rows).any()


@pytest.mark.parametrize("n_components", [0, -1, 2.5])
def test_components_out_of_range(n_components):
    with pytest.raises(UsageError, match="n_components"):
        fit_projection(np.eye(4, dtype=np.float32), n_components)
