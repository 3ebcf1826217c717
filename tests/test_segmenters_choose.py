"""Numbers of segments from features whose right answer is known, and tidied label maps."""

import numpy as np
import pytest
from scipy.ndimage import label
from sklearn.cluster import ward_tree
from sklearn.metrics import silhouette_score
from test_segmenters import TRUTH, blobs

from zeroguide.errors import UsageError
from zeroguide.segment.segmenters import segment
from zeroguide.segment.segmenters.automatic import choose_n_segments
from zeroguide.segment.segmenters.choose import eigengap, mean_silhouette, merge_cost, silhouette
from zeroguide.segment.segmenters.common import SegmenterResult
from zeroguide.segment.segmenters.regions import connected_parts, remove_small


def laplacian_eigenvalues(rows: np.ndarray) -> np.ndarray:
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    w = np.maximum(unit @ unit.T, 0)
    scale = 1 / np.sqrt(w.sum(1))
    return np.linalg.eigvalsh(np.eye(len(w)) - scale[:, None] * w * scale)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_eigengap_counts_separate_blobs(n):
    rows = np.eye(8)[np.minimum(TRUTH, n - 1)].reshape(-1, 8)
    rows += 0.1 * np.random.default_rng(0).random(rows.shape)
    values = laplacian_eigenvalues(rows)
    assert eigengap(values[:12]) == n


def test_eigengap_of_nothing_to_split():
    assert eigengap(laplacian_eigenvalues(np.ones((9, 4)))) == 1  # 0, 1, 1, ...
    assert eigengap(np.array([0.0])) == 1
    assert eigengap(np.array([0.0, 0.7])) == 1
    assert eigengap(np.zeros(5)) == 1


def test_eigengap_leaves_out_the_first_gap():
    assert eigengap(np.array([0.0, 0.8, 0.82, 0.95, 0.96])) == 3


@pytest.mark.parametrize("offset", [0, 1e3])
def test_silhouette_agrees_with_all_pairs(offset):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 5)) + offset
    labels = rng.permutation(np.r_[np.arange(6), rng.integers(0, 5, 54)])  # 5 occurs once
    expected = silhouette_score(rows, labels, metric="sqeuclidean")
    assert mean_silhouette(rows, labels) == pytest.approx(expected, abs=1e-9)


def test_silhouette_finds_the_number_of_blobs():
    features = blobs()
    maps = [segment(features, method="kmeans", n_segments=k).label_map for k in range(1, 9)]
    assert silhouette(features.reshape(-1, 24), maps) == 3


def test_silhouette_of_a_constant_image_is_the_fewest():
    rows = np.ones((6, 3), dtype=np.float32)
    maps = [np.arange(6).reshape(2, 3), np.zeros((2, 3), dtype=np.int32)]
    assert silhouette(rows, maps) == 1
    assert mean_silhouette(rows, maps[0]) == mean_silhouette(rows, maps[1]) == 0


@pytest.mark.parametrize("scale", [1e-3, 1, 1e3])
@pytest.mark.parametrize("repeat", [1, 3])
def test_merge_cost_counts_separate_blobs_on_any_grid(scale, repeat):
    features = scale * blobs(np.kron(TRUTH, np.ones((repeat, repeat), dtype=np.int32)))
    heights = ward_tree(features.reshape(-1, 24), return_distance=True)[-1]
    assert merge_cost(heights) == 4


def test_merge_cost_is_a_share_of_the_variance():
    rows = np.array([[0.0], [1], [10], [11]])
    heights = ward_tree(rows, return_distance=True)[-1]
    total = np.square(rows - rows.mean(0)).sum()
    assert np.square(heights).sum() / 2 == pytest.approx(total)
    assert merge_cost(heights, share=0.4 / total) == 4
    assert merge_cost(heights, share=0.6 / total) == 2
    assert merge_cost(heights, share=1) == 1


def test_merge_cost_of_nothing_to_split():
    assert merge_cost(np.empty(0)) == 1
    assert merge_cost(np.zeros(9)) == 1
    assert merge_cost(np.array([0, 0, 2.0])) == 2  # two tones


@pytest.mark.parametrize("criterion", ["auto", "eigengap", "silhouette"])
def test_granularity_divides_and_multiplies_by_four(criterion):
    features = blobs(np.kron(TRUTH, np.ones((3, 3), dtype=np.int32)))
    number = choose_n_segments(features, criterion)
    steps = [choose_n_segments(features, criterion, g) for g in (0, 0.25, 0.5, 0.75, 1)]
    assert steps == [max(1, round(number * factor)) for factor in (0.25, 0.5, 1, 2, 4)]
    assert choose_n_segments(np.ones((6, 6, 3), np.float32), criterion, 1) == 1


def test_granularity_starts_from_the_methods_own_number():
    """Ward's own tree, with its knobs, says the number that is made finer."""
    rng = np.random.default_rng(2)
    features = rng.standard_normal((9, 12, 5)).astype(np.float32)
    counts = [
        1
        + segment(
            features, method="agglomerative", spatial_weight=2.0, granularity=g
        ).label_map.max()
        for g in (0.5, 0.500001, 0.75)
    ]
    assert counts[0] == counts[1] and counts[2] == 2 * counts[0]


@pytest.mark.parametrize("method", ["agglomerative", "ncut"])
def test_granularity_reaches_the_method(method):
    rng = np.random.default_rng(0)
    features = blobs(np.kron(TRUTH, np.ones((4, 4), dtype=np.int32)))
    features = features + 0.1 * rng.standard_normal(features.shape).astype(np.float32)
    more = {"variant": "recursive", "tau": 2.0} if method == "ncut" else {}
    counts = [
        1 + segment(features, method=method, granularity=g, **more).label_map.max()
        for g in (0, 0.5, 1)
    ]
    assert counts == [1, 4, 16]
    for bad in (-0.1, 1.1, float("nan")):
        with pytest.raises(UsageError, match="granularity"):
            segment(features, method=method, granularity=bad)


def test_parts_are_found_by_edges_not_corners():
    label_map = np.array([[5, 5, 2], [2, 2, 5], [5, 2, 5]])
    expected = [[0, 0, 1], [2, 2, 3], [4, 2, 3]]
    assert np.array_equal(connected_parts(label_map), expected)
    assert connected_parts(label_map).dtype == np.int32


def tidied(label_map: np.ndarray, min_share: float) -> np.ndarray:
    return remove_small(SegmenterResult(label_map), min_share).label_map


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (17, 23)])
def test_parts_agree_with_ndimage(shape):
    label_map = np.random.default_rng(1).integers(0, 3, shape)
    ours = connected_parts(label_map)
    assert ours.max() + 1 == sum(label(label_map == i)[1] for i in range(3))
    for part in range(ours.max() + 1):
        assert len(np.unique(label_map[ours == part])) == 1


def test_a_speck_joins_the_longest_border():
    label_map = np.zeros((6, 6), dtype=np.int32)
    label_map[3:] = 1
    label_map[2, 1:3] = 7  # 4 edges to 0, 2 to 1
    expected = np.zeros((6, 6), dtype=np.int32)
    expected[3:] = 1
    assert np.array_equal(tidied(label_map, 0.1), expected)
    assert tidied(label_map, 0.05).max() == 2  # 2 of 36 cells are enough


def test_large_parts_of_one_label_stay_one_segment():
    label_map = np.zeros((6, 20), dtype=np.int32)
    label_map[:, 8:12] = 1
    label_map[0, 0] = label_map[5, 19] = 1
    result = tidied(label_map, 0.1)
    assert result.max() == 1
    assert (result[:, :8] == 0).all() and (result[:, 12:] == 0).all()


def test_specks_add_up_before_they_go():
    """Two small regions that lie together are large enough once they are one."""
    label_map = np.zeros((10, 10), dtype=np.int32)
    label_map[0, :4] = 1
    label_map[1, :4] = 2
    result = tidied(label_map, 0.08)
    assert result.max() == 0 or np.bincount(result.ravel()).min() >= 8


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (15, 15), (40, 31)])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.6, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_nothing_small_is_left(shape, share, seed):
    label_map = np.random.default_rng(seed).integers(0, 4, shape)
    result = tidied(label_map, share)
    assert result.dtype == np.int32 and result.shape == shape
    sizes = np.bincount(connected_parts(result).ravel())
    assert len(sizes) == 1 or sizes.min() >= share * label_map.size
    assert sorted(np.unique(result)) == list(range(result.max() + 1))
    assert np.array_equal(tidied(result, share), result)
    if share == 0:
        assert np.array_equal(connected_parts(result), connected_parts(label_map))


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_out_of_range(share):
    with pytest.raises(UsageError, match="choose a share from 0 to 1"):
        tidied(np.zeros((2, 2), dtype=np.int32), share)


def test_specks_leave_the_tree_and_the_classes():
    label_map = np.zeros((6, 8), dtype=np.int32)
    label_map[:, 4:] = 1
    label_map[0, 0] = 2
    label_map[3:, 6:] = 3
    tree = np.array([[0, 2], [1, 3], [4, 5]])
    result = remove_small(SegmenterResult(label_map, tree, np.array([7, 3, 5, 9])), 0.05)
    assert result.label_map.max() == 2
    assert result.classes.tolist() == [7, 3, 9]  # by first appearance
    assert result.tree.tolist() == [[1, 2], [0, 3]]


def test_pruning_to_one_segment():
    label_map = np.zeros((4, 4), dtype=np.int32)
    label_map[0, 0] = 1
    result = remove_small(SegmenterResult(label_map, np.array([[0, 1]])), 0.2)
    assert result.label_map.max() == 0 and result.tree.shape == (0, 2)


# Criteria on features ----------------------------------------------------------------------------


def planted(n: int, noise: float = 0.05) -> np.ndarray:
    """n stripes of orthogonal directions, 24 x 24 cells."""
    stripes = np.arange(24) * n // 24
    features = np.eye(16)[stripes][:, None].repeat(24, axis=1)
    return (features + noise * np.random.default_rng(0).normal(size=features.shape)).astype("f4")


@pytest.mark.parametrize("criterion", ["auto", "eigengap", "silhouette"])
@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_criteria_find_planted_numbers(criterion, n):
    assert choose_n_segments(planted(n), criterion) == n


@pytest.mark.parametrize("criterion", ["auto", "eigengap", "silhouette"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (5, 5)])
def test_a_constant_image_is_one_segment(criterion, shape):
    assert choose_n_segments(np.ones((*shape, 6), np.float32), criterion) == 1


def test_unknown_criterion():
    with pytest.raises(UsageError, match="choose a number or one of auto, eigengap, silhouette"):
        choose_n_segments(planted(2), "elbow")
