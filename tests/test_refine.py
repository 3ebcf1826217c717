"""Border refinement: PAMR against its formula written as loops, and on pictures made for it."""

import numpy as np
import pytest
import torch

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.segment.pamr import affinity, pamr
from zeroguide.segment.refine import refine, soft_masks


def pamr_by_loops(
    colours: np.ndarray, masks: np.ndarray, iterations: int, dilations: tuple[int, ...]
) -> np.ndarray:
    """The formula of zeroguide.segment.pamr's docstring, pixel by pixel, in float64."""
    _, height, width = colours.shape

    def at(image: np.ndarray, y: int, x: int) -> np.ndarray:
        return image[:, min(max(y, 0), height - 1), min(max(x, 0), width - 1)]

    steps = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    for _ in range(iterations):
        refined = np.zeros_like(masks)
        for y in range(height):
            for x in range(width):
                samples, scores, values = [], [], []
                for d in dilations:
                    samples += [at(colours, y + d * dy, x + d * dx) for dy, dx in steps]
                sigma = np.std(samples, axis=0, ddof=1)
                for d in dilations:
                    for dy, dx in steps:
                        if (dy, dx) == (0, 0):
                            continue
                        difference = np.abs(at(colours, y + d * dy, x + d * dx) - at(colours, y, x))
                        scores.append(-np.mean(difference / (1e-8 + 0.1 * sigma)))
                        values.append(at(masks, y + d * dy, x + d * dx))
                weights = np.exp(np.array(scores) - max(scores))
                refined[:, y, x] = (weights / weights.sum()) @ np.array(values)
        masks = refined
    return masks


def refined(
    colours: torch.Tensor, masks: torch.Tensor, iterations: int, dilations: tuple[int, ...]
) -> torch.Tensor:
    """Each of the masks by PAMR, in a tensor of zeros."""
    weights = affinity(colours, dilations)
    result = torch.zeros_like(masks)
    for mask, whole in zip(masks, result, strict=True):
        soft = pamr(mask, weights, iterations, dilations)
        whole[soft.rows, soft.columns] = soft.values
    return result


@pytest.mark.parametrize("dilations", [(1, 2, 4, 8), (1,), (3, 1)])
def test_equals_the_formula(dilations):
    rng = np.random.default_rng(0)
    colours = rng.random((3, 9, 12))
    colours[:, 2:7, 3:9] = 0.4  # a flat part: sigma is zero inside at small dilations
    masks = rng.random((2, 9, 12))
    expected = pamr_by_loops(colours, masks, 3, dilations)
    result = refined(
        torch.from_numpy(colours).float(),
        torch.from_numpy(masks).float(),
        iterations=3,
        dilations=dilations,
    )
    assert np.abs(result.numpy() - expected).max() < 1e-5


def test_box_of_a_mask_changes_nothing():
    """Small masks anywhere, at the border too: refined in their box as on the whole picture."""
    generator = torch.Generator().manual_seed(0)
    colours = torch.rand(3, 70, 90, generator=generator)
    for dtype in (torch.float32, torch.float64):
        masks = torch.zeros(4, 70, 90, dtype=dtype)
        masks[0, 30:33, 40:44] = 1
        masks[1, :2, 88:] = 1
        masks[2] = torch.rand(70, 90, generator=generator)  # its box is the picture
        image = colours.to(dtype)
        options = {"iterations": 5, "dilations": (1, 4)}
        together = refined(image, masks, **options)
        # A mask that is nowhere exactly zero has the whole picture as its box.
        apart = refined(image, masks + masks[2], **options) - together[2]
        assert (together - apart).abs().max() < 1e-5
        assert not together[3].any()


def two_colours(height: int = 90, width: int = 120, edge: int = 60) -> np.ndarray:
    rng = np.random.default_rng(0)
    pixels = np.full((height, width, 3), (60, 110, 160), np.uint8)
    pixels[:, edge:] = (190, 120, 60)
    return pixels + rng.integers(0, 9, pixels.shape, dtype=np.uint8)


@pytest.mark.parametrize("off", [-8, -5, 5, 8])
def test_recovers_an_edge_that_is_off_by_several_pixels(off):
    pixels = two_colours(edge=60 + off)
    grid = np.repeat([[0, 0, 0, 1, 1, 1]], 5, axis=0)  # cells of 20 px: the edge is at 60
    truth = (np.arange(120) >= 60 + off).astype(np.int32)[None].repeat(90, axis=0)
    assert (refine(grid, pixels, method="none") != truth).mean() == abs(off) / 120
    assert (refine(grid, pixels, method="pamr") != truth).mean() < 0.001


def test_recovers_a_disc_from_its_cells():
    y, x = np.mgrid[:160, :200]
    truth = ((y - 80) ** 2 + (x - 100) ** 2 < 55**2).astype(np.int32)
    pixels = np.where(truth[..., None] == 1, (200, 60, 60), (70, 90, 60)).astype(np.uint8)
    pixels += np.random.default_rng(1).integers(0, 20, pixels.shape, dtype=np.uint8)
    grid = truth[10::20, 10::20]
    before = (refine(grid, pixels, method="none") != truth).mean()
    after = (refine(grid, pixels, method="pamr") != truth).mean()
    assert after < 0.1 * before
    # refined at half the size, the border is still right to about a pixel
    half = (refine(grid, pixels, method="pamr", max_side=100) != truth).mean()
    assert half < 0.25 * before


def test_none_and_bilinear():
    grid = np.array([[0, 1], [2, 3]], dtype=np.int32)
    pixels = np.zeros((7, 10, 3), np.uint8)
    nearest = refine(grid, pixels, method="none")
    assert nearest.dtype == np.int32
    assert np.array_equal(nearest[:3, :5], np.zeros((3, 5)))
    assert np.array_equal(nearest[-1], [2] * 5 + [3] * 5)
    rng = np.random.default_rng(2)
    grid = rng.integers(0, 5, (6, 9)).astype(np.int32)
    one_hot = torch.from_numpy(np.eye(5, dtype=np.float32)[grid]).permute(2, 0, 1)
    for size in ((50, 75), (4, 5), (6, 9)):  # above, below and at the size of the grid
        expected = torch.nn.functional.interpolate(one_hot[None], size=size, mode="bilinear")[0]
        top = expected.topk(2, dim=0).values
        clear = (top[0] - top[1] > 1e-5).numpy()
        result = refine(grid, np.zeros((*size, 3), np.uint8), method="bilinear")
        assert np.array_equal(result[clear], expected.argmax(0).numpy()[clear])


def test_bands_of_a_large_picture_fit_together(monkeypatch):
    grid = np.random.default_rng(3).integers(0, 4, (8, 11)).astype(np.int32)
    pixels = two_colours(300, 400, 170)
    whole = refine(grid, pixels, max_side=120)
    monkeypatch.setattr("zeroguide.segment.refine._BAND", 1000)
    assert np.array_equal(refine(grid, pixels, max_side=120), whole)


def test_no_segment_vanishes():
    pixels = two_colours()
    grid = np.zeros((30, 40), dtype=np.int32)
    grid[10, 10], grid[10, 11], grid[20, 35] = 1, 2, 3  # 3 x 3 px each inside one colour
    result = refine(grid, pixels, method="pamr", iterations=20)
    areas = np.bincount(result.ravel(), minlength=4)
    assert (areas[1:] == 5).all()  # the better half of nine
    nearest = refine(grid, pixels, method="none")
    assert (nearest[result > 0] == result[result > 0]).all()


@pytest.mark.parametrize("method", ["none", "bilinear", "pamr"])
@pytest.mark.parametrize("size", [(1, 20), (5, 4), (2, 30), (7, 7)])
def test_pictures_smaller_than_the_grid(method, size):
    rng = np.random.default_rng(4)
    grid = np.append(np.arange(20), rng.integers(0, 20, 124)).reshape(12, 12).astype(np.int32)
    pixels = rng.integers(0, 255, (*size, 3), dtype=np.uint8)
    result = refine(grid, pixels, method=method)
    assert sorted(np.unique(result)) == list(range(20))


def test_one_segment_and_one_pixel():
    pixels = np.zeros((1, 1, 3), np.uint8)
    assert refine(np.zeros((9, 9), np.int32), pixels).tolist() == [[0]]
    with pytest.raises(ZeroguideError, match="a picture of 1 x 1 px can't hold 2 segments"):
        refine(np.array([[0, 1]]), pixels)


def test_thin_and_flat_pictures():
    grid = np.array([[0, 1, 1, 2, 2, 0]], dtype=np.int32)
    for size in ((1, 500), (3, 900), (40, 40)):
        result = refine(grid, np.full((*size, 3), 77, np.uint8))
        assert sorted(np.unique(result)) == [0, 1, 2]


def test_soft_masks_are_the_formula():
    rng = np.random.default_rng(0)
    features = rng.standard_normal((4, 5, 7)).astype(np.float32)
    grid = np.arange(20).reshape(4, 5) % 3
    unit = features / np.linalg.norm(features, axis=-1, keepdims=True)
    means = np.stack([unit[grid == i].mean(0) for i in range(3)])
    cosines = np.stack([unit @ (mean / np.linalg.norm(mean)) for mean in means])
    weights = np.exp(cosines / 0.1)
    found = soft_masks(torch.from_numpy(grid), 9 * torch.from_numpy(features), 0.1)
    assert np.allclose(found, weights / weights.sum(0), atol=1e-5)


def test_a_temperature_moves_a_cell_to_what_it_is_like():
    """One cell of the left half has the right half's feature and colour."""
    grid = np.repeat([[0, 0, 0, 0, 1, 1, 1, 1]], 8, axis=0)
    like = grid.copy()
    like[4, 1] = 1
    pixels = np.kron(60 + 120 * like, np.ones((10, 10)))[..., None].repeat(3, 2).astype(np.uint8)
    features = torch.nn.functional.one_hot(torch.from_numpy(like)).float()
    assert (refine(grid, pixels)[42:48, 12:18] == 0).all()
    soft = refine(grid, pixels, temperature=0.04, features=features)
    assert (soft[42:48, 12:18] == 1).all()
    assert (soft == np.kron(like, np.ones((10, 10), int))).mean() > 0.98
    with pytest.raises(ValueError, match="needs the features"):
        refine(grid, pixels, temperature=0.04)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "crf"}, "unknown refine.method 'crf': choose one of pamr, bilinear, none"),
        ({"iterations": -1}, "refine.iterations=-1 is negative"),
        ({"dilations": ()}, "refine.dilations=[] is not usable"),
        ({"dilations": (0, 1)}, "refine.dilations=[0, 1] is not usable"),
        ({"max_side": 8}, "refine.max_side=8 is too small"),
        ({"temperature": 0.0}, "refine.temperature=0 is not usable"),
        ({"temperature": float("nan")}, "refine.temperature=nan is not usable"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(UsageError) as error:
        refine(np.array([[0, 1]]), two_colours(), **options)
    assert message in str(error.value)
