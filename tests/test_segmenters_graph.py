"""Segmenters that cut the graph of cosines, on synthetic features and on those of the tiny DINO."""

from collections.abc import Callable
from functools import partial
from itertools import product

import numpy as np
import pytest
import torch

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.models import load_dino
from zeroguide.playroom import render
from zeroguide.segment.features import extract_features
from zeroguide.segment.segmenters import affinity as affinities
from zeroguide.segment.segmenters.affinity import (
    Grid,
    cosines,
    first_equal,
    neighbour_graph,
    sharpened,
)
from zeroguide.segment.segmenters.common import SegmenterResult, contiguous
from zeroguide.segment.segmenters.communities import communities
from zeroguide.segment.segmenters.eigen import cut_vectors, dense, lanczos
from zeroguide.segment.segmenters.kway import kway
from zeroguide.segment.segmenters.ncut import ncut
from zeroguide.segment.segmenters.spectral import spectral

METHODS: dict[str, Callable[..., SegmenterResult]] = {
    "spectral": spectral,
    "bipartition": partial(ncut, variant="bipartition"),
    "maskcut": ncut,
    "recursive": partial(ncut, variant="recursive"),
    "kway": kway,
    "communities": communities,
}
EVERY = pytest.mark.parametrize("method", METHODS.values(), ids=list(METHODS))

TRUTH = np.zeros((24, 32), dtype=np.int32)  # four rectangles, ids in row order
TRUTH[:10, 18:] = 1
TRUTH[10:, :8] = 2
TRUTH[10:, 8:] = 3
THINGS = np.zeros((30, 40), dtype=np.int32)  # two things on a background
THINGS[4:14, 5:15] = 1
THINGS[18:26, 22:36] = 2


def blobs(truth: np.ndarray = TRUTH, d: int = 24) -> np.ndarray:
    """Contents without any likeness, and noise."""
    rng = np.random.default_rng(0)
    centres = np.linalg.qr(rng.normal(size=(d, d)))[0]
    features = centres[truth] + 0.03 * rng.normal(size=(*truth.shape, d))
    return features.astype(np.float32)


@pytest.fixture(scope="module")
def scenes() -> list[np.ndarray]:
    """What the tiny DINO sees in rendered scenes: (28, 28, d) each."""
    dino = load_dino("shipped:tiny/dino", device="cpu", offline=True)
    options = {"shorter_side": 112, "stride": 4, "facet": "token"}
    return [
        extract_features(dino, render(2, i).pixels, **options).numpy()  # type: ignore[arg-type]
        for i in range(8)
    ]


def agreement(a: np.ndarray, b: np.ndarray) -> float:
    """The share of cells on the same side of two bipartitions, whichever side is which."""
    same = float((a == b).mean())
    return max(same, 1 - same)


def check_tree(tree: np.ndarray, n: int) -> None:
    assert tree.shape == (n - 1, 2)
    assert sorted(tree.ravel()) == list(range(2 * n - 2))
    assert (tree < n + np.arange(n - 1)[:, None]).all()


def cut(label_map: np.ndarray, tree: np.ndarray, n: int) -> np.ndarray:
    node = label_map.astype(np.int64)
    for i, (a, b) in enumerate(tree[: len(tree) + 1 - n]):
        node[(node == a) | (node == b)] = len(tree) + 1 + i
    return contiguous(node)[0]


# What holds for each of them.


@pytest.mark.parametrize("name", ["spectral", "recursive", "kway", "communities"])
@pytest.mark.parametrize("center", [False, True])
def test_recovers_separate_blobs_exactly(name, center):
    result = METHODS[name](blobs(), n_segments=4, center=center)
    assert result.label_map.dtype == np.int32
    assert np.array_equal(result.label_map, TRUTH)


@pytest.mark.parametrize("name", ["spectral", "maskcut", "recursive", "kway", "communities"])
@pytest.mark.parametrize("center", [False, True])
def test_recovers_things_on_a_background_exactly(name, center):
    result = METHODS[name](blobs(THINGS), n_segments=3, center=center)
    assert np.array_equal(result.label_map, THINGS)


@EVERY
def test_two_blobs(method):
    disc = (np.hypot(*(np.indices((20, 30)) - np.array([9, 16])[:, None, None])) < 6).astype(int)
    assert np.array_equal(method(blobs(disc), n_segments=2).label_map, disc)


@EVERY
def test_takes_tensors_and_arrays_alike_and_is_deterministic(method):
    features = np.random.default_rng(1).normal(size=(15, 11, 8)).astype(np.float32)
    a = method(features, n_segments=9, seed=3)
    b = method(torch.from_numpy(features).requires_grad_(), n_segments=9, seed=3)
    assert np.array_equal(a.label_map, b.label_map)
    assert (a.tree is None) == (b.tree is None)
    if a.tree is not None:
        assert np.array_equal(a.tree, b.tree)


@EVERY
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (1, 40), (40, 1), (2, 2), (7, 5), (13, 12)])
@pytest.mark.parametrize("content", ["random", "constant", "zero", "two"])
def test_any_grid_and_number(method, shape, content):
    features = np.random.default_rng(2).normal(size=(*shape, 6)).astype(np.float32)
    if content == "constant":
        features[:] = features[:1, :1]
    elif content == "zero":
        features[:] = 0
    elif content == "two":  # in random places, one of the two without any feature
        features[:] = features[0, 0] * (features[..., :1] > 0)
    different = len(np.unique(features.reshape(-1, 6), axis=0))
    for n_segments, center in product([1, 2, 3, 20, 1000], [False, True]):
        result = method(features, n_segments=n_segments, center=center)
        n = len(np.unique(result.label_map))
        assert result.label_map.shape == shape
        assert result.label_map.dtype == np.int32
        assert np.array_equal(contiguous(result.label_map)[0], result.label_map)
        assert n <= n_segments
        if content in ("constant", "zero"):
            assert n == 1
        elif method not in (METHODS["maskcut"], METHODS["bipartition"]):  # pieces of equal cells
            assert n <= different
        if result.tree is not None:
            check_tree(result.tree, n)


@EVERY
def test_a_plain_half_is_never_split(method):
    features = np.zeros((16, 16, 4), dtype=np.float32)
    features[:, 8:] = 1
    halves = np.repeat([[0] * 8 + [1] * 8], 16, axis=0)
    for n_segments in (2, 3, 8):
        result = method(features, n_segments=n_segments)
        assert np.array_equal(result.label_map, halves)


@EVERY
def test_only_the_direction_of_features_counts(method):
    features = np.random.default_rng(5).normal(size=(14, 14, 8)).astype(np.float32)
    lengths = 2.0 ** np.random.default_rng(6).integers(-3, 4, (14, 14, 1))
    a = method(features, n_segments=5)
    b = method((features * lengths).astype(np.float32), n_segments=5)
    assert np.array_equal(a.label_map, b.label_map)


@EVERY
def test_pictures_of_many_cells(method, monkeypatch):
    """Above the limit a coarser grid is cut; borders stay where the picture has them."""
    monkeypatch.setattr(affinities, "MAX_DENSE_CELLS", 200)
    result = method(blobs(THINGS), n_segments=3)
    if method is METHODS["bipartition"]:
        assert any(agreement(result.label_map > 0, i == THINGS) == 1 for i in range(3))
    else:
        assert np.array_equal(result.label_map, THINGS)
    if result.tree is not None:
        check_tree(result.tree, 3)


@EVERY
def test_features_that_are_not_finite(method):
    features = blobs()
    features[0, 0, 0] = np.nan
    with pytest.raises(ZeroguideError, match="not finite"):
        method(features, n_segments=2)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        (spectral, {"n_segments": 0}, "segmenter.n_segments=0 is too small"),
        (spectral, {"n_vectors": 0}, "segmenter.n_vectors=0 is too small"),
        (ncut, {"n_segments": -1}, "segmenter.n_segments=-1 is too small"),
        (ncut, {"variant": "tokencut"}, "choose one of bipartition, maskcut, recursive"),
        (ncut, {"tau": 3}, "segmenter.tau=3 is out of range"),
        (ncut, {"tau": float("nan")}, "segmenter.tau=nan is out of range"),
        (kway, {"power": 0}, "segmenter.power=0 is too small"),
        (communities, {"n_neighbours": 0}, "segmenter.n_neighbours=0 is too small"),
        (communities, {"resolution": 0}, "segmenter.resolution=0 is out of range"),
    ],
)
def test_wrong_options(method, options, message):
    with pytest.raises(UsageError) as error:
        method(blobs(), **{"n_segments": 2, **options})
    assert message in str(error.value)


@EVERY
def test_deterministic_where_many_cells_are_equal(method):
    """Graphs of few directions, on which solvers draw again and again."""
    features = blobs(THINGS)
    features[:] = features[[0, 5, 20], [0, 6, 25]][THINGS]
    for n_segments in (2, 3, 5):
        a, b = (method(features, n_segments=n_segments).label_map for _ in range(2))
        assert np.array_equal(a, b)


# Affinities.


def test_neighbour_graph_holds_the_most_alike(monkeypatch):
    rows = np.random.default_rng(7).normal(size=(60, 5)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    alike = rows @ rows.T
    np.fill_diagonal(alike, -2)
    wanted = {(min(i, j), max(i, j)) for i in range(60) for j in np.argsort(-alike[i])[:4].tolist()}
    for block_bytes in (affinities.BLOCK_BYTES, 4 * 60 * 7):
        monkeypatch.setattr(affinities, "BLOCK_BYTES", block_bytes)
        pairs, values = neighbour_graph(rows, 4)
        assert {(int(a), int(b)) for a, b in pairs} == wanted
        assert len(pairs) == len(wanted)
        assert np.allclose(values, alike[pairs[:, 0], pairs[:, 1]], atol=1e-6)


def test_coarse_grid_stays_below_the_limit(monkeypatch):
    for shape in [(30, 31), (1, 1000), (7, 200)]:
        monkeypatch.setattr(affinities, "MAX_DENSE_CELLS", 100)
        grid = Grid.build(np.random.default_rng(8).normal(size=(*shape, 3)))
        n = len(grid.coarse_rows)
        assert n == grid.coarse_shape[0] * grid.coarse_shape[1] <= 100
        assert grid.spread(np.arange(n)).shape == shape


def test_cells_without_a_feature_are_alike_to_each_other_only():
    features = np.zeros((1, 4, 2), dtype=np.float32)
    features[0, 2:] = [[1, 0], [0, 2]]
    expected = np.eye(4)
    expected[0, 1] = expected[1, 0] = 1
    assert np.allclose(cosines(Grid.build(features).rows), expected)
    assert first_equal(Grid.build(features).rows).tolist() == [0, 0, 2, 3]


# Eigenvectors.


def graphs(features: np.ndarray) -> list[np.ndarray]:
    """The affinities of Deep Spectral, MaskCut and DiffCut."""
    alike = cosines(Grid.build(features, center=True).rows)
    linked = np.where(alike > 0.15, np.float32(1), np.float32(1e-5))
    return [np.maximum(alike, 0), linked, sharpened(alike, 10)]


@pytest.mark.slow
@pytest.mark.parametrize("center", [False, True])
def test_fast_bipartitions_agree_with_dense_ones_on_real_features(scenes, center):
    compared = 0
    for features in scenes:
        alike = cosines(Grid.build(features, center=center).rows)
        for tau in (0.15, 0.2, 0.5):
            linked = np.where(alike > tau, np.float32(1), np.float32(1e-5))
            compared += check_agreement(linked)
        compared += check_agreement(np.maximum(alike, 0))
        compared += check_agreement(sharpened(alike, 10))
    assert compared >= 100  # vectors, of 8 x 5 x 5: the others are tied, or the graph has no cut


def check_agreement(graph: np.ndarray, n: int = 5) -> int:
    """Asserts that the bipartitions of n vectors agree; how many vectors could be compared."""
    root = np.sqrt(graph.sum(axis=1, dtype=np.float64))
    fast = lanczos(graph, root, n, seed=0)
    exact_values, exact = dense(graph, root, n + 1)
    assert fast is not None
    values, vectors = fast
    assert np.allclose(values, exact_values[:n], atol=2e-4)
    compared = 0
    for i in range(n):
        gaps = [exact_values[i] - exact_values[i + 1]]
        if i > 0:
            gaps.append(exact_values[i - 1] - exact_values[i])
        if min(gaps) < 1e-3:  # tied: only the space of both is defined
            continue
        a, b = vectors[:, i] / root, exact[:, i] / root
        assert agreement(a > a.mean(), b > b.mean()) >= 0.99
        compared += 1
    return compared


def test_cut_vectors_solve_the_generalised_problem(scenes):
    for graph in graphs(scenes[0]):
        values, vectors = cut_vectors(graph, 4)
        degree = graph.sum(axis=1)
        assert (np.diff(values) >= 0).all()
        assert np.allclose(vectors.T @ (degree[:, None] * vectors), np.eye(4), atol=1e-3)
        left = degree[:, None] * vectors - graph @ vectors
        size = np.linalg.norm(degree[:, None] * vectors, axis=0)
        residual = np.linalg.norm(left - values * degree[:, None] * vectors, axis=0)
        assert (residual <= 5e-3 * size).all()


def test_dense_solver_takes_over_where_lanczos_stalls(scenes, monkeypatch):
    from zeroguide.segment.segmenters import eigen

    graph = graphs(scenes[0])[2]
    _, fast = cut_vectors(graph, 1)
    monkeypatch.setattr(eigen, "lanczos", lambda *_: None)
    _, slow = cut_vectors(graph, 1)
    assert agreement(fast > fast.mean(), slow > slow.mean()) >= 0.99


# What is particular to each.


def test_maskcut_takes_the_background_last():
    """Things are cut out one by one; what no mask holds is the last segment."""
    features = blobs(THINGS)
    one = ncut(features, n_segments=2).label_map
    assert np.array_equal(one, THINGS == 1) or np.array_equal(one, THINGS == 2)
    assert len(np.unique(ncut(features, n_segments=9).label_map)) == 3  # no cut is left


def test_maskcut_masks_are_of_one_piece():
    from scipy.ndimage import label

    truth = np.zeros((20, 40), dtype=np.int32)
    truth[5:12, 4:12] = truth[8:18, 25:35] = 1  # the same content twice
    for variant in ("bipartition", "maskcut"):
        one = ncut(blobs(truth), n_segments=2, variant=variant).label_map
        assert label(one)[1] == 1
    two = ncut(blobs(truth), n_segments=3).label_map
    assert len(np.unique(two)) == 3
    assert np.array_equal(two > 0, truth > 0)


def test_maskcut_without_any_cut_is_one_segment():
    """All cosines above the threshold: nothing to cut, unless the common part is subtracted."""
    features = blobs(THINGS) + 10
    assert ncut(features, n_segments=3).label_map.max() == 0
    assert np.array_equal(ncut(features, n_segments=3, center=True).label_map, THINGS)


def test_recursive_stops_by_itself():
    result = ncut(blobs(), n_segments=50, variant="recursive")
    assert np.array_equal(result.label_map, TRUTH)
    all_cells = ncut(blobs()[:5, :5], n_segments=25, variant="recursive", tau=2)
    assert all_cells.label_map.max() > 0


@pytest.mark.parametrize(
    "method", [partial(ncut, variant="recursive", tau=1), communities], ids=["recursive", "louvain"]
)
def test_tree_holds_the_coarser_segmentations(method, scenes):
    fine = method(scenes[0], n_segments=12)
    assert fine.tree is not None
    n = fine.label_map.max() + 1
    check_tree(fine.tree, n)
    assert n > 4
    for fewer in range(1, n):
        coarse = method(scenes[0], n_segments=fewer)
        assert np.array_equal(cut(fine.label_map, fine.tree, fewer), coarse.label_map)


def test_kway_cuts_no_worse_than_the_recursive_cut(scenes):
    """It minimises that very cost, for the same affinities."""
    better = 0
    for features in scenes:
        graph = sharpened(cosines(Grid.build(features).rows), 10)
        recursive = ncut(features, n_segments=6, variant="recursive", tau=2).label_map
        own = kway(features, n_segments=6).label_map
        better += cut_cost(graph, own) <= cut_cost(graph, recursive)
    assert better >= 6


def test_kway_is_a_local_optimum(scenes):
    """No single cell can move to another part and lower the cut."""
    features = scenes[0][::2, ::2]
    graph = sharpened(cosines(Grid.build(features).rows), 10)
    labels = kway(features, n_segments=4).label_map
    least = cut_cost(graph, labels)
    for cell in range(0, labels.size, 5):
        for part in range(4):
            moved = labels.ravel().copy()
            moved[cell] = part
            assert cut_cost(graph, moved) >= least - 1e-3


def cut_cost(graph: np.ndarray, labels: np.ndarray) -> float:
    parts = np.eye(labels.max() + 1)[labels.ravel()]  # (n, k)
    inside = np.einsum("nk,nm,mk->k", parts, graph.astype(np.float64), parts, optimize=True)
    volume = graph.sum(axis=1, dtype=np.float64) @ parts
    return float((1 - inside / volume)[volume > 0].sum())


def test_communities_by_resolution():
    features = np.random.default_rng(9).normal(size=(20, 20, 6))
    n = [
        communities(features, n_segments=400, resolution=resolution).label_map.max() + 1
        for resolution in (0.2, 1.0, 4.0)
    ]
    assert n[0] < n[1] < n[2]
