from __future__ import annotations

import errno
import importlib.util
import os
import signal
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroguide.cli import main
from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.result.entry import Entry
from zeroguide.result.formats import coco
from zeroguide.result.formats.base import Run, ending, one_line, row_runs, stems
from zeroguide.result.formats.registry import FORMATS, export

from .reading import READERS
from .runs import ListRun, labelled, segments, shapes_run

HAS_PYARROW = importlib.util.find_spec("pyarrow") is not None
POSSIBLE = [name for name, each in FORMATS.items() if HAS_PYARROW or each.extra is None]
COLLIDING = ["a/x.jpg", "b/x.jpg", "x.jpg", "x.png", "x.jpg.png", "x", "a/.x", "ü ö/写真 1.jpg"]


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder; a link counts by where it leads."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_stems_keep_endings_only_where_they_are_needed() -> None:
    assert stems(COLLIDING) == {
        "a/x.jpg": "a/x",
        "b/x.jpg": "b/x",
        "x.jpg": "x.jpg",
        "x.png": "x.png",
        "x.jpg.png": "x.jpg.png",  # "x.jpg" is another image
        "x": "x",
        "a/.x": "a/.x",
        "ü ö/写真 1.jpg": "ü ö/写真 1",
    }
    assert stems(["X.jpg", "x.png"]) == {"X.jpg": "X.jpg", "x.png": "x.png"}


@given(st.lists(st.text("aA./", min_size=1, max_size=6), unique_by=str.casefold))
def test_no_two_images_share_a_stem(keys: list[str]) -> None:
    found = [stem.casefold() for stem in stems(keys).values()]
    assert len(set(found)) == len(found)


def test_endings() -> None:
    assert [ending(key) for key in ("a.b/c.JPG", "a.b/c", "a/.c", "a.tar.gz")] == [
        ".JPG",
        "",
        "",
        ".gz",
    ]


def test_row_runs_begin_outside() -> None:
    mask = np.array([[0, 1, 1], [1, 0, 0]], bool)
    assert row_runs(mask) == [1, 3, 2]
    assert row_runs(~mask) == [0, 1, 3, 2]
    assert row_runs(np.ones((2, 2), bool)) == [0, 4]


def test_labels_in_lines() -> None:
    assert [one_line(label) for label in ("a\nb ", "\t", "c d")] == ["a b", "unnamed", "c d"]


@pytest.mark.parametrize("name", ["labelme", "masks", "coco-panoptic", "yolo"])
def test_images_of_one_name_get_files_of_their_own(name: str, tmp_path: Path) -> None:
    maps = [np.arange(100).reshape(10, 10) < i for i in range(1, 1 + len(COLLIDING))]
    run = ListRun(
        [labelled(key, m, tmp_path / "photos") for key, m in zip(COLLIDING, maps, strict=True)]
    )
    export(run, [name], tmp_path)
    ends = {"labelme": ".json", "masks": ".png", "coco-panoptic": ".png", "yolo": ".txt"}
    written = {path for path in files(tmp_path / name) if path.endswith(ends[name])}
    written -= {"panoptic.json", "data.yaml"} | {p for p in written if p.startswith("images/")}
    assert len(written) == len(COLLIDING)
    if name == "coco-panoptic":
        found = READERS[name][1](tmp_path / name, run)
        for entry in run:
            for (_, mask), (_, read) in zip(segments(entry), found[entry.key], strict=True):
                assert np.array_equal(mask, read)
    if name == "masks":
        for entry in run:
            path = tmp_path / "masks" / (stems(COLLIDING)[entry.key] + ".png")
            with PIL.Image.open(path) as image:
                assert np.array_equal(np.asarray(image), entry.labeling.label_map)
    if name == "yolo":  # the photo beside each text file is the image it was made for
        shown = {}
        for link in (tmp_path / "yolo" / "images").rglob("*.*"):
            shown[link.stat().st_ino] = link.relative_to(tmp_path / "yolo" / "images")
        photos = [tmp_path / "photos" / key for key in COLLIDING]
        assert sorted(shown) == sorted(photo.stat().st_ino for photo in photos)
        assert {f"labels/{link.with_suffix('.txt')}" for link in shown.values()} == written


@pytest.mark.parametrize("name", POSSIBLE)
def test_an_export_is_the_same_every_time(name: str, tmp_path: Path) -> None:
    run = shapes_run(tmp_path / "photos")
    export(run, [name], tmp_path / "out")
    first = files(tmp_path / "out")
    export(run, [name], tmp_path / "out", overwrite=True)
    assert files(tmp_path / "out") == first
    assert os.listdir(tmp_path / "out") == [name]


class Watched(ListRun):
    """Entries made anew at every reading; it knows how many Labelings live at once."""

    most = 0

    def __iter__(self) -> Iterator[Entry]:
        self.readings += 1
        alive: list[weakref.ref[object]] = []
        for i in range(30):
            entry = labelled(f"{i:03d}.png", np.arange(100).reshape(10, 10) // (30 + i % 5))
            alive.append(weakref.ref(entry.labeling))
            self.most = max(self.most, sum(each() is not None for each in alive))
            yield entry
            del entry

    def keys(self) -> list[str]:
        return [f"{i:03d}.png" for i in range(30)]


@pytest.mark.parametrize("name", POSSIBLE)
def test_images_are_read_one_at_a_time_and_at_most_twice(name: str, tmp_path: Path) -> None:
    run = Watched([])
    export(run, [name], tmp_path)
    assert run.readings <= 2
    assert run.most <= 2


def test_formats_share_the_search_for_labels(tmp_path: Path) -> None:
    run = ListRun([labelled("a.png", np.eye(9, dtype=int))])
    export(run, ["coco", "coco-panoptic", "cvat"], tmp_path)
    assert run.readings == 4  # one for the labels, one for each format


class Interrupted(ListRun):
    """A run that fails on the way."""

    def __init__(self, error: BaseException) -> None:
        super().__init__([labelled(f"{i}.png", np.eye(9, dtype=int)) for i in range(5)])
        self.error = error

    def __iter__(self) -> Iterator[Entry]:
        yield from self.entries[:3]
        raise self.error


@pytest.mark.parametrize("name", POSSIBLE)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), ZeroguideError("3.png: is damaged")])
def test_a_failed_export_leaves_nothing(name: str, error: BaseException, tmp_path: Path) -> None:
    with pytest.raises(type(error)):
        export(Interrupted(error), [name], tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_failed_export_keeps_the_last_one(tmp_path: Path) -> None:
    run = shapes_run()
    export(run, ["masks"], tmp_path)
    before = files(tmp_path)
    with pytest.raises(ZeroguideError):
        export(Interrupted(ZeroguideError("damaged")), ["masks"], tmp_path, overwrite=True)
    assert files(tmp_path) == before


KILLED = """
import os, signal, sys
from pathlib import Path
from formats.runs import shapes_run
from zeroguide.result.formats.registry import export
class Killed:
    def __iter__(self):
        for i, entry in enumerate(shapes_run()):
            if i == 4:
                os.kill(os.getpid(), signal.SIGKILL)
            yield entry
    def keys(self):
        return shapes_run().keys()
export(Killed(), ["masks"], Path(sys.argv[1]))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_killed_export_leaves_nothing_that_looks_complete(tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parents[2])])
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == -signal.SIGKILL
    (left,) = os.listdir(tmp_path)
    assert left.startswith(".") and left.endswith(".tmp")
    assert len(files(tmp_path / left)) == 8  # it was killed in the middle
    export(shapes_run(), ["masks"], tmp_path)
    assert os.listdir(tmp_path) == ["masks"]


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(value: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(coco, "to_json", fail)
    with pytest.raises(ZeroguideError, match=r"coco: can't be written \(No space left") as e:
        export(shapes_run(), ["coco"], tmp_path)
    assert "\n" not in str(e.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not HAS_PYARROW, reason="pyarrow isn't installed")
def test_photos_that_have_gone_are_counted(tmp_path: Path) -> None:
    run = shapes_run(tmp_path / "photos")
    for entry in run.entries[:2]:
        assert entry.image is not None
        entry.image.unlink()
    notes: list[str] = []
    export(run, ["hf"], tmp_path / "out", note=notes.append)
    assert len(notes) == 1 and "have gone: 2;" in notes[0]


def test_a_file_in_the_place_of_a_result_is_replaced_only_if_asked(tmp_path: Path) -> None:
    (tmp_path / "coco").write_text("mine")
    with pytest.raises(UsageError, match="already exists"):
        export(shapes_run(), ["coco"], tmp_path)
    assert (tmp_path / "coco").read_text() == "mine"
    export(shapes_run(), ["coco"], tmp_path, overwrite=True)
    assert os.listdir(tmp_path) == ["coco"] and os.listdir(tmp_path / "coco") == ["instances.json"]


@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="nothing is read-only to root")
def test_a_read_only_folder_is_one_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ZeroguideError, match=r"can't be written \(Permission denied"):
        export(shapes_run(), ["coco"], tmp_path)


def test_a_file_in_the_place_of_the_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ZeroguideError, match=r"out: can't be written"):
        export(shapes_run(), ["coco"], tmp_path / "out")


def test_a_label_that_appears_during_the_export_ends_it() -> None:
    run = Run(ListRun([labelled("a.png", np.eye(9, dtype=int))]))
    with pytest.raises(ZeroguideError, match="'new' is new"):
        run.category("new")


def test_an_empty_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ZeroguideError, match="no labelled image"):
        export(ListRun([]), ["coco"], tmp_path)


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run as it lies on disk, its photos gone."""
    for entry in shapes_run():
        path = tmp_path / "run" / f"{entry.key}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        entry.labeling.save(path)
    return tmp_path / "run"


def test_command(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(run_folder), "--format", "coco, masks,labelme"]) == 0
    assert sorted(os.listdir(run_folder / "exports")) == ["coco", "labelme", "masks"]
    said = capsys.readouterr().err
    assert "labelme: photos that aren't known or have gone: 7" in said
    assert f"coco, masks, labelme written to {run_folder / 'exports'}" in said
    assert main(["export", str(run_folder), "--format", "coco"]) == 2
    assert "coco: already exists; replace it with --overwrite" in capsys.readouterr().err
    assert main(["export", str(run_folder), "--format", "coco", "--overwrite", "-q"]) == 0
    assert capsys.readouterr().err == ""


def test_command_lists_formats(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--format", "list"]) == 0
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()] == [
        "json",
        *FORMATS,
    ]


def test_unknown_formats_are_refused_before_anything_is_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["export", "nowhere", "--format", "coco,labelm"]) == 2
    error = capsys.readouterr().err
    assert "unknown --format 'labelm'" in error and "labelme" in error


def test_a_missing_dependency_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"pip install 'zeroguide\[parquet\]'"):
        export(shapes_run(), ["parquet"], tmp_path)
    assert os.listdir(tmp_path) == []
