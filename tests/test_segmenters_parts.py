"""The methods that take one part after another: prima, multilevel and saliency."""

import numpy as np
import pytest
import torch
from scipy.ndimage import label
from test_segmenters import TRUTH, blobs

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.segment.segmenters.multilevel import multilevel
from zeroguide.segment.segmenters.prima import prima
from zeroguide.segment.segmenters.saliency import saliency

METHODS = [prima, multilevel, saliency]

SCENE = np.zeros((20, 24), dtype=np.int32)  # a large ground with two things on it
SCENE[3:9, 3:8] = 1
SCENE[11:18, 12:20] = 2


def orthogonal(truth: np.ndarray, noise: float = 0.02, mean: float = 0.0) -> np.ndarray:
    """Features of equal length, one direction per id, plus what all cells have in common."""
    rng = np.random.default_rng(0)
    centres = np.linalg.qr(rng.normal(size=(16, 16)))[0][: truth.max() + 1]
    features = centres[truth] + noise * rng.normal(size=(*truth.shape, 16)) + mean
    return features.astype(np.float32)


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    pairs = np.unique(np.stack([a.ravel(), b.ravel()]), axis=1)
    return pairs.shape[1] == len(np.unique(a)) == len(np.unique(b))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mean", [0.0, 3.0])
@pytest.mark.parametrize("truth", [SCENE, (SCENE == 2).astype(np.int32)])
def test_finds_things_on_a_ground(method, mean, truth):
    result = method(orthogonal(truth, mean=mean), n_segments=int(truth.max()) + 1)
    assert result.tree is None
    assert result.label_map.dtype == np.int32
    assert np.array_equal(result.label_map, truth)


@pytest.mark.parametrize("method", [prima, multilevel])
def test_recovers_separate_blobs_exactly(method):
    assert np.array_equal(method(blobs(), n_segments=4).label_map, TRUTH)


def test_prima_finds_its_own_number():
    assert np.array_equal(prima(orthogonal(TRUTH), n_segments=30).label_map, TRUTH)


def test_prima_gives_what_is_left_to_the_most_similar_mask():
    features = orthogonal(TRUTH)
    features[0, 0] = 0.2 * features[0, 0] + 0.8 * features[10, 10]
    features[10, 15] = 0.15 * features[10, 15] + 0.85 * features[0, 5]
    result = prima(features, n_segments=30).label_map
    assert result[0, 0] == result[10, 10]
    assert result[10, 15] == result[0, 5]
    assert result.max() == 3


def test_prima_threshold_decides_what_is_alike():
    """Directions 60 degrees apart: cosines near 0.5 join at 0.3, not at 0.9."""
    features = np.zeros((9, 9, 4), dtype=np.float32)
    features[..., 0] = -1  # the ground takes most of the mean
    features[2, 2:7] = [3, 0, 0, 0]
    features[6, 2:7] = [1.5, 2.6, 0, 0]
    few, many = (prima(features, n_segments=9, threshold=t).label_map for t in (0.3, 0.9))
    assert few[2, 4] == few[6, 4]
    assert many[2, 4] != many[6, 4]


def test_prima_does_not_depend_on_the_signs_of_features():
    features = orthogonal(TRUTH, noise=0.3)
    signs = np.where(np.arange(16) % 3, 1, -1).astype(np.float32)
    a, b = (prima(f, n_segments=9).label_map for f in (features, features * signs))
    assert same_partition(a, b)
    assert same_partition(a, prima(-features, n_segments=9).label_map)


def test_multilevel_clusters_lie_within_the_first_halves():
    features = np.random.default_rng(0).normal(size=(15, 16, 6)).astype(np.float32)
    halves = multilevel(features, n_segments=2).label_map
    for k in (3, 8, 40):
        fine = multilevel(features, n_segments=k).label_map
        assert fine.max() + 1 == k
        for i in range(k):
            assert len(np.unique(halves[fine == i])) == 1


def test_multilevel_divides_what_is_least_alike():
    """A plain half and a half of three contents: the segments go to where they are needed."""
    features = orthogonal(TRUTH, noise=0.01)
    features[TRUTH == 0] = 3 * features[TRUTH == 0]
    assert np.array_equal(multilevel(features, n_segments=4, normalize=False).label_map, TRUTH)


def test_saliency_follows_attention():
    features = orthogonal(SCENE)
    for i in (1, 2):
        attention = np.choose(SCENE, [0, *(1.0 if i == j else 0.1 for j in (1, 2))])
        result = saliency(features, n_segments=2, attention=attention)
        assert np.array_equal(result.label_map, np.equal(SCENE, i))


def test_saliency_agrees_with_the_affinities_of_all_pairs():
    """The source's definition, written out: the first object of attention on random features."""
    rng = np.random.default_rng(5)
    features = orthogonal(SCENE, noise=0.3)
    attention = rng.random(SCENE.shape)
    rows = features.reshape(-1, 16) - features.reshape(-1, 16).mean(0)
    affinity = rows @ rows.T
    order = np.argsort(-attention.ravel())
    seeds = [i for i in order[: int(0.4 * len(rows))] if affinity[order[0], i] > 0]
    parts = label((affinity[seeds].sum(0) > 0).reshape(SCENE.shape))[0]
    expected = parts == parts.ravel()[order[0]]
    result = saliency(features, n_segments=2, attention=attention).label_map
    assert 1 < expected.sum() < expected.size
    assert same_partition(result, expected)


def test_saliency_takes_one_of_two_equal_things():
    truth = np.zeros((12, 30), dtype=np.int32)
    truth[4:8, 3:7] = truth[4:8, 20:26] = 1
    features = orthogonal(truth, noise=0)
    two = saliency(features, n_segments=2).label_map
    assert label(two == 1)[1] == 1
    three = saliency(features, n_segments=3).label_map
    assert same_partition(three, label(truth)[0])
    assert np.array_equal(
        saliency(features, n_segments=9).label_map, three
    )  # nothing more is there


@pytest.mark.parametrize("scale", [1e-4, 1e4])
@pytest.mark.parametrize("method", METHODS)
def test_scale_of_features_does_not_matter(method, scale):
    features = orthogonal(SCENE, noise=0.3)
    a, b = (method(f, n_segments=6).label_map for f in (features, scale * features))
    assert (a == b).mean() > 0.99


@pytest.mark.parametrize("method", METHODS)
def test_takes_tensors_and_arrays_alike(method):
    a = method(blobs(), n_segments=7)
    b = method(torch.from_numpy(blobs()).requires_grad_(), n_segments=7)
    assert np.array_equal(a.label_map, b.label_map)


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_same_result(method):
    features = np.random.default_rng(1).normal(size=(15, 11, 8)).astype(np.float32)
    a, b = (method(features, n_segments=9, seed=3) for _ in range(2))
    assert np.array_equal(a.label_map, b.label_map)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (1, 40), (40, 1), (2, 2), (7, 5)])
@pytest.mark.parametrize("n_segments", [1, 2, 3, 20, 1000])
@pytest.mark.parametrize("constant", [False, True])
def test_any_grid_and_number(method, shape, n_segments, constant):
    features = np.random.default_rng(2).normal(size=(*shape, 6)).astype(np.float32)
    if constant:
        features[:] = features[:1, :1]
    label_map = method(features, n_segments=n_segments).label_map
    n_cells = shape[0] * shape[1]
    assert label_map.shape == shape
    assert sorted(np.unique(label_map)) == list(range(label_map.max() + 1))
    assert label_map.max() + 1 <= min(n_segments, n_cells)
    assert (label_map.max() == 0) == (constant or min(n_segments, n_cells) == 1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n_segments", [2, 8])
@pytest.mark.parametrize("tones", [(0.0, 1.0), (-1.0, 1.0), (5.0, 5.5)])
def test_two_tones_are_two_segments(method, n_segments, tones):
    features = np.full((10, 10, 4), tones[0], dtype=np.float32)
    features[:, 5:, :2] = tones[1]
    result = method(features, n_segments=n_segments).label_map
    assert np.array_equal(result, np.arange(10)[None].repeat(10, 0) // 5)


@pytest.mark.parametrize("method", METHODS)
def test_many_cells(method):
    features = np.random.default_rng(3).normal(size=(100, 200, 8)).astype(np.float32)
    features[30:60, 50:90] += 4
    label_map = method(features, n_segments=2).label_map
    assert label_map[30:60, 50:90].mean() > 0.95
    assert label_map.mean() < 0.6


@pytest.mark.parametrize("method", METHODS)
def test_wrong_number_and_values(method):
    with pytest.raises(UsageError, match=r"segmenter\.n_segments=0 is too small"):
        method(blobs(), n_segments=0)
    features = blobs()
    features[0, 0, 0] = np.nan
    with pytest.raises(ZeroguideError, match="not finite"):
        method(features, n_segments=2)


@pytest.mark.parametrize("threshold", [0, -1, 1.5])
def test_wrong_threshold(threshold):
    with pytest.raises(UsageError, match=r"segmenter\.threshold=.* is out of range"):
        prima(blobs(), n_segments=2, threshold=threshold)


def test_wrong_attention():
    with pytest.raises(UsageError, match=r"attention of shape \(3, 4\) doesn't fit .* 12 x 16"):
        saliency(blobs(), n_segments=2, attention=np.zeros((3, 4)))
    with pytest.raises(UsageError, match="attention has values that are not finite"):
        saliency(blobs(), n_segments=2, attention=np.full((12, 16), np.nan))
