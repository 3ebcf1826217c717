"""Asking for data sets by name."""

import pytest

from zeroguide.datasets import DATASETS, load_dataset
from zeroguide.errors import UsageError

FILES = [name for name in DATASETS if name != "playroom"]


def test_every_data_set_is_there():
    assert set(DATASETS) == {
        "ade20k-150",
        "ade20k-847",
        "bsds500",
        "camvid",
        "cityscapes-19",
        "cityscapes-27",
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
    with pytest.raises(UsageError, match=f"{name} is read from files; name the folder"):
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
