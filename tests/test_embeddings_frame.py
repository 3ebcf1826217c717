"""How pictures meet the tower: frames, shares of tokens, windows, extents, crops."""

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from zeroguide.clip import Region, SegmentedImage
from zeroguide.clip.crop import cut_out
from zeroguide.clip.extents import Box, measure
from zeroguide.clip.frame import make_frame, preprocess, soft_masks, soften
from zeroguide.clip.windows import best_window, window_boxes

SHAPES = [(60, 90), (90, 60), (7, 131), (1, 1), (48, 48), (500, 333), (1, 3000)]
MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.3, 0.2)


def stripes(height: int, width: int, n: int) -> np.ndarray:
    return np.broadcast_to(np.arange(width) * n // width, (height, width)).astype(np.int32)


@pytest.mark.parametrize("fit", ["squash", "native"])
@pytest.mark.parametrize("shape", SHAPES)
def test_masks_share_out_every_token(shape, fit):
    frame = make_frame(*shape, fit=fit, side=48, patch=8)
    n = min(3, shape[1])
    shares = soft_masks(stripes(*shape, n), frame, n)
    torch.testing.assert_close(shares.sum(0), torch.ones(frame.rows * frame.columns))


@pytest.mark.parametrize("shape", SHAPES)
def test_native_keeps_proportions_with_as_many_tokens(shape):
    frame = make_frame(*shape, fit="native", side=224, patch=16)
    assert (frame.height, frame.width) == (16 * frame.rows, 16 * frame.columns)
    assert 0.7 * 196 <= frame.rows * frame.columns <= 1.3 * 196
    if max(shape) < 10 * min(shape):
        assert frame.rows / frame.columns == pytest.approx(shape[0] / shape[1], rel=0.1)


def test_masks_average_over_the_area_of_a_token():
    label_map = np.random.default_rng(1).integers(0, 4, (96, 48))
    # A token of the 6 x 6 grid covers 16 x 8 of these pixels.
    expected = np.stack([(label_map == i).reshape(6, 16, 6, 8).mean((1, 3)) for i in range(4)])
    shares = soft_masks(label_map, make_frame(96, 48, fit="squash", side=48, patch=8), 4)
    np.testing.assert_allclose(shares.reshape(4, 6, 6), expected, atol=1e-6)


def test_absent_parts_have_no_share():
    shares = soft_masks(np.full((10, 10), 2), make_frame(10, 10, fit="squash", side=48, patch=8), 5)
    assert shares.shape == (5, 36) and shares.sum(1).tolist() == [0, 0, 36, 0, 0]


def test_letterbox_keeps_proportions_and_leaves_the_border_to_nobody():
    frame = make_frame(20, 40, fit="letterbox", side=48, patch=8)
    masks = soft_masks(np.zeros((20, 40), np.int64), frame, 1).reshape(6, 6)
    # 20 x 40 becomes 24 x 48: rows 12 to 36 of 48, half of token rows 1 and 4.
    np.testing.assert_allclose(masks[:, 0], [0, 0.5, 1, 1, 0.5, 0], atol=1e-6)
    white = preprocess(np.full((20, 40, 3), 255, np.uint8), frame, MEAN, STD)
    assert (white[:, :12] == 0).all() and (white[:, 12:36] > 1).all() and (white[:, 36:] == 0).all()


def test_picture_is_resized_as_open_clip_does():
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    transform = open_clip.image_transform(
        48, is_train=False, mean=MEAN, std=STD, resize_mode="squash"
    )
    frame = make_frame(60, 90, fit="squash", side=48, patch=8)
    torch.testing.assert_close(
        preprocess(pixels, frame, MEAN, STD), transform(Image.fromarray(pixels))
    )


@pytest.mark.parametrize(
    ("softness", "expected"),
    [
        (1.0, [[0.1, 0.5, 0.9, 0.7], [0.1, 0.2, 0.0, 0.05]]),
        (0.5, [[0.0, 0.5, 1.0, 0.9], [0, 1, 0, 0]]),
        (0.0, [[0.0, 1, 1, 1], [0, 1, 0, 0]]),
    ],
)
def test_softness_is_a_ramp_that_never_loses_a_segment(softness, expected):
    shares = torch.tensor([[0.1, 0.5, 0.9, 0.7], [0.1, 0.2, 0.0, 0.05]])
    torch.testing.assert_close(soften(shares, softness), torch.tensor(expected))


def test_extents_of_unions():
    label_map = np.zeros((10, 12), np.int32)
    label_map[2:4, 3:8], label_map[7, 10] = 1, 2
    extents = measure(label_map)
    assert extents.box((1,)) == (2, 3, 4, 8) and extents.area((1,)) == 10
    assert extents.box((1, 2)) == (2, 3, 8, 11) and extents.area((2, 1)) == 11
    assert extents.box((0,)) == (0, 0, 10, 12)


@pytest.mark.parametrize("shape", [(100, 80), (7, 5), (2, 2), (1, 1)])
def test_windows_cover_the_picture_and_stay_in_it(shape):
    seen = np.zeros(shape, int)
    for box in window_boxes(*shape):
        assert 0 <= box.top < box.bottom <= shape[0] and 0 <= box.left < box.right <= shape[1]
        seen[box.slices] += 1
    assert seen.min() >= 1


def test_window_shows_all_of_the_segment_near_its_middle():
    assert best_window(Box(0, 0, 10, 10), 100, 100) == (0, 0, 50, 50)
    assert best_window(Box(45, 45, 55, 55), 100, 100) == (25, 25, 75, 75)
    assert best_window(Box(30, 80, 40, 100), 100, 100) == (0, 50, 50, 100)
    assert best_window(Box(0, 0, 10, 60), 100, 100) is None


def test_cut_out_is_the_segment_in_a_square_of_the_mean_colour():
    label_map = np.zeros((6, 8), np.int32)
    label_map[1:3, 2:6] = 1
    label_map[1, 2] = 0
    pixels = np.full((6, 8, 3), 200, np.uint8)
    region = Region(SegmentedImage(pixels, label_map), (1,))
    square = cut_out(region, Box(1, 2, 3, 6), (0.2, 0.4, 0.6))
    assert square.shape == (4, 4, 3)
    shown = (square == 200).all(-1)
    assert shown.tolist() == [[0, 0, 0, 0], [0, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0]]
    assert (square[~shown] == [51, 102, 153]).all()
