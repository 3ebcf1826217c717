"""Pascal Context: original MATLAB files, and the two usual conversions."""

import numpy as np
import pytest
import scipy.io

from readers.writing import write_grey, write_image, write_lines
from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.evaluate.datasets import load_dataset
from zeroguide.evaluate.datasets.classes import read_classes

# aeroplane, accordion (not among the 59), wood, sky, void
IDS = np.array([[2, 1, 458, 360, 0, 2, 2, 2]] * 6, dtype=np.uint16)
NAMES = ("2008_000002", "2008_000003")
FROM_ONE = np.array([[1, 59, 47, 0, 1, 1, 1, 1]] * 6)


def write_original(root, lists="ImageSets/SegmentationContext"):
    write_lines(root / lists / "val.txt", *NAMES)
    for name in NAMES:
        write_image(root / "JPEGImages" / f"{name}.jpg")
        (root / "trainval").mkdir(exist_ok=True)
        scipy.io.savemat(root / "trainval" / f"{name}.mat", {"LabelMap": IDS})
    return root


def names(data):
    return [data.classes[i].name if i >= 0 else None for i in data[0].semantic()[0]]


@pytest.mark.parametrize("lists", ["ImageSets/SegmentationContext", "ImageSets/Main"])
def test_original_459(tmp_path, lists):
    write_original(tmp_path / "VOCdevkit" / "VOC2010", lists)
    data = load_dataset("context-459", tmp_path)
    data.check()
    assert [sample.name for sample in data] == list(NAMES)
    assert len(data.classes) == 459
    expected = ["aeroplane", "accordion", "wood piece", "sky", None, *["aeroplane"] * 3]
    assert names(data) == expected
    assert np.array_equal(data[0].semantic(), IDS.astype(int) - 1)


def test_original_59_drops_the_rest(tmp_path):
    data = load_dataset("context-59", write_original(tmp_path))
    data.check()
    assert names(data) == ["aeroplane", None, "wood", "sky", None, *["aeroplane"] * 3]


def test_an_id_beyond_459(tmp_path):
    write_original(tmp_path)
    wrong = IDS.copy()
    wrong[0, 0] = 460
    scipy.io.savemat(tmp_path / "trainval" / f"{NAMES[0]}.mat", {"LabelMap": wrong})
    with pytest.raises(ZeroguideError, match=r"2008_000002\.mat: holds the class id 460"):
        load_dataset("context-459", tmp_path).check()


def test_mmsegmentation_png(tmp_path):
    write_lines(tmp_path / "ImageSets/SegmentationContext/val.txt", *NAMES)
    for name in NAMES:
        write_image(tmp_path / "JPEGImages" / f"{name}.jpg")
        write_grey(tmp_path / "SegmentationClassContext" / f"{name}.png", FROM_ONE)
    data = load_dataset("context-59", tmp_path)
    data.check()
    assert names(data) == ["aeroplane", "wood", "sky", None, *["aeroplane"] * 4]
    with pytest.raises(UsageError, match=r"no annotations_ctx459 or trainval in it; get the data"):
        load_dataset("context-459", tmp_path)


def test_converted_masks_are_preferred_to_the_original(tmp_path):
    write_original(tmp_path)
    for name in NAMES:
        write_grey(tmp_path / "SegmentationClassContext" / f"{name}.png", FROM_ONE)
    assert load_dataset("context-59", tmp_path)[0].semantic()[0, 1] == 58
    assert load_dataset("context-459", tmp_path)[0].semantic()[0, 1] == 0


def test_png_numbers_follow_the_original_ids():
    listed = read_classes("pascal_context_59")
    assert list(listed.ids) == sorted(listed.ids)
    assert [listed.classes[i].name for i in (0, 1, 2, 58)] == ["aeroplane", "bag", "bed", "wood"]


@pytest.mark.parametrize(
    ("n", "ending", "void"), [(59, "png", 255), (459, "tif", 65535)], ids=["59", "459"]
)
def test_detectron2_folders(tmp_path, n, ending, void):
    root = tmp_path / "pascal_ctx_d2"
    ids = np.full((6, 8), n - 1)
    ids[0, 0], ids[5, 7] = 0, void
    for name in NAMES:
        write_image(root / "images" / "validation" / f"{name}.jpg")
        write_grey(root / f"annotations_ctx{n}" / "validation" / f"{name}.{ending}", ids)
    data = load_dataset(f"context-{n}", tmp_path)
    data.check()
    assert np.array_equal(data[0].semantic(), np.where(ids == void, -1, ids))


def test_missing_pieces(tmp_path):
    with pytest.raises(UsageError, match=r"no annotations_ctx59 or Seg.* or trainval .*stanford"):
        load_dataset("context-59", tmp_path)
    write_original(tmp_path)
    with pytest.raises(UsageError, match=r"SegmentationContext/train\.txt: is missing; get it"):
        load_dataset("context-59", tmp_path, split="train")
    (tmp_path / "trainval" / f"{NAMES[1]}.mat").unlink()
    with pytest.raises(UsageError, match=r"2008_000003\.mat: is missing"):
        load_dataset("context-59", tmp_path).check()
