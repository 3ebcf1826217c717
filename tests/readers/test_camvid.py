"""CamVid: SegNet's ids, and the original colours grouped into SegNet's classes."""

from importlib.resources import files

import numpy as np
import pytest

from readers.writing import write_grey, write_image
from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.evaluate.datasets import load_dataset

# sky, building, bridge, child, moving lane marking, void, bicyclist, truck
COLOURS = np.array(
    [
        [
            [128, 128, 128],
            [128, 0, 0],
            [0, 128, 64],
            [192, 128, 64],
            [128, 0, 192],
            [0, 0, 0],
            [0, 128, 192],
            [192, 128, 192],
        ]
    ]
    * 6
)
GROUPS = ["sky", "building", "building", "pedestrian", "road", None, "bicyclist", "car"]


def write_segnet(folder, split="test"):
    ids = np.array([[0, 1, 2, 3, 10, 11, 8, 9]] * 6)
    write_image(folder / split / "0001TP_008550.png")
    write_grey(folder / f"{split}annot" / "0001TP_008550.png", ids)
    return ids


def write_original(folder, colours=COLOURS):
    write_image(folder / "701_StillsRaw_full" / "0001TP_006690.png")
    write_grey(folder / "LabeledApproved_full" / "0001TP_006690_L.png", colours)


def test_segnet_reads_back_exactly(tmp_path):
    ids = write_segnet(tmp_path / "CamVid")
    data = load_dataset("camvid", tmp_path)
    data.check()
    assert [sample.name for sample in data] == ["0001TP_008550"]
    assert np.array_equal(data[0].semantic(), np.where(ids == 11, -1, ids))
    assert len(data.classes) == 11


def test_segnet_unknown_id(tmp_path):
    write_segnet(tmp_path)
    write_grey(tmp_path / "testannot/0001TP_008550.png", np.full((6, 8), 12))
    with pytest.raises(ZeroguideError, match=r"8550\.png: holds the class id 12"):
        load_dataset("camvid", tmp_path).check()


def test_original_colours(tmp_path):
    write_original(tmp_path)
    data = load_dataset("camvid", tmp_path, split="all")
    data.check()
    assert [sample.name for sample in data] == ["0001TP_006690"]
    names = [data.classes[i].name if i >= 0 else None for i in data[0].semantic()[0]]
    assert names == GROUPS


@pytest.mark.parametrize("value", [1, 129, 255])
def test_an_unknown_colour(tmp_path, value):
    write_original(tmp_path, np.full((6, 8, 3), value))
    colour = rf"\({value}, {value}, {value}\)"
    with pytest.raises(ZeroguideError, match=rf"6690_L\.png: the colour {colour} stands"):
        load_dataset("camvid", tmp_path, split="all").check()


def test_all_32_colours_differ_and_every_class_has_one():
    table = (files("zeroguide.evaluate.datasets") / "classes" / "camvid_colours.tsv").read_text()
    rows = [line.split("\t") for line in table.splitlines() if not line.startswith("#")]
    assert len({row[0] for row in rows}) == len({row[1] for row in rows}) == len(rows) == 32
    assert len({row[2] for row in rows} - {"void"}) == 11


def test_missing_pieces(tmp_path):
    with pytest.raises(UsageError, match=r"no testannot or LabeledApproved_full in it; .*mi\.eng"):
        load_dataset("camvid", tmp_path)
    write_original(tmp_path)
    with pytest.raises(UsageError, match=r"original layout of CamVid has no split 'test'; use"):
        load_dataset("camvid", tmp_path)
    write_image(tmp_path / "701_StillsRaw_full" / "0001TP_006720.png")
    with pytest.raises(UsageError, match=r"6720\.png: has no mask named 0001TP_006720"):
        load_dataset("camvid", tmp_path, split="all")
