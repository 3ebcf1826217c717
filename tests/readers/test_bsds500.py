"""BSDS500: MATLAB cell arrays of several people's segmentations."""

import numpy as np
import pytest
import scipy.io

from readers.writing import SHAPE, write_image
from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.evaluate.datasets import load_dataset

FIRST = np.ones(SHAPE, dtype=np.uint16)
FIRST[:, 4:] = 2
SECOND = np.arange(1, 49, dtype=np.uint16).reshape(SHAPE)


def write_truth(path, *maps, field="Segmentation"):
    """As the benchmark has it: a 1 x n cell of 1 x 1 structs."""
    cell = np.empty((1, len(maps)), dtype=object)
    for i, label_map in enumerate(maps):
        cell[0, i] = {field: label_map, "Boundaries": np.zeros(SHAPE, dtype=np.uint8)}
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"groundTruth": cell})


@pytest.fixture
def data_folder(tmp_path):
    folder = tmp_path / "BSR" / "BSDS500" / "data"
    write_image(folder / "images/test/100007.jpg")
    write_truth(folder / "groundTruth/test/100007.mat", FIRST, SECOND)
    (folder / "images/test/Thumbs.db").touch()
    return folder


def test_every_annotator_is_read(data_folder, tmp_path):
    for root in (data_folder, data_folder.parent, data_folder.parents[1], tmp_path):
        data = load_dataset("bsds500", root)
        data.check()
        sample = data[0]
        first, second = sample.annotations()
        assert np.array_equal(first.label_map, FIRST.astype(int) - 1)
        assert np.array_equal(second.label_map, SECOND.astype(int) - 1)
        assert second.classes.tolist() == [-1] * 48
        assert np.array_equal(sample.regions().label_map, first.label_map)
        assert (sample.semantic() == -1).all()
    assert data.classes == ()


def test_one_annotator_of_another_size(data_folder):
    write_truth(data_folder / "groundTruth/test/100007.mat", FIRST, SECOND.T)
    with pytest.raises(ZeroguideError, match=r"100007\.mat: the truth is 6 x 8 .* is 8 x 6"):
        load_dataset("bsds500", data_folder).check()


def test_says_what_is_wrong(data_folder):
    path = data_folder / "groundTruth/test/100007.mat"
    write_truth(path, FIRST, field="Other")
    with pytest.raises(ZeroguideError, match=r"100007\.mat: its groundTruth has no Segmentation"):
        load_dataset("bsds500", data_folder).check()
    scipy.io.savemat(path, {"segs": FIRST})
    with pytest.raises(ZeroguideError, match=r"100007\.mat: has no variable groundTruth"):
        load_dataset("bsds500", data_folder).check()
    scipy.io.savemat(path, {"groundTruth": np.empty((1, 0), dtype=object)})
    with pytest.raises(ZeroguideError, match=r"100007\.mat: has no annotator"):
        load_dataset("bsds500", data_folder).check()
    path.unlink()
    write_truth(path.with_name("other.mat"), FIRST)
    with pytest.raises(UsageError, match=r"100007\.jpg: has no mask named 100007"):
        load_dataset("bsds500", data_folder)
    with pytest.raises(UsageError, match=r"no groundTruth/train in it; .*berkeley"):
        load_dataset("bsds500", data_folder, split="train")
