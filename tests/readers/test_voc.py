"""Pascal VOC 2012: palette PNGs of classes and of objects."""

import numpy as np
import pytest

from readers.writing import SHAPE, write_image, write_lines, write_palette
from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.evaluate.datasets import load_dataset

CLASSES = np.zeros(SHAPE, dtype=int)
CLASSES[1:3, 1:7], CLASSES[4, :] = 12, 20
CLASSES[1:3, 3] = 255
OBJECTS = np.zeros(SHAPE, dtype=int)
OBJECTS[1:3, 1:3], OBJECTS[1:3, 4:7], OBJECTS[4, :], OBJECTS[1:3, 3] = 1, 2, 3, 255
NAMES = ("2007_000033", "2007_000042")


@pytest.fixture
def voc(tmp_path):
    root = tmp_path / "VOCdevkit" / "VOC2012"
    write_lines(root / "ImageSets/Segmentation/val.txt", *NAMES)
    for name in NAMES:
        write_image(root / "JPEGImages" / f"{name}.jpg")
        write_palette(root / "SegmentationClass" / f"{name}.png", CLASSES)
        write_palette(root / "SegmentationObject" / f"{name}.png", OBJECTS)
    return root


def test_reads_back_exactly(voc):
    for folder in (voc, voc.parent, voc.parents[1]):
        data = load_dataset("voc2012", folder)
        data.check()
        assert [sample.name for sample in data] == list(NAMES)
        assert np.array_equal(data[0].semantic(), np.where(CLASSES == 255, -1, CLASSES))
    assert data.background == 0
    assert data.classes[12].name == "dog"


def test_objects_one_by_one(voc):
    regions = load_dataset("voc2012", voc)[0].regions()
    assert regions.classes.tolist() == [12, 12, 20]
    assert np.array_equal(regions.label_map, np.where(OBJECTS == 255, 0, OBJECTS) - 1)


def test_void_does_not_name_an_object(voc):
    classes = np.where(OBJECTS == 1, 255, CLASSES)
    classes[1, 1] = 12
    classes[OBJECTS == 2] = 255
    write_palette(voc / "SegmentationClass" / f"{NAMES[0]}.png", classes)
    assert load_dataset("voc2012", voc)[0].regions().classes.tolist() == [12, -1, 20]


def test_without_objects_one_region_per_class(voc):
    (voc / "SegmentationObject" / f"{NAMES[0]}.png").unlink()
    regions = load_dataset("voc2012", voc)[0].regions()
    assert regions.classes.tolist() == [12, 20]
    assert (regions.label_map == 0).sum() == (CLASSES == 12).sum()


def test_objects_of_another_size(voc):
    write_palette(voc / "SegmentationObject" / f"{NAMES[0]}.png", OBJECTS[:, :4])
    with pytest.raises(ZeroguideError, match=r"SegmentationObject/.*differs in size from .*Class"):
        load_dataset("voc2012", voc).check()


def test_missing_pieces(voc):
    with pytest.raises(UsageError, match=r"no ImageSets/Segmentation/train\.txt .*host\.robots"):
        load_dataset("voc2012", voc, split="train")
    (voc / "SegmentationClass" / f"{NAMES[1]}.png").unlink()
    with pytest.raises(UsageError, match=r"2007_000042\.png: is missing; get it from http://host"):
        load_dataset("voc2012", voc).check()
    (voc / "JPEGImages" / f"{NAMES[0]}.jpg").unlink()
    with pytest.raises(UsageError, match=r"2007_000033\.jpg: is missing"):
        load_dataset("voc2012", voc).check()
    write_lines(voc / "ImageSets/Segmentation/val.txt", "")
    with pytest.raises(UsageError, match=r"val\.txt: is empty"):
        load_dataset("voc2012", voc)


def test_an_unknown_class(voc):
    write_palette(voc / "SegmentationClass" / f"{NAMES[1]}.png", np.full(SHAPE, 21))
    with pytest.raises(ZeroguideError, match=r"2007_000042\.png: holds the class id 21"):
        load_dataset("voc2012", voc).check()
