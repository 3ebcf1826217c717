"""Over-segmenters on synthetic features whose right answer is known."""

import sys

import numpy as np
import pytest
import torch

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.segment.segmenters import SEGMENTERS, segment
from zeroguide.segment.segmenters.automatic import choose_n_segments
from zeroguide.segment.segmenters.common import contiguous, prepare
from zeroguide.segment.segmenters.regions import connected_parts

METHODS = ["kmeans", "agglomerative"]  # the others have tests of their own
TRUTH = np.zeros((12, 16), dtype=np.int32)  # four rectangles, ids in row order
TRUTH[:5, 9:] = 1
TRUTH[5:, :4] = 2
TRUTH[5:, 4:] = 3


def blobs(truth: np.ndarray = TRUTH, noise: float = 0.1, d: int = 24) -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(truth.max() + 1, d))
    features = centres[truth] + noise * rng.normal(size=(*truth.shape, d))
    return features.astype(np.float32)


def cut(label_map: np.ndarray, tree: np.ndarray, n: int) -> np.ndarray:
    """The coarser label map that a merge tree holds: its first merges done."""
    n_leaves = len(tree) + 1
    node = label_map.astype(np.int64)
    for i, (a, b) in enumerate(tree[: n_leaves - n]):
        node[(node == a) | (node == b)] = n_leaves + i
    return contiguous(node)[0]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pca": 3},
        {"pca": 0.9},
        {"normalize": True},
        {"spatial_weight": 0.3},
        {"pca": 3, "normalize": True, "spatial_weight": 0.1},
    ],
)
def test_recovers_separate_blobs_exactly(method, options):
    result = segment(blobs(), method=method, n_segments=4, **options)
    assert result.label_map.dtype == np.int32
    assert np.array_equal(result.label_map, TRUTH)


@pytest.mark.parametrize("method", METHODS)
def test_takes_tensors_and_arrays_alike(method):
    a = segment(blobs(), method=method, n_segments=7)
    b = segment(torch.from_numpy(blobs()).requires_grad_(), method=method, n_segments=7)
    assert np.array_equal(a.label_map, b.label_map)


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_same_result(method):
    features = np.random.default_rng(1).normal(size=(15, 11, 8)).astype(np.float32)
    a, b = (segment(features, method=method, n_segments=9, seed=3) for _ in range(2))
    assert np.array_equal(a.label_map, b.label_map)
    if a.tree is not None:
        assert np.array_equal(a.tree, b.tree)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (1, 40), (40, 1), (2, 2), (7, 5)])
@pytest.mark.parametrize("n_segments", [1, 2, 3, 20, 1000])
@pytest.mark.parametrize("constant", [False, True])
def test_any_grid_and_number(method, shape, n_segments, constant):
    features = np.random.default_rng(2).normal(size=(*shape, 6)).astype(np.float32)
    if constant:
        features[:] = features[:1, :1]
    result = segment(
        features, method=method, n_segments=n_segments, pca=4, normalize=True, spatial_weight=0.1
    )
    expected = 1 if constant else min(n_segments, shape[0] * shape[1])
    assert result.label_map.shape == shape
    assert sorted(np.unique(result.label_map)) == list(range(expected))
    if result.tree is not None:
        check_tree(result.tree, expected)


def check_tree(tree: np.ndarray, n: int) -> None:
    assert tree.shape == (n - 1, 2)
    assert sorted(tree.ravel()) == list(range(2 * n - 2))  # everything but the root is merged once
    assert (tree < n + np.arange(n - 1)[:, None]).all()  # and only after it exists


@pytest.mark.parametrize("connected", [True, False])
def test_tree_holds_the_coarser_clusterings(connected):
    features = np.random.default_rng(3).normal(size=(14, 17, 5)).astype(np.float32)
    fine = segment(features, method="agglomerative", n_segments=20, connected=connected)
    assert fine.tree is not None
    check_tree(fine.tree, 20)
    for n in (13, 5, 2, 1):
        coarse = segment(features, method="agglomerative", n_segments=n, connected=connected)
        assert np.array_equal(cut(fine.label_map, fine.tree, n), coarse.label_map)


def test_tree_joins_the_most_alike_first():
    features = blobs()
    features[TRUTH == 3] = features[TRUTH == 2].mean(0) + 0.3
    result = segment(features, method="agglomerative", n_segments=4)
    assert result.tree is not None
    assert set(result.tree[0]) == {2, 3}


def test_connected_segments_are_of_one_piece():
    from scipy.ndimage import label

    apart = np.zeros((8, 30), dtype=np.int32)
    apart[:, 10:20] = 1  # the same content left and right of it
    features = blobs(apart)
    pairs = segment(features, method="agglomerative", n_segments=2, connected=False)
    assert np.array_equal(pairs.label_map, apart)
    result = segment(features, method="agglomerative", n_segments=3)
    assert len(np.unique(result.label_map)) == 3
    for i in range(3):
        assert label(result.label_map == i)[1] == 1


def test_equal_cells_are_never_split():
    """Two flat halves stay two segments, however many are asked for."""
    features = np.zeros((10, 10, 4), dtype=np.float32)
    features[:, 5:] = 1
    for method in METHODS:
        result = segment(features, method=method, n_segments=8)
        assert len(np.unique(result.label_map)) == 2


def test_spatial_weight_is_relative_to_the_features():
    features = blobs()
    for scale in (1e-3, 1, 1e3):
        rows = prepare(scale * features, pca=None, normalize=False, spatial_weight=1)
        ours, place = rows[:, :-2].var(0).sum(), rows[:, -2:].var(0).sum()
        assert place == pytest.approx(ours, rel=1e-3)


def test_pca_keeps_the_asked_share_of_variance():
    features = np.random.default_rng(4).normal(size=(20, 20, 10)) * np.linspace(3, 0.1, 10)
    whole = prepare(features, pca=None, normalize=False, spatial_weight=0).var(0).sum()
    kept = prepare(features, pca=0.9, normalize=False, spatial_weight=0)
    assert kept.var(0).sum() >= 0.9 * whole > kept[:, :-1].var(0).sum()
    full = prepare(features, pca=10, normalize=False, spatial_weight=0)
    assert full.shape == (400, 10)
    assert full.var(0).sum() == pytest.approx(whole, rel=1e-4)
    assert (np.diff(full.var(0)) <= 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "agglomerativ"}, "did you mean 'agglomerative'"),
        ({"method": "ncutt"}, "did you mean 'ncut'?"),
        (
            {"method": "kmeans", "connected": True},
            "segmenter 'kmeans' has no parameter 'connected'",
        ),
        ({"n_segments": 0}, "segmenter.n_segments=0 is too small"),
        ({"pca": 0}, "segmenter.pca=0 is out of range"),
        ({"pca": 2.5}, "segmenter.pca=2.5 is out of range"),
        ({"spatial_weight": -1}, "segmenter.spatial_weight=-1 is negative"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(UsageError) as error:
        segment(blobs(), **{"method": "agglomerative", "n_segments": 2, **options})
    assert message in str(error.value)


def test_all_pairs_of_too_many_cells():
    with pytest.raises(ZeroguideError, match=r"set segmenter\.connected=true"):
        segment(np.zeros((200, 101, 1)), method="agglomerative", n_segments=2, connected=False)


def test_a_share_of_one_is_all_of_the_variance():
    rows = np.random.default_rng(0).normal(size=(10, 10, 6))
    assert prepare(rows, pca=1.0).shape == (100, 6)
    assert prepare(rows, pca=1).shape == (100, 1)


def test_features_that_are_not_finite():
    features = blobs()
    features[0, 0, 0] = np.nan
    with pytest.raises(ZeroguideError, match="not finite"):
        segment(features, method="kmeans", n_segments=2)


EVERY = list(SEGMENTERS)


@pytest.mark.parametrize("method", EVERY)
def test_auto_is_the_default_number(method):
    chosen = choose_n_segments(blobs())
    assert chosen == 4
    result, given = segment(blobs(), method=method), segment(blobs(), method=method, n_segments=4)
    assert np.array_equal(result.label_map, given.label_map)


@pytest.mark.parametrize("method", EVERY)
def test_small_regions_go(method):
    features = blobs(noise=0.5)
    features[2, 2] = 30  # a speck unlike everything
    result = segment(features, method=method, n_segments=6, min_share=0.05)
    assert np.bincount(connected_parts(result.label_map).ravel()).min() >= 0.05 * TRUTH.size


@pytest.mark.slow
@pytest.mark.parametrize("method", ["kmeans", "agglomerative"])
def test_umap_keeps_blobs_apart(method):
    pytest.importorskip("umap", reason="the extra umap is not installed")
    first, again = (segment(blobs(), method=method, n_segments=4, umap=2) for _ in range(2))
    assert np.array_equal(first.label_map, TRUTH)
    assert np.array_equal(first.label_map, again.label_map)
    few = segment(blobs()[:2, :3], method=method, n_segments=3, umap=2)  # too few for UMAP
    assert few.label_map.max() <= 2


def test_umap_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(UsageError, match=r"install zeroguide\[umap\]"):
        segment(blobs(), method="kmeans", n_segments=2, umap=2)


def test_attention_goes_to_the_methods_that_use_it():
    attention = np.zeros((12, 16))
    attention[6:8, 10] = 1
    result = segment(blobs(), method="saliency", n_segments=2, attention=attention)
    assert result.label_map[7, 10] != result.label_map[0, 0]
    segment(blobs(), method="kmeans", n_segments=2, attention=attention)  # and to no others


@pytest.mark.parametrize("method", EVERY)
@pytest.mark.parametrize("criterion", ["auto", "eigengap", "silhouette"])
@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 2), (1, 50), (50, 1), (7, 5)], ids=lambda s: "x".join(map(str, s))
)
def test_flat_pictures_of_any_shape(method, criterion, shape):
    for colours in (1, 2):
        halves = np.arange(shape[0] * shape[1]).reshape(shape) * colours // (shape[0] * shape[1])
        features = np.eye(6, dtype=np.float32)[halves] + 1
        result = segment(features, method=method, n_segments=criterion)
        n = result.label_map.max() + 1
        assert result.label_map.shape == shape and n <= colours
        # no segment has cells of both colours unless there is only one
        assert n == 1 or np.array_equal(result.label_map, contiguous(halves)[0])
        if criterion == "auto" and colours == 2 and halves.size > 2 and method != "ncut":
            assert n == 2
        tree_methods = ("agglomerative", "communities")
        assert (result.tree is not None) == (method in tree_methods)


@pytest.mark.parametrize("n_segments", [1, "auto", 5])
def test_methods_with_a_tree_always_give_it(n_segments):
    for features in (np.ones((5, 6, 3), np.float32), blobs()):
        for method, params in (
            ("agglomerative", {}),
            ("communities", {}),
            ("ncut", {"variant": "recursive"}),
        ):
            result = segment(features, method=method, n_segments=n_segments, **params)
            assert result.tree.shape == (result.label_map.max(), 2)


@pytest.mark.parametrize("method", EVERY)
def test_a_huge_panorama(method):
    truth = np.arange(4000)[None].repeat(3, axis=0) // 1000
    rng = np.random.default_rng(0)
    features = np.eye(8, dtype=np.float32)[truth] + 0.05 * rng.normal(size=(3, 4000, 8))
    result = segment(features.astype(np.float32), method=method, n_segments=4)
    assert result.label_map.shape == (3, 4000) and 1 < result.label_map.max() + 1 <= 4
