"""Saliency sets: masks of grey, of 0 and 1, of colours; one object region."""

import numpy as np
import PIL.Image
import pytest

from readers.writing import SHAPE, write_grey, write_image
from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.evaluate.datasets import load_dataset

MASK = np.zeros(SHAPE, dtype=int)
MASK[2:4, 1:5] = 1


@pytest.mark.parametrize(
    ("images", "masks", "split"),
    [
        ("DUTS-TE-Image", "DUTS-TE-Mask", "test"),
        ("DUTS-TR-Image", "DUTS-TR-Mask", "train"),
        ("images", "ground_truth_mask", None),
        ("DUT-OMRON-image", "pixelwiseGT-new-PNG", None),
        ("images", "masks", "test"),
    ],
)
def test_layouts(tmp_path, images, masks, split):
    write_image(tmp_path / "set" / images / "0001.jpg")
    write_grey(tmp_path / "set" / masks / "0001.png", MASK * 255)
    data = load_dataset("saliency", tmp_path, split=split)
    data.check()
    assert np.array_equal(data[0].semantic(), MASK)
    assert data.background == 0
    regions = data[0].regions()
    assert regions.classes.tolist() == [1]
    assert np.array_equal(regions.label_map, MASK - 1)


def write_one(folder, mask):
    write_image(folder / "images" / "a.jpg")
    write_grey(folder / "masks" / "a.png", mask)
    return load_dataset("saliency", folder)[0]


def test_half_grey_is_object(tmp_path):
    mask = np.array([[0, 127, 128, 255, 1, 2, 254, 0]] * 6)
    assert write_one(tmp_path, mask).semantic()[0].tolist() == [0, 0, 1, 1, 0, 0, 1, 0]


def test_zero_and_one_are_taken_as_they_are(tmp_path):
    assert np.array_equal(write_one(tmp_path, MASK).semantic(), MASK)


def test_grey_stored_as_colours(tmp_path):
    sample = write_one(tmp_path, np.stack([MASK * 255] * 3, axis=-1))
    assert np.array_equal(sample.semantic(), MASK)


def test_two_colours_of_one_bit(tmp_path):
    write_image(tmp_path / "images" / "a.jpg")
    (tmp_path / "masks").mkdir()
    PIL.Image.fromarray(MASK.astype(bool)).save(tmp_path / "masks" / "a.png")
    assert np.array_equal(load_dataset("saliency", tmp_path)[0].semantic(), MASK)


def test_nothing_salient(tmp_path):
    sample = write_one(tmp_path, MASK * 0)
    assert (sample.semantic() == 0).all()
    assert len(sample.regions().classes) == 0


def test_sixteen_bits_are_refused(tmp_path):
    with pytest.raises(ZeroguideError, match=r"a\.png: holds uint16 values from 0 to 65535, not"):
        write_one(tmp_path, MASK * 65535).semantic()


def write_mask(folder, image, ending="png"):
    write_image(folder / "images" / "a.jpg")
    (folder / "masks").mkdir()
    image.save(folder / "masks" / "a.png", ending)
    return load_dataset("saliency", folder)[0]


@pytest.mark.parametrize("scale", [1.0, 255.0, -1.0])
def test_fractions_are_refused_in_one_sentence(tmp_path, scale):
    image = PIL.Image.fromarray(np.where(MASK, scale / 2, 0).astype(np.float32))
    with pytest.raises(ZeroguideError) as error:
        write_mask(tmp_path, image, "tiff").semantic()
    low, high = sorted([0, scale / 2])
    assert str(error.value) == (
        f"{tmp_path / 'masks' / 'a.png'}: holds float32 values from {low:g} to {high:g}, not a "
        "mask of 8 bits; save it as a grey PNG of 0 and 255."
    )


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1"])
def test_grey_in_any_mode(tmp_path, mode):
    image = PIL.Image.fromarray((MASK * 255).astype(np.uint8)).convert(mode)
    assert np.array_equal(write_mask(tmp_path, image).semantic(), MASK)


def test_missing_pieces(tmp_path):
    with pytest.raises(UsageError, match=r"no DUTS-TE-Mask or .*; get the data from http://sal"):
        load_dataset("saliency", tmp_path)
    (tmp_path / "masks").mkdir()
    with pytest.raises(UsageError, match=r"images: no such folder"):
        load_dataset("saliency", tmp_path)
    write_one(tmp_path, MASK)
    write_grey(tmp_path / "DUTS-TE-Mask" / "a.png", MASK)
    with pytest.raises(UsageError, match=r"holds both DUTS-TE-Mask and masks; move one"):
        load_dataset("saliency", tmp_path)
