"""Centre squares: torchvision's pixels, truths and regions cut alike, a name of their own."""

import os

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from readers.writing import write_grey, write_image, write_lines
from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.evaluate.datasets import load_dataset
from zeroguide.evaluate.datasets.cropped import centre_square


@settings(deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 40), st.integers(0, 99))
def test_the_pixels_are_those_of_torchvision(height, width, side, seed):
    """What STEGO's code calls, on images and on labels."""
    transforms = pytest.importorskip("torchvision.transforms")
    nearest = transforms.InterpolationMode.NEAREST
    theirs = transforms.Compose([transforms.Resize(side, nearest), transforms.CenterCrop(side)])
    rng = np.random.default_rng(seed)
    for pixels in (
        rng.integers(256, size=(height, width, 3), dtype=np.uint8),
        rng.integers(-1, 5, size=(height, width), dtype=np.int32),
    ):
        expected = np.asarray(theirs(PIL.Image.fromarray(pixels)))
        ours = centre_square(pixels, side)
        assert ours.shape[:2] == (side, side) and ours.dtype == pixels.dtype
        assert np.array_equal(ours, expected)


def test_by_hand():
    pixels = np.arange(4 * 8, dtype=np.int32).reshape(4, 8)
    # Half as large: the nearest of two is the second; then the middle 2 of 4 columns.
    assert centre_square(pixels, 2).tolist() == [[11, 13], [27, 29]]


SHAPE = (40, 64)


@pytest.fixture
def folder(tmp_path):
    """Two images with classes 0, 1, 2 from left to right; the outer ones are cut."""
    truth = np.repeat([[0] * 8 + [1] * 32 + [255] * 12 + [2] * 12], SHAPE[0], axis=0)
    for name in ("a", "b"):
        write_image(tmp_path / "images" / f"{name}.png", SHAPE)
        write_grey(tmp_path / "labels" / f"{name}.png", truth)
    write_lines(tmp_path / "classes.txt", "left", "middle", "right")
    return tmp_path


def test_a_data_set_of_squares(folder):
    data = load_dataset("folder", folder, crop=20)
    data.check()
    assert data.name == "folder, crop 20" and data.split == "all" and len(data) == 2
    sample = data[0]
    whole = load_dataset("folder", folder)[0]
    assert sample.image is None
    assert np.array_equal(sample.open_image().pixels, centre_square(whole.open_image().pixels, 20))
    # Columns 0..63 become 0..31, of which 6..25 are kept; the right class is beyond.
    assert sample.semantic()[0].tolist() == [1] * 14 + [-1] * 6
    assert [each.name for each in data.classes] == ["left", "middle", "right"]
    regions = sample.regions()
    assert regions.classes.tolist() == [1]
    assert np.array_equal(regions.label_map, np.where(sample.semantic() == 1, 0, -1))
    assert not data.tells_objects_apart


def test_objects_outside_are_gone_and_the_others_keep_their_class(shared):
    whole = load_dataset("coco-panoptic", shared / "photos", limit=4)
    data = load_dataset("coco-panoptic", shared / "photos", limit=4, crop=64)
    assert data.tells_objects_apart and len(data) == 4
    gone = 0
    for sample, original in zip(data, whole, strict=True):
        before, after = original.regions(), sample.regions()
        ids = centre_square(before.label_map, 64)
        kept = np.unique(ids[ids >= 0])
        gone += len(before.classes) - len(kept)
        assert np.array_equal(after.classes, before.classes[kept])
        assert np.array_equal(after.crowd, before.crowd[kept])
        assert np.array_equal(np.append(kept, -1)[after.label_map], ids)
        assert np.array_equal(sample.semantic(), centre_square(original.semantic(), 64))
    assert gone > 0


def test_limit_check_and_sizes_are_those_of_the_whole(folder):
    write_grey(folder / "labels" / "b.png", np.zeros((20, 20)))
    data = load_dataset("folder", folder, crop=20)
    with pytest.raises(ZeroguideError, match=r"b\.png: the truth is 20 x 20"):
        data.check()
    with pytest.raises(ZeroguideError, match=r"b\.png: the truth is 20 x 20"):
        data[1].semantic()
    data.select(1, None)
    data.check()
    assert [sample.name for sample in data] == ["a"]


def test_the_stamp_is_that_of_the_files(folder):
    data, whole = load_dataset("folder", folder, crop=20), load_dataset("folder", folder)
    before = data.stamp(data.entries[0])
    assert before == whole.stamp(whole.entries[0]) != ""
    os.utime(folder / "labels" / "a.png", ns=(1, 1))
    assert data.stamp(data.entries[0]) != before


def test_playroom():
    data = load_dataset("playroom", limit=2, crop=56)
    assert [sample.semantic().shape for sample in data] == [(56, 56)] * 2
    assert data[1].open_image().pixels.shape == (56, 56, 3)
    assert data.split is None


def test_too_small(folder):
    with pytest.raises(UsageError, match="the crop is 15 pixels; give at least 16"):
        load_dataset("folder", folder, crop=15)
