"""What is in a folder, a pattern or an archive and isn't read is said, once; links are followed."""

from __future__ import annotations

import tarfile
from collections import Counter
from pathlib import Path

import pytest

from zeroguide.errors import UsageError
from zeroguide.image import kinds as image_kinds
from zeroguide.runs.sources import find_images

from .making import items, keys, made, packed, refusal

PHOTOS = ("1.JXL", "2.cr2", "a/3.NEF", "a/4.dng", "a/5.arw", "6.psd", "7.svg", "8.pdf", "9.mov")
SAID = (
    "left out, as they can't be read: 1 JPEG XL photo (convert to PNG or JPEG), 4 raw photos "
    "(export as TIFF or JPEG), 1 layered picture (export as PNG or TIFF), 1 drawing (export as "
    "PNG), 1 document (export its pages as PNG), 1 video (use `zeroguide video`)"
)


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def folder(top: str) -> None:
    made(Path(top), "x.jpg", *PHOTOS, "notes.txt", "README", ".hidden.cr2", ".git/9.cr2")


@pytest.mark.parametrize("given", ["p", "p/**", "p/**/*"])
def test_photos_that_cannot_be_read_are_counted(given: str) -> None:
    folder("p")
    notes: list[str] = []
    assert keys(given, notes=notes) == ["x.jpg"]
    assert sorted(notes[0].split(", ")) == sorted(SAID.split(", "))
    assert len(notes) == 1


def test_once_for_several_inputs_and_for_lists_of_files() -> None:
    folder("p")
    folder("q")
    notes: list[str] = []
    assert keys("p", "q", notes=notes) == ["p/x.jpg", "q/x.jpg"]
    assert len(notes) == 1
    assert "8 raw photos" in notes[0]
    notes.clear()
    paths = [Path("p"), Path("q")]
    assert find_images(paths, Path("out"), notes.append) == [Path("p/x.jpg"), Path("q/x.jpg")]
    assert len(notes) == 1
    assert "8 raw photos (export as TIFF or JPEG)" in notes[0]


def test_what_a_pattern_does_not_name_is_not_counted() -> None:
    folder("p")
    notes: list[str] = []
    assert keys("p/*.jpg", notes=notes) == ["x.jpg"]
    assert notes == []


@pytest.mark.parametrize("name", ["p.tar", "p.tar.gz"])
def test_archives(name: str) -> None:
    members = dict.fromkeys(("x.jpg", *PHOTOS, "x.txt", ".t/8.cr2"), b"1")
    packed(Path(name), members, "w:gz" if name.endswith("gz") else "w")
    notes: list[str] = []
    assert keys(name, notes=notes) == [f"{name}/x.jpg"]
    assert sorted(notes[0].split(", ")) == sorted(SAID.split(", "))
    assert items(name) and [item.read() for item in items(name)] == [b"1"]


@pytest.mark.parametrize("name", ["p.tar", "p.tar.gz"])
def test_links_in_archives(name: str) -> None:
    with tarfile.open(name, "w:gz" if name.endswith("gz") else "w") as tar:
        made(Path(), "x.jpg")
        tar.add("x.jpg")
        for kind, link in ((tarfile.LNKTYPE, "y.jpg"), (tarfile.SYMTYPE, "z.jpg")):
            info = tarfile.TarInfo(link)
            info.type, info.linkname = kind, "x.jpg"
            tar.addfile(info)
    notes: list[str] = []
    assert keys(name, notes=notes) == [f"{name}/x.jpg"]
    assert notes == [f"{name}: 2 links in the archive are left out"]


def test_nothing_else_there() -> None:
    made(Path("p"), "1.cr2", "2.cr2")
    expected = (
        "p: has no image in it, only 2 raw photos (export as TIFF or JPEG); name a folder with "
        "images or image files"
    )
    assert refusal("p") == expected
    assert refusal("p/*").startswith("p/*: matches no image, only 2 raw photos (export")
    with pytest.raises(UsageError) as caught:
        find_images([Path("p")], Path("out"), lambda text: None)
    assert str(caught.value) == expected
    packed(Path("p.tar"), {"1.cr2": b"1"})
    assert refusal("p.tar").startswith("p.tar: has no image in it, only 1 raw photo (export")


def test_heic_is_an_image_where_its_reader_is(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pillow_heif")
    made(Path("p"), "1.heic", "2.HEIF", "x.jpg", "1.heic.png")
    assert keys("p") == ["1.heic", "2.HEIF", "x.jpg"]
    monkeypatch.setattr(image_kinds, "find_spec", lambda name: None)
    kind = image_kinds.kind_of_name("1.heic")
    assert kind is image_kinds.HEIF
    assert image_kinds.told(Counter({kind: 2})) == (
        "left out, as they can't be read: 2 HEIC photos (needs `pip install 'zeroguide[heif]'`)"
    )
    assert image_kinds.kind_of_name("x.avif") is image_kinds.AVIF
    assert image_kinds.kind_of_name("x.jpg") is None
    assert image_kinds.kind_of_name(".cr2") is None


# Links to folders ---------------------------------------------------------------------------------


def linked(path: str, to: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).symlink_to(Path(to).absolute(), target_is_directory=True)


def both(top: str) -> list[str]:
    """The keys, which `find_images` finds, too."""
    found = keys(top)
    images = find_images([Path(top)], Path("out"), lambda text: None)
    assert [str(path) for path in images] == [f"{top}/{key}" for key in found]
    return found


def test_linked_folders_are_searched() -> None:
    made(Path(), "p/x.jpg", "disk/y.jpg", "disk/deep/z.jpg")
    linked("p/more", "disk")
    assert both("p") == ["more/deep/z.jpg", "more/y.jpg", "x.jpg"]
    assert keys("p/**/*.jpg") == ["more/deep/z.jpg", "more/y.jpg", "x.jpg"]
    assert keys("p/m*/*.jpg") == ["more/y.jpg"]


def test_a_folder_is_searched_once_under_its_own_name() -> None:
    made(Path(), "p/real/x.jpg")
    linked("p/a", "p/real")
    linked("p/z", "p/real")
    assert both("p") == ["real/x.jpg"]
    assert keys("p/*/x.jpg") == ["real/x.jpg"]
    assert keys("p/[az]/x.jpg") == ["a/x.jpg"]  # the pattern doesn't name the real one


def test_a_folder_outside_is_searched_once() -> None:
    made(Path(), "p/x.jpg", "disk/y.jpg", "disk/deep/z.jpg")
    linked("p/1", "disk/deep")
    linked("p/2", "disk")
    linked("p/3", "disk")
    linked("p/4", "disk/deep")
    assert both("p") == ["1/z.jpg", "2/y.jpg", "x.jpg"]


@pytest.mark.parametrize("to", ["p", "p/a", "."])
def test_loops_end_and_are_said(to: str) -> None:
    made(Path(), "p/a/x.jpg")
    linked("p/a/loop", to)
    notes: list[str] = []
    assert keys("p", notes=notes) == ["a/x.jpg"]
    assert notes == ["p: 1 linked folders that lead back to a folder around them are left out"]


def test_loops_over_two_folders_end() -> None:
    made(Path(), "p/x.jpg", "disk/y.jpg", "other/z.jpg")
    linked("p/disk", "disk")
    linked("disk/other", "other")
    linked("other/disk", "disk")
    linked("other/p", "p")
    assert both("p") == ["disk/other/z.jpg", "disk/y.jpg", "x.jpg"]


def test_results_are_not_found_by_a_link() -> None:
    made(Path(), "p/x.jpg", "out/y.jpg")
    linked("p/results", "out")
    assert keys("p", output="out") == ["x.jpg"]
    assert find_images([Path("p")], Path("out"), lambda text: None) == [Path("p/x.jpg")]
