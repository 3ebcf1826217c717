"""Folders, lists and masks as files: found, paired, or refused with one sentence."""

import numpy as np
import PIL.Image
import pytest
import scipy.io

from readers.writing import write_grey, write_image, write_lines, write_palette
from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.evaluate.datasets.files import (
    files_by_stem,
    find_root,
    first_folder,
    image_size,
    read_lines,
    read_mat,
    require_files,
)
from zeroguide.evaluate.datasets.masks import paired_entries
from zeroguide.image import open_image
from zeroguide.image.ids import read_colours, read_ids


@pytest.mark.parametrize("below", ["", "VOC2012", "VOCdevkit/VOC2012"])
def test_find_root_looks_two_levels_down(tmp_path, below):
    (tmp_path / below / "masks").mkdir(parents=True)
    assert find_root(tmp_path, ["other", "masks"], "a shop") == tmp_path / below


def test_find_root_says_what_it_missed(tmp_path):
    (tmp_path / "a/b/c/masks").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"no masks or truths in it; get the data from a shop"):
        find_root(tmp_path, ["masks", "truths"], "a shop")
    with pytest.raises(UsageError, match=r"nowhere: no such folder; get the data from a shop"):
        find_root(tmp_path / "nowhere", ["masks"], "a shop")


def test_first_folder(tmp_path):
    (tmp_path / "second").mkdir()
    assert first_folder(tmp_path, ["first", "second"], "a shop") == tmp_path / "second"
    with pytest.raises(UsageError, match=r"third: no such folder; get the data from a shop"):
        first_folder(tmp_path, ["third"], "a shop")


def test_files_by_stem_sorts_and_skips(tmp_path):
    for name in ("b.JPG", "a.png", "notes.txt", ".c.png"):
        (tmp_path / name).touch()
    assert list(files_by_stem(tmp_path)) == ["a", "b"]


def test_two_files_for_one_image(tmp_path):
    for name in ("a.jpg", "a.png"):
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match=r"a\.png: a\.jpg beside it has the same name; keep one"):
        files_by_stem(tmp_path)


def test_empty_and_missing_folders(tmp_path):
    with pytest.raises(UsageError, match=r"holds no file ending in \.png; check"):
        files_by_stem(tmp_path, [".png"])
    with pytest.raises(UsageError, match=r"gone: no such folder"):
        files_by_stem(tmp_path / "gone")


def test_paired_entries(tmp_path):
    images, masks = tmp_path / "images", tmp_path / "masks"
    write_image(images / "b.jpg")
    write_image(images / "a.png")
    for name in ("a_L", "b_L", "c_L", "b"):
        write_grey(masks / f"{name}.png", np.zeros((2, 2)))
    entries = paired_entries(images, masks, mask_suffix="_L")
    assert [(entry.name, entry.truth) for entry in entries] == [
        ("a", masks / "a_L.png"),
        ("b", masks / "b_L.png"),
    ]
    write_image(images / "d.jpg")
    write_grey(masks / "d.png", np.zeros((2, 2)))
    with pytest.raises(UsageError, match=r"d\.jpg: has no mask named d in .*masks; add it or"):
        paired_entries(images, masks, mask_suffix="_L")


def test_require_files_lists_each_folder_once(tmp_path, monkeypatch):
    paths = [write_lines(tmp_path / f"{i}.txt", "x") for i in range(20)]
    listed = []
    from zeroguide.evaluate.datasets import files

    real = files.os.listdir
    monkeypatch.setattr(files.os, "listdir", lambda path: listed.append(path) or real(path))
    require_files(paths, "a shop")
    assert listed == [tmp_path]


def test_read_lines(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes("\ufeffone \r\n two\n\r\n \n".encode())
    assert read_lines(path, "a shop") == ["one", "two"]
    for text, number in (("one\n\ntwo\n", 2), ("\none\n", 1), ("one\ntwo\n \t\n\nfive\n\n", 3)):
        path.write_text(text)
        with pytest.raises(UsageError, match=rf"list\.txt: line {number} is blank"):
            read_lines(path, "a shop")
    path.write_text("\n\n")
    with pytest.raises(UsageError, match=r"list\.txt: is empty"):
        read_lines(path, "a shop")
    with pytest.raises(UsageError, match=r"gone\.txt: is missing; get it from a shop"):
        read_lines(tmp_path / "gone.txt", "a shop")
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ZeroguideError, match=r"list\.txt: can't be read as text"):
        read_lines(path, "a shop")


def test_image_size_is_that_of_the_upright_picture(tmp_path):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.jpg"
    PIL.Image.new("RGB", (30, 20)).save(path, exif=exif)
    assert image_size(path) == open_image(path).pixels.shape[:2] == (30, 20)
    path = write_image(tmp_path / "plain.png", (5, 9))
    assert image_size(path) == (5, 9)


def test_ids_survive_every_format(tmp_path):
    ids = np.array([[0, 1, 200], [255, 3, 0]])
    for path in (
        write_grey(tmp_path / "grey.png", ids),
        write_palette(tmp_path / "palette.png", ids),
        write_grey(tmp_path / "grey.tif", ids),
    ):
        assert read_ids(path).tolist() == ids.tolist(), path
    wide = np.array([[0, 846], [65535, 3]])
    for path in (write_grey(tmp_path / "w.png", wide), write_grey(tmp_path / "w.tif", wide)):
        assert read_ids(path).tolist() == wide.tolist(), path
    bits = tmp_path / "bits.png"
    PIL.Image.fromarray(np.array([[True, False]])).save(bits)
    assert read_ids(bits).tolist() == [[1, 0]]


def test_ids_and_colours_are_not_mixed_up(tmp_path):
    colour = write_grey(tmp_path / "colour.png", np.zeros((2, 3, 3)))
    grey = write_grey(tmp_path / "grey.png", np.zeros((2, 3)))
    with pytest.raises(ZeroguideError, match=r"colour\.png: is a colour picture, not a mask"):
        read_ids(colour)
    with pytest.raises(ZeroguideError, match=r"grey\.png: is a grey picture where colours"):
        read_colours(grey)
    with pytest.raises(ZeroguideError, match=r"gone\.png: is missing"):
        read_ids(tmp_path / "gone.png")


@pytest.mark.parametrize("values", [np.full((2, 3), 1.5), np.ones((2, 3)), np.full((2, 3), -2)])
def test_fractions_and_negative_numbers_are_no_ids(tmp_path, values):
    path = tmp_path / "mask.tif"
    kind = np.float32 if values.dtype.kind == "f" else np.int32
    PIL.Image.fromarray(values.astype(kind)).save(path)
    with pytest.raises(ZeroguideError, match=r"mask\.tif: holds numbers that are no class ids"):
        read_ids(path)


def test_colours_drop_alpha_and_resolve_palettes(tmp_path):
    rgba = np.zeros((2, 2, 4))
    rgba[..., 0], rgba[..., 3] = 9, 255
    expected = [[[9, 0, 0]] * 2] * 2
    assert read_colours(write_grey(tmp_path / "rgba.png", rgba)).tolist() == expected
    palette = tmp_path / "palette.png"
    PIL.Image.fromarray(rgba[..., :3].astype(np.uint8)).quantize(4).save(palette)
    assert read_colours(palette).tolist() == expected


def test_read_mat(tmp_path):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"LabelMap": np.array([[1, 459]], dtype=np.uint16)})
    assert read_mat(path, "LabelMap").tolist() == [[1, 459]]
    with pytest.raises(ZeroguideError, match=r"a\.mat: has no variable other"):
        read_mat(path, "other")
    path.write_bytes(b"no MATLAB")
    with pytest.raises(ZeroguideError, match=r"a\.mat: is not a readable MATLAB file"):
        read_mat(path, "LabelMap")
    with pytest.raises(ZeroguideError, match=r"gone\.mat: is missing"):
        read_mat(tmp_path / "gone.mat", "LabelMap")
