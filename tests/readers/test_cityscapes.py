"""Cityscapes: label ids of 19 and 27 classes, objects and groups of them."""

import numpy as np
import pytest

from readers.writing import write_grey, write_image
from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.evaluate.datasets import load_dataset

# unlabelled, road, parking, person, car, license plate's neighbour, bicycle, road
IDS = np.array([[0, 7, 9, 24, 26, 26, 33, 7]] * 6)
OBJECTS = np.array([[0, 7, 9, 24001, 26000, 26, 33002, 7]] * 6)
FRAMES = ("frankfurt/frankfurt_000000_000294", "munster/munster_000000_000019")


@pytest.fixture
def folder(tmp_path):
    for frame in FRAMES:
        write_image(tmp_path / "leftImg8bit/val" / f"{frame}_leftImg8bit.png")
        write_grey(tmp_path / "gtFine/val" / f"{frame}_gtFine_labelIds.png", IDS)
        write_grey(tmp_path / "gtFine/val" / f"{frame}_gtFine_instanceIds.png", OBJECTS)
    return tmp_path


def test_27_is_the_id_minus_7(folder):
    data = load_dataset("cityscapes-27", folder)
    data.check()
    assert [sample.name for sample in data] == list(FRAMES)
    assert np.array_equal(data[0].semantic(), np.where(IDS < 7, -1, IDS - 7))


def test_19_by_hand(folder):
    data = load_dataset("cityscapes-19", folder)
    data.check()
    assert data[0].semantic()[0].tolist() == [-1, 0, -1, 11, 13, 13, 18, 0]
    names = [data.classes[i].name for i in (0, 11, 13, 18)]
    assert names == ["road", "person", "car", "bicycle"]


def test_objects_and_groups(folder):
    regions = load_dataset("cityscapes-19", folder)[0].regions()
    # In the order of the ids: road, the group of cars, the person, one car, the bicycle.
    assert regions.classes.tolist() == [0, 13, 11, 13, 18]
    assert regions.crowd.tolist() == [False, True, False, False, False]
    assert regions.label_map[0].tolist() == [-1, 0, -1, 2, 3, 1, 4, 0]
    regions = load_dataset("cityscapes-27", folder)[0].regions()
    assert regions.classes.tolist() == [0, 2, 19, 17, 19, 26]


def test_without_objects_one_region_per_class(folder):
    (folder / "gtFine/val" / f"{FRAMES[0]}_gtFine_instanceIds.png").unlink()
    regions = load_dataset("cityscapes-19", folder)[0].regions()
    assert regions.classes.tolist() == [0, 11, 13, 18]
    assert not regions.crowd.any()


def test_unknown_ids(folder):
    write_grey(folder / "gtFine/val" / f"{FRAMES[0]}_gtFine_labelIds.png", IDS + 1)
    with pytest.raises(ZeroguideError, match=r"294_gtFine_labelIds\.png: holds the class id 34"):
        load_dataset("cityscapes-27", folder).check()
    write_grey(folder / "gtFine/val" / f"{FRAMES[0]}_gtFine_labelIds.png", IDS)
    write_grey(folder / "gtFine/val" / f"{FRAMES[0]}_gtFine_instanceIds.png", OBJECTS + 2000)
    with pytest.raises(ZeroguideError, match=r"294_gtFine_instanceIds\.png: holds the class id 35"):
        load_dataset("cityscapes-27", folder).check()


def test_missing_pieces(folder):
    with pytest.raises(UsageError, match=r"no gtFine/train in it; .*cityscapes-dataset\.com"):
        load_dataset("cityscapes-19", folder, split="train")
    (folder / "gtFine/val" / f"{FRAMES[1]}_gtFine_labelIds.png").unlink()
    with pytest.raises(UsageError, match=r"000019_gtFine_labelIds\.png: is missing; get it from"):
        load_dataset("cityscapes-19", folder).check()
    (folder / "leftImg8bit/val/munster").rename(folder / "gone")
    with pytest.raises(UsageError, match=r"leftImg8bit/val/munster: no such folder"):
        load_dataset("cityscapes-19", folder)
