"""A user's own folder: images/, labels/, classes.txt."""

import numpy as np
import pytest

from readers.writing import SHAPE, write_grey, write_image, write_lines, write_palette
from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.evaluate.datasets import load_dataset

IDS = np.array([[0, 1, 2, 255, 0, 0, 0, 0]] * 6)


@pytest.fixture
def folder(tmp_path):
    write_lines(tmp_path / "classes.txt", "background", "dining table, table,", "dog")
    for name in ("b", "a"):
        write_image(tmp_path / "images" / f"{name}.jpg")
        write_palette(tmp_path / "labels" / f"{name}.png", IDS)
    return tmp_path


def test_reads_back_exactly(folder):
    data = load_dataset("folder", folder)
    data.check()
    assert [sample.name for sample in data] == ["a", "b"]
    assert [each.name for each in data.classes] == ["background", "dining table", "dog"]
    assert data.classes[1].synonyms == ("table",)
    assert data.background == 0
    assert np.array_equal(data[0].semantic(), np.where(IDS == 255, -1, IDS))
    regions = data[0].regions()
    assert regions.classes.tolist() == [1, 2]
    assert np.array_equal(regions.label_map, np.where((IDS == 255) | (IDS == 0), -1, IDS - 1))


def test_without_a_background_every_class_is_a_region(folder):
    write_lines(folder / "classes.txt", "wall", "table", "dog")
    data = load_dataset("folder", folder)
    assert data.background is None
    assert data[0].regions().classes.tolist() == [0, 1, 2]


def test_more_than_256_classes(folder):
    write_lines(
        folder / "classes.txt", *(f"class {chr(97 + i % 26) * (i + 1)}" for i in range(300))
    )
    ids = np.full(SHAPE, 255)
    ids[0, 0], ids[1, 1] = 299, 65535
    for name in "ab":
        write_grey(folder / "labels" / f"{name}.png", ids)
    semantic = load_dataset("folder", folder)[0].semantic()
    assert np.array_equal(semantic, np.where(ids == 65535, -1, ids))


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda f: (f / "classes.txt").unlink(), r"classes\.txt: is missing; write one class"),
        (lambda f: (f / "classes.txt").write_text(""), r"classes\.txt: is empty"),
        (lambda f: (f / "classes.txt").write_text(", x\n"), r"the line ', x' names no class"),
        (lambda f: (f / "classes.txt").write_text("a\nb\na\n"), r"class 'a' is there twice"),
        (lambda f: (f / "labels").rename(f / "masks"), r"labels: no such folder"),
        (lambda f: (f / "labels" / "a.png").unlink(), r"a\.jpg: has no mask named a in .*labels"),
        (lambda f: write_image(f / "images" / "a.png"), r"a\.png: a\.jpg beside it has the same"),
        (
            lambda f: [p.unlink() for p in (f / "images").iterdir()],
            r"images: holds no file ending in \.jpg, ",
        ),
    ],
)
def test_says_what_is_wrong(folder, break_it, words):
    break_it(folder)
    with pytest.raises(UsageError, match=words):
        load_dataset("folder", folder)


def test_check_finds_a_class_beyond_the_list(folder):
    write_lines(folder / "classes.txt", "background", "dog")
    data = load_dataset("folder", folder)
    with pytest.raises(ZeroguideError, match=r"a\.png: holds the class id 2, which this data set"):
        data.check()


def test_no_folder(tmp_path):
    with pytest.raises(UsageError, match=r"gone: no such folder; name one with images/"):
        load_dataset("folder", tmp_path / "gone")
