"""Files, folders and glob patterns as a lazy series of items."""

from __future__ import annotations

import glob
import os
import pickle
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroguide.errors import UsageError
from zeroguide.runs.sources import find_images
from zeroguide.runs.sources.walk import braces, split_pattern

from .making import failure, items, keys, made, refusal


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_keys_are_relative_to_the_common_parent_of_the_inputs():
    made(Path(), "p/a/x.jpg", "p/b/x.jpg", "p/b/x.png", "p/b/c/x.jpg")
    assert keys("p") == ["a/x.jpg", "b/c/x.jpg", "b/x.jpg", "b/x.png"]
    assert keys("p/a", "p/b") == ["a/x.jpg", "b/c/x.jpg", "b/x.jpg", "b/x.png"]
    assert keys("p/b/x.png", "p/a") == ["b/x.png", "a/x.jpg"]
    assert keys("p/b/x.png") == ["x.png"]
    # not the common parent of what was found: a file more would change all keys
    assert keys("p/b/c") == ["x.jpg"]
    made(Path(), "q/deep/x.jpg")
    assert keys("q") == ["deep/x.jpg"]


def test_the_working_directory_and_absolute_paths(tmp_path: Path):
    made(Path(), "x.jpg", "p/y.jpg")
    assert [item.name for item in items(".")] == ["p/y.jpg", "x.jpg"]
    assert keys(".") == keys(str(tmp_path)) == keys("p/..") == ["p/y.jpg", "x.jpg"]
    (item,) = items(str(tmp_path / "x.jpg"))
    assert (item.name, item.path) == (f"{tmp_path}/x.jpg", tmp_path / "x.jpg")


def test_items_work_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made(Path(), "p/x.jpg")
    (item,) = items("p")
    copy = pickle.loads(pickle.dumps(item))
    monkeypatch.chdir("/")
    assert copy == item
    assert copy.read() == b"p/x.jpg"
    assert (copy.key, copy.name, copy.path) == ("x.jpg", "p/x.jpg", tmp_path / "p/x.jpg")


def test_roots_lead_to_the_pictures(tmp_path: Path):
    made(Path(), "p/a/x.jpg", "p/b/y.jpg")
    found = items("p/a", "p/b/y.jpg")
    assert found.roots == [tmp_path / "p"]
    for item in found:
        assert item.path is not None
        assert (found.roots[0] / item.key).samefile(item.path)


def test_hidden_files_links_and_results():
    made(Path(), "p/b.JPG", "p/a/z.png", "p/notes.txt", "p/.hidden.png", "p/.git/x.png", "p/png")
    made(Path(), "p/b.JPG.png", "p/out/c.jpg", "elsewhere/d.jpg")
    Path("p/loop").symlink_to("..", target_is_directory=True)
    Path("p/self").symlink_to("self")
    Path("p/self.jpg").symlink_to("self.jpg")
    Path("p/folder.jpg").symlink_to("../elsewhere", target_is_directory=True)
    Path("p/linked.jpg").symlink_to("../elsewhere/d.jpg")
    notes: list[str] = []
    found = keys("p", output="p/out", notes=notes)
    assert found == ["a/z.png", "b.JPG", "folder.jpg/d.jpg", "linked.jpg", "self.jpg"]
    assert sorted(notes) == [
        "p: 1 files named like results (photo.jpg.png) are left out",
        "p: 1 linked folders that lead back to a folder around them are left out",
    ]
    broken = {item.key: item for item in items("p", output="p/out")}["self.jpg"]
    assert "p/self.jpg: can't be opened" in failure(broken)
    # what is named itself is meant
    assert keys("p/b.JPG.png") == ["b.JPG.png"]


def test_an_earlier_run_in_the_folder():
    made(Path(), "p/x.jpg", "p/exports/x.png", "q/x.jpg", "q/exports/x.png")
    Path("p/run.json").write_text('{"schema": "zeroguide-run/1"}')
    Path("q/run.json").write_text('{"distance": 5}')
    assert keys("p") == ["x.jpg"]
    assert keys("q") == ["exports/x.png", "x.jpg"]


def test_the_order_is_that_of_the_list():
    made(Path(), "p/b/1.jpg", "p/b.jpg", "p/b-1.jpg", "p/a.jpg", "p/B.jpg", "p/ä.jpg", "p/10.jpg")
    listed = find_images([Path("p")], Path("out"), print)
    assert [item.name for item in items("p")] == [str(path) for path in listed]


def test_the_same_file_twice_is_there_once(tmp_path: Path):
    made(Path(), "p/a.png", "p/b.png")
    twice = ["p/b.png", "p", "p/../p/a.png", str(tmp_path / "p"), "p/*.png"]
    assert [item.name for item in items(*twice)] == ["p/b.png", "p/a.png"]
    assert keys(*twice) == ["b.png", "a.png"]


@given(
    names=st.sets(
        st.binary(min_size=1, max_size=20).filter(lambda name: not set(b"/\0") & set(name)),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=30, deadline=None)
def test_any_names(tmp_path_factory: pytest.TempPathFactory, names: set[bytes]):
    folder = tmp_path_factory.mktemp("names")
    expected = 0
    for i, name in enumerate(names):
        try:
            (folder / os.fsdecode(name + b".jpg")).write_bytes(name)
        except OSError:
            continue  # a file system of UTF-8 names
        expected += not name.startswith(b".")
        made(folder, f"valid-{i}.jpg")
    found = list(items(str(folder)))
    own = [item for item in found if not item.key.startswith("valid-")]
    assert len({item.key for item in found}) == len(found)
    assert len({item.read() for item in own}) == len(own) == expected
    for item in found:
        assert item.key.encode().decode() == item.key
        assert pickle.loads(pickle.dumps(item)) == item


def test_a_name_that_is_no_utf8_next_to_one_that_looks_alike():
    for name in (
        b"caf\xe9.jpg",
        "caf\ufffd.jpg".encode(),
        "caf\ufffdE9.jpg".encode(),
        b"a\nb c.jpg",
    ):
        Path(os.fsdecode(name)).write_bytes(name)
    found = {item.key: item.read() for item in items(".")}
    assert len(found) == 4
    assert found["caf\ufffdE9.jpg"] == b"caf\xe9.jpg"
    assert found["a\nb c.jpg"] == b"a\nb c.jpg"


def test_ten_thousand_files_in_a_folder():
    Path("p").mkdir()
    for i in range(10_000):
        Path(f"p/{i:05d}.jpg").touch()
    found = items("p")
    assert [item.key for item in found] == [f"{i:05d}.jpg" for i in range(10_000)]
    # one look costs one folder's names, not an item for each file
    tracemalloc.start()
    for _ in found:
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000


def test_folders_are_looked_into_when_it_is_their_turn():
    made(Path(), "p/a/1.jpg", "p/b/1.jpg")
    series = iter(items("p"))
    assert next(series).key == "a/1.jpg"
    made(Path(), "p/b/2.jpg")
    assert [item.key for item in series] == ["b/1.jpg", "b/2.jpg"]


def test_what_vanishes_is_one_failure():
    made(Path(), "p/a/1.jpg", "p/b/1.jpg", "p/c/1.jpg")
    series = iter(items("p"))
    first = next(series)
    Path("p/a/1.jpg").unlink()
    Path("p/b/1.jpg").unlink()
    Path("p/b").rename("p/gone")
    assert failure(first) == "p/a/1.jpg: no such file; check the path."
    found = list(series)
    assert [item.key for item in found] == ["b", "c/1.jpg"]
    assert failure(found[0]) == "p/b: no such file or folder; check the path"


def test_a_folder_without_permission(monkeypatch: pytest.MonkeyPatch):
    made(Path(), "p/locked/1.jpg", "p/x.jpg")
    scandir = os.scandir

    def denied(path: str) -> object:
        if path.endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)  # root may read everything
    found = list(items("p"))
    assert [item.key for item in found] == ["locked", "x.jpg"]
    expected = "p/locked: can't be read (permission denied); make it readable"
    assert failure(found[0]) == expected
    assert refusal("p/locked") == expected


def test_nothing_in_it():
    made(Path(), "p/notes.md", "r/x.jpg.png", "out/x.jpg")
    assert refusal("p") == "p: has no image in it; name a folder with images or image files"
    assert "only files named like results" in refusal("r")
    assert refusal("p/*.jpg") == "p/*.jpg: matches no image; check the pattern"
    assert refusal() == "there is nothing to label; name an image or a folder"
    # a file is looked at when it is read, so that it is one failure of many
    (item,) = items("missing.jpg")
    assert failure(item) == "missing.jpg: no such file; check the path."


def test_collisions_are_named():
    made(Path(), "list/other.txt", "list/data/x.jpg")
    outside = Path("list").absolute().parent
    Path("list/other.txt").write_text(f"{outside}/away/x.jpg\n")
    made(Path("list", *(outside / "away").parts[1:]), "x.jpg")
    made(Path(), "away/x.jpg")
    with pytest.raises(UsageError) as caught:
        list(items("list", "list/other.txt"))
    key = str(outside / "away/x.jpg")[1:]
    assert str(caught.value).startswith(
        f"{outside}/away/x.jpg and list/{key} would both be {key} in the results; "
    )


# Patterns -----------------------------------------------------------------------------------------


TREE = ["a.jpg", "b.png", "s/a.jpg", "s/t/a.jpg", "s/t/.h.jpg", ".h/a.jpg", "v/[x].jpg", "v/x.jpg"]


@pytest.mark.parametrize(
    "pattern",
    ["*.jpg", "**/*.jpg", "s/**/*.jpg", "*/a.jpg", "**/t/*.jpg", "**/a.*", "?/[!x].jpg",
     "s/**/**/a.jpg", "**/.h.jpg", ".*/*.jpg", "v/[[]x].jpg", "./s/*.jpg"],
)  # fmt: skip
def test_patterns_match_what_the_standard_library_matches(pattern: str):
    made(Path("p"), *TREE)
    expected = {os.path.normpath(name) for name in glob.glob(f"p/{pattern}", recursive=True)}
    if not expected:
        assert "matches no image" in refusal(f"p/{pattern}")
        return
    found = list(items(f"p/{pattern}"))
    assert len(found) == len(expected)
    assert {os.path.normpath(item.name) for item in found} == expected
    root = os.path.normpath("p/" + split_pattern(pattern)[0])
    assert {os.path.join(root, item.key) for item in found} == expected


def test_keys_of_a_pattern():
    made(Path("p"), *TREE)
    assert keys("p/**/*.jpg") == ["a.jpg", "s/a.jpg", "s/t/a.jpg", "v/[x].jpg", "v/x.jpg"]
    assert keys("p/s/*") == ["a.jpg", "t/a.jpg"]  # a folder that matches is searched
    assert keys("p/s/*.jpg", "p/v/*.jpg") == ["s/a.jpg", "v/[x].jpg", "v/x.jpg"]
    assert keys("p/v/[x].jpg") == ["[x].jpg"]  # a file of that name goes before the pattern
    assert keys(os.path.abspath("p/*.jpg")) == ["a.jpg"]
    assert split_pattern("/*/x.jpg") == ("/", ("*", "x.jpg"))
    assert split_pattern("*.jpg") == ("", ("*.jpg",))


def test_braces():
    assert list(braces("s-{08..11}.tar")) == [f"s-{i:02d}.tar" for i in range(8, 12)]
    assert list(braces("{0..10}")) == [str(i) for i in range(11)]
    assert list(braces("{2..1}{a,}")) == ["2a", "2", "1a", "1"]
    assert list(braces("{x}")) == ["{x}"]
    made(Path(), "{1..2}.jpg", "b1.jpg", "b3.jpg")
    assert keys("{1..2}.jpg") == ["{1..2}.jpg"]
    assert keys("b{1,3}.jpg") == ["b1.jpg", "b3.jpg"]
    assert refusal("b{1..3}.jpg") == (
        "b2.jpg: no such file, but b{1..3}.jpg stands for it; check the name"
    )
