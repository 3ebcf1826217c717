"""COCO-Stuff with 171 classes and with the 27 coarse ones."""

import numpy as np
import pytest

from readers.writing import write_grey, write_image, write_lines
from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.evaluate.datasets import load_dataset
from zeroguide.evaluate.datasets.classes import read_classes
from zeroguide.evaluate.datasets.coco_stuff import fine_to_coarse

# person, bicycle, boat, traffic light; banner, wood, sky-other; unlabelled
IDS = np.array([[0, 1, 8, 9, 91, 181, 156, 255]] * 6)
NAMES = ("000000000139", "000000000285")


def write(folder, masks="stuffthingmaps/val2017", images="val2017", ids=IDS):
    for name in NAMES:
        write_image(folder / images / f"{name}.jpg")
        write_grey(folder / masks / f"{name}.png", ids)
    return folder


@pytest.mark.parametrize(
    ("masks", "images"),
    [
        ("stuffthingmaps/val2017", "val2017"),
        ("annotations/val2017", "images/val2017"),
        ("stuffthingmaps_trainval2017/val2017", "val2017"),
    ],
)
def test_171_reads_back_exactly(tmp_path, masks, images):
    write(tmp_path, masks, images)
    # mmsegmentation leaves renumbered masks beside the original ones.
    write_grey(tmp_path / masks / f"{NAMES[0]}_labelTrainIds.png", IDS)
    data = load_dataset("coco-stuff-171", tmp_path)
    data.check()
    assert [sample.name for sample in data] == list(NAMES)
    names = [data.classes[i].name if i >= 0 else None for i in data[0].semantic()[0]]
    assert names == [
        "person", "bicycle", "boat", "traffic light", "banner", "wood", "sky", None,
    ]  # fmt: skip
    assert data[0].semantic().max() == 170


def test_an_id_in_a_gap_is_unknown(tmp_path):
    ids = IDS.copy()
    ids[0, 0] = 11  # "street sign", which COCO dropped
    with pytest.raises(ZeroguideError, match=r"139\.png: holds the class id 11, "):
        load_dataset("coco-stuff-171", write(tmp_path, ids=ids)).check()


def test_27_reads_the_curated_images_only(tmp_path):
    write(tmp_path, "annotations/val2017", "images/val2017")
    write_lines(tmp_path / "curated/val2017/Coco164kFull_Stuff_Coarse_7.txt", NAMES[1])
    data = load_dataset("coco-stuff-27", tmp_path)
    data.check()
    assert [sample.name for sample in data] == [NAMES[1]]
    names = [data.classes[i].official if i >= 0 else None for i in data[0].semantic()[0]]
    assert names == [
        "person-things", "vehicle-things", "vehicle-things", "outdoor-things",
        "textile-stuff", "solid-stuff", "sky-stuff", None,
    ]  # fmt: skip


def test_the_coarse_table_is_complete_and_by_kind():
    table = fine_to_coarse()
    assert set(table) == {*range(182), 255}
    assert set(table.values()) == {-1, *range(27)}
    fine = read_classes("coco_stuff")
    coarse = read_classes("coco_stuff_27").classes
    for each, value in zip(fine.classes, fine.ids, strict=True):
        assert coarse[table[value]].kind == each.kind, each.name


@pytest.mark.parametrize(
    ("fine", "coarse"),
    [
        ("tv", "electronic-things"),
        ("sink", "appliance-things"),
        ("pizza", "food-things"),
        ("toilet", "furniture-things"),
        ("vase", "indoor-things"),
        ("fork", "kitchen-things"),
        ("tie", "accessory-things"),
        ("giraffe", "animal-things"),
        ("kite", "sports-things"),
        ("ceiling tile", "ceiling-stuff"),
        ("carpet", "floor-stuff"),
        ("salad", "food-stuff"),
        ("desk", "furniture-stuff"),
        ("metal", "rawmaterial-stuff"),
        ("towel", "textile-stuff"),
        ("brick wall", "wall-stuff"),
        ("window blind", "window-stuff"),
        ("skyscraper", "building-stuff"),
        ("road", "ground-stuff"),
        ("tree", "plant-stuff"),
        ("mountain", "solid-stuff"),
        ("railing", "structural-stuff"),
        ("fog", "water-stuff"),
    ],
)
def test_super_categories(fine, coarse):
    listed = read_classes("coco_stuff")
    value = next(v for each, v in zip(listed.classes, listed.ids, strict=True) if each.name == fine)
    assert read_classes("coco_stuff_27").classes[fine_to_coarse()[value]].official == coarse


def test_missing_pieces(tmp_path):
    with pytest.raises(UsageError, match=r"no stuffthingmaps/val2017 or .* get the data from http"):
        load_dataset("coco-stuff-171", tmp_path)
    write(tmp_path)
    with pytest.raises(UsageError, match=r"no curated/val2017/Coco164kFull.*xu-ji/IIC"):
        load_dataset("coco-stuff-27", tmp_path)
    path = tmp_path / "curated/val2017/Coco164kFull_Stuff_Coarse_7.txt"
    write_lines(path, NAMES[0], "000000000999")
    with pytest.raises(UsageError, match=r"000000000999\.jpg: is missing"):
        load_dataset("coco-stuff-27", tmp_path).check()
    write_lines(path, NAMES[0], NAMES[0])
    with pytest.raises(UsageError, match="lists an image twice"):
        load_dataset("coco-stuff-27", tmp_path)
    (tmp_path / "stuffthingmaps/val2017" / f"{NAMES[1]}.png").unlink()
    with pytest.raises(UsageError, match=rf"{NAMES[1]}\.jpg: has no mask named {NAMES[1]}"):
        load_dataset("coco-stuff-171", tmp_path)
    (tmp_path / "val2017").rename(tmp_path / "other")
    with pytest.raises(UsageError, match=r"images/val2017: no such folder"):
        load_dataset("coco-stuff-171", tmp_path)
