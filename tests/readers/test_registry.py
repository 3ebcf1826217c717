"""Asking for data sets by name."""

import json
import os

import numpy as np
import pytest

from readers.writing import SHAPE, write_grey, write_image, write_lines
from zeroguide.errors import UsageError
from zeroguide.evaluate.datasets import DATASETS, load_dataset

FILES = [name for name in DATASETS if name != "playroom"]


def test_every_data_set_is_there():
    assert set(DATASETS) == {
        "ade20k-150",
        "ade20k-847",
        "bsds500",
        "camvid",
        "cityscapes-19",
        "cityscapes-27",
        "coco-instances",
        "coco-panoptic",
        "coco-stuff-171",
        "coco-stuff-27",
        "context-459",
        "context-59",
        "folder",
        "playroom",
        "saliency",
        "voc2012",
    }
    assert all(DATASETS.values())


@pytest.mark.parametrize("name", FILES)
def test_an_empty_folder_gets_one_sentence_with_a_remedy(name, tmp_path):
    with pytest.raises(UsageError) as error:
        load_dataset(name, tmp_path)
    message = str(error.value)
    assert message.startswith(str(tmp_path))
    assert "get the data from http" in message or name == "folder"
    assert message.endswith(".") and "\n" not in message


@pytest.mark.parametrize("name", FILES)
def test_no_such_folder(name, tmp_path):
    with pytest.raises(UsageError, match="gone: no such folder"):
        load_dataset(name, tmp_path / "gone")


@pytest.mark.parametrize("name", FILES)
def test_wrong_arguments(name, tmp_path):
    with pytest.raises(UsageError, match=f"{name} is read from files; name their folder"):
        load_dataset(name)
    with pytest.raises(UsageError, match=f"{name} has no split 'vla'"):
        load_dataset(name, tmp_path, split="vla")
    with pytest.raises(UsageError, match="the limit is 0"):
        load_dataset(name, tmp_path, limit=0)
    with pytest.raises(UsageError, match="images of its own; give no size"):
        load_dataset(name, tmp_path, size=64)
    with pytest.raises(UsageError, match="the seed is -1"):
        load_dataset(name, tmp_path, seed=-1)


def test_the_nearest_name_is_suggested(tmp_path):
    with pytest.raises(UsageError, match="unknown data set 'voc-2012': did you mean 'voc2012'"):
        load_dataset("voc-2012", tmp_path)
    with pytest.raises(UsageError, match="no split 'vall': did you mean 'val'"):
        load_dataset("voc2012", tmp_path, split="vall")


@pytest.mark.parametrize("asked", [None, "test"])
def test_the_usual_split_is_known_like_one_that_was_asked_for(asked, tmp_path):
    write_image(tmp_path / "images" / "a.png")
    write_grey(tmp_path / "masks" / "a.png", np.zeros(SHAPE))
    assert load_dataset("saliency", tmp_path, split=asked).split == "test"


def test_playroom_has_no_split():
    assert load_dataset("playroom", limit=1).split is None


# Stamps: what a truth is read from


def changed_by(data, path):
    """The names of the entries whose stamp changes when a file does."""
    before = {entry.name: data.stamp(entry) for entry in data.entries}
    os.utime(path, ns=(1, 1))
    return [entry.name for entry in data.entries if data.stamp(entry) != before[entry.name]]


def test_the_json_of_coco_panoptic_is_part_of_every_truth(tmp_path):
    for name in ("a", "b"):
        write_image(tmp_path / "images" / f"{name}.jpg")
        write_grey(tmp_path / "panoptic" / f"{name}.png", np.zeros((*SHAPE, 3)))
    document = {
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
        "annotations": [
            {"image_id": i + 1, "file_name": f"{name}.png", "segments_info": []}
            for i, name in enumerate(("a", "b"))
        ],
        "categories": [{"id": 1, "name": "dog", "isthing": 1}],
    }
    (tmp_path / "panoptic.json").write_text(json.dumps(document))
    data = load_dataset("coco-panoptic", tmp_path)
    assert changed_by(data, tmp_path / "panoptic.json") == ["a", "b"]
    assert changed_by(data, tmp_path / "panoptic" / "b.png") == ["b"]


def test_object_masks_are_part_of_the_truth(tmp_path):
    voc = tmp_path / "voc"
    write_lines(voc / "ImageSets" / "Segmentation" / "val.txt", "a", "b")
    write_grey(voc / "SegmentationClass" / "a.png", np.zeros(SHAPE))
    path = write_grey(voc / "SegmentationObject" / "a.png", np.zeros(SHAPE))
    data = load_dataset("voc2012", voc)
    assert changed_by(data, path) == ["a"]
    before = data.stamp(data.entries[0])
    path.unlink()
    assert data.stamp(data.entries[0]) != before
    city = tmp_path / "gtFine" / "val" / "ulm"
    write_image(tmp_path / "leftImg8bit" / "val" / "ulm" / "x_leftImg8bit.png")
    write_grey(city / "x_gtFine_labelIds.png", np.zeros(SHAPE))
    path = write_grey(city / "x_gtFine_instanceIds.png", np.zeros(SHAPE))
    assert changed_by(load_dataset("cityscapes-27", tmp_path), path) == ["ulm/x"]
