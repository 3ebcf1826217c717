"""ADE20K: the benchmark's PNGs, the full set's colour PNGs and its 16-bit TIFFs."""

import numpy as np
import pytest

from readers.writing import write_grey, write_image
from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.evaluate.datasets import load_dataset

NAMES = ("ADE_val_00000001", "ADE_val_00000002")


def object_colours(ids):
    """The full set's colours: R // 10 * 256 + G is the object's id; B numbers the object."""
    blue = np.full_like(ids, 77)
    return np.stack([ids // 256 * 10 + 4, ids % 256, blue], axis=-1)


def test_150_reads_back_exactly(tmp_path):
    ids = np.array([[0, 1, 13, 150, 1, 1, 1, 1]] * 6)
    root = tmp_path / "ADEChallengeData2016"
    for name in NAMES:
        write_image(root / "images/validation" / f"{name}.jpg")
        write_grey(root / "annotations/validation" / f"{name}.png", ids)
    for folder in (root, tmp_path):
        data = load_dataset("ade20k-150", folder)
        data.check()
        assert [sample.name for sample in data] == list(NAMES)
        assert np.array_equal(data[0].semantic(), ids - 1)
    assert [data.classes[i].name for i in (0, 12, 149)] == ["wall", "person", "flag"]
    write_grey(root / "annotations/validation" / f"{NAMES[1]}.png", np.full((6, 8), 151))
    with pytest.raises(ZeroguideError, match=r"ADE_val_00000002\.png: holds the class id 151"):
        data.check()
    (root / "annotations/validation" / f"{NAMES[0]}.png").unlink()
    with pytest.raises(UsageError, match=r"ADE_val_00000001\.jpg: has no mask named ADE_val_0000"):
        load_dataset("ade20k-150", tmp_path)


def test_150_missing(tmp_path):
    with pytest.raises(UsageError, match=r"no annotations/training in it; .*sceneparsing"):
        load_dataset("ade20k-150", tmp_path, split="train")


def test_847_original(tmp_path):
    # wall, adding machine; 5 is no class of the 847; 0 void
    ids = np.array([[2978, 3148, 5, 0, 2978, 2978, 2978, 2978]] * 6)
    root = tmp_path / "ADE20K_2021_17_01"
    scene = root / "images/ADE/validation/urban/street"
    for name in NAMES:
        write_image(scene / f"{name}.jpg")
        write_grey(scene / f"{name}_seg.png", object_colours(ids))
        write_grey(scene / f"{name}_parts_1.png", object_colours(ids))
    data = load_dataset("ade20k-847", tmp_path)
    data.check()
    assert [sample.name for sample in data] == list(NAMES)
    assert data[0].semantic()[3].tolist() == [0, 846, -1, -1, 0, 0, 0, 0]
    assert data.classes[846].name == "adding machine"
    (scene / f"{NAMES[1]}_seg.png").unlink()
    with pytest.raises(UsageError, match=r"ADE_val_00000002_seg\.png: is missing; get it from"):
        load_dataset("ade20k-847", tmp_path).check()


def test_847_converted(tmp_path):
    ids = np.array([[0, 846, 65535, 300, 0, 0, 0, 0]] * 6)
    for name in NAMES:
        write_image(tmp_path / "images_detectron2/validation" / f"{name}.jpg")
        write_grey(tmp_path / "annotations_detectron2/validation" / f"{name}.tif", ids)
    data = load_dataset("ade20k-847", tmp_path)
    data.check()
    assert np.array_equal(data[0].semantic(), np.where(ids == 65535, -1, ids))
    write_grey(tmp_path / "annotations_detectron2/validation" / f"{NAMES[0]}.tif", ids + 847)
    with pytest.raises(ZeroguideError, match=r"00000001\.tif: holds the class id 847"):
        data.check()


def test_847_missing(tmp_path):
    with pytest.raises(UsageError, match=r"no annotations_detectron2/validation or images/ADE/val"):
        load_dataset("ade20k-847", tmp_path)
    (tmp_path / "images/ADE/validation").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"validation: holds no \.jpg file; get it from https"):
        load_dataset("ade20k-847", tmp_path)
