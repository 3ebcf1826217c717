"""Odd photos through the whole command line, with a stand-in for the models."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import fake_labeler
import numpy as np
import PIL.Image
import pytest
from fake_labeler import FakeLabeler

from zeroguide.cli import main
from zeroguide.image import open_image
from zeroguide.recipe import load_recipe
from zeroguide.result import Labeling
from zeroguide.result.pixels import read_pixels
from zeroguide.runs.run_folder import RunFolder
from zeroguide.runs.search.sources import Sources

ODD = os.fsdecode(b"caf\xe9.jpg")
KEY = "caf\ufffdE9.jpg"


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(sys.modules, "zeroguide.labeler", fake_labeler.module())
    monkeypatch.setitem(sys.modules, "zeroguide.segmenter", fake_labeler.module())
    monkeypatch.setattr("zeroguide.models.prepare", lambda checkpoints, offline: None)
    monkeypatch.setattr(FakeLabeler, "made", [])
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    return tmp_path


def run(command: str, *argv: str) -> int:
    return main([command, *argv, "-o", "out", "--preset", "tiny", "--device", "cpu"])


# Photos that can't be read ------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["label", "segment"])
def test_photos_that_cannot_be_read_are_said_once(
    command: str, capsys: pytest.CaptureFixture
) -> None:
    PIL.Image.new("RGB", (9, 6)).save("in/x.png")
    for name in ("a.cr2", "b.nef", "c.jxl"):
        Path("in", name).touch()
    assert run(command, "in") == 0
    said = (
        "note: left out, as they can't be read: 2 raw photos (export as TIFF or JPEG), 1 JPEG XL "
        "photo (convert to PNG or JPEG)."
    )
    lines = capsys.readouterr().err.splitlines()
    assert sum(line.startswith("note: left out") for line in lines) == 1
    assert said in lines or sorted(said) == sorted(next(x for x in lines if "left out" in x))


def test_a_list_fails_photos_that_cannot_be_read(capsys: pytest.CaptureFixture) -> None:
    PIL.Image.new("RGB", (9, 6)).save("in/x.png")
    Path("in/b.raf").write_bytes(b"FUJIFILMCCD-RAW 0201")
    Path("list.txt").write_text("in/x.png\nin/b.raf\n")
    assert run("label", "list.txt") == 3
    expected = "error: in/b.raf: is a raw photo, which can't be read; export as TIFF or JPEG."
    assert expected in capsys.readouterr().err


# A range of values --------------------------------------------------------------------------------


def frames() -> None:
    for name, low in (("cold", 1000), ("warm", 3000)):
        values = np.linspace(low, low + 1000, 54).reshape(6, 9).astype(np.uint16)
        PIL.Image.fromarray(values).save(f"in/{name}.png")


@pytest.mark.parametrize("command", ["label", "segment"])
def test_a_range_makes_frames_comparable(
    command: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames()
    seen: dict[str, tuple[int, int]] = {}
    segment = FakeLabeler.segment

    def watched(self: FakeLabeler, image):  # type: ignore[no-untyped-def]
        seen[image.file_name] = int(image.pixels.min()), int(image.pixels.max())
        return segment(self, image)

    monkeypatch.setattr(FakeLabeler, "segment", watched)
    assert run(command, "in", "--value-range", "1000,4000") == 0
    assert seen == {"cold.png": (0, 85), "warm.png": (170, 255)}
    assert "stretched" not in capsys.readouterr().err
    assert FakeLabeler.made[0].image.value_range == (1000, 4000)
    assert main([command, "in", "-o", "own", "--preset", "tiny"]) == 0
    assert seen == {"cold.png": (0, 255), "warm.png": (0, 255)}
    err = capsys.readouterr().err
    assert "in/cold.png: values from 1000 to 2000 stretched to the full range" in err


def test_a_run_keeps_its_range(capsys: pytest.CaptureFixture) -> None:
    frames()
    assert run("label", "in/cold.png", "--value-range=-5,4000.5") == 0
    assert run("label", "in/cold.png", "in/warm.png", "--value-range=-5,4000.5") == 0
    capsys.readouterr()
    assert run("label", "in/cold.png") == 2
    assert "image.value_range [-5.0, 4000.5] -> the default" in capsys.readouterr().err
    labeling = Labeling.load("out/cold.png.json")
    expected = open_image("in/cold.png", (-5, 4000.5)).pixels
    assert np.array_equal(read_pixels(labeling.with_image("in/cold.png")), expected)
    sources = Sources(RunFolder("out"), {"cold.png": Path("in/cold.png")})
    pixels, problem = sources.pixels("cold.png", labeling.sha256)
    assert pixels is not None and problem == ""
    assert np.array_equal(pixels, expected)


@pytest.mark.parametrize("text", ["1", "1,2,3", "a,b", "", "5,5", "9,1", "nan,1", "0,inf"])
def test_wrong_ranges(text: str, capsys: pytest.CaptureFixture) -> None:
    frames()
    assert run("label", "in", f"--value-range={text}") == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "--value-range" in err or "image.value_range" in err
    assert not Path("out").exists()


def test_a_range_in_a_recipe() -> None:
    assert load_recipe("tiny", ["image.value_range=[0, 4095]"]).image.value_range == (0, 4095)
    assert load_recipe("tiny", ["image.value_range=none"]).image.value_range is None


# --format json ------------------------------------------------------------------------------------


def test_json_is_a_format(capsys: pytest.CaptureFixture) -> None:
    PIL.Image.new("RGB", (9, 6)).save("in/x.png")
    assert run("label", "in", "--format", "json") == 0
    said = "note: json: nothing to write, the labels of a run are JSON already."
    assert said in capsys.readouterr().err
    assert Path("out/x.png.json").exists()
    assert not Path("out/exports").exists()
    assert main(["export", "out", "--format", "json,coco"]) == 0
    assert "note: coco written to out/exports." in capsys.readouterr().err
    assert [path.name for path in Path("out/exports").iterdir()] == ["coco"]
    assert main(["export", "--format", "list"]) == 0
    assert "json\t" in capsys.readouterr().out


# Names that aren't UTF-8 --------------------------------------------------------------------------


@pytest.fixture
def odd() -> Path:
    path = Path("in", ODD)
    try:
        PIL.Image.new("RGB", (9, 6), (7, 90, 160)).save(path)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    PIL.Image.new("RGB", (9, 6), (8, 90, 160)).save("in/" + "n" * 245 + ".jpg")
    return path


def test_exports_find_a_photo_whose_name_is_not_utf8(
    odd: Path, capsys: pytest.CaptureFixture
) -> None:
    assert run("label", "in", "--format", "fiftyone,labelme,yolo,coco,cvat,masks,geojson") == 0
    err = capsys.readouterr().err
    assert "gone" not in err and "not found" not in err and "unknown" not in err
    entries = list(RunFolder("out"))
    assert entries[0].key == KEY
    found = [entry.image for entry in entries]
    assert sorted(path.name for path in found if path) == sorted(os.listdir("in"))
    samples = json.loads(Path("out/exports/fiftyone/samples.json").read_text())["samples"]
    assert all(os.path.isfile(sample["filepath"]) for sample in samples)
    assert run("label", "in") == 0
    assert "0 images labelled, 2 were labelled before" in capsys.readouterr().err


def test_search_finds_it_too(odd: Path) -> None:
    assert run("label", "in") == 0
    from zeroguide.runs.search.searcher import Searcher

    searcher = object.__new__(Searcher)
    searcher.run = RunFolder("out")
    assert searcher._image(KEY) == odd.absolute()


def test_search_finds_archives_of_such_names(odd: Path) -> None:
    import tarfile

    archive = os.fsdecode(b"in/\xe9.tar")
    with tarfile.open(archive, "w") as tar:
        tar.add(odd, ODD)
    odd.unlink()
    assert run("label", archive) == 0
    folder = RunFolder("out")
    (key,) = folder.keys()
    assert key == f"\ufffdE9.tar/{KEY}"
    sha256 = next(iter(folder)).labeling.sha256
    pixels, problem = Sources(folder, {key: None}).pixels(key, sha256)
    assert (pixels is not None, problem) == (True, "")


@pytest.mark.parametrize("command", ["label", "segment"])
def test_failures_are_text(command: str, odd: Path, capsys: pytest.CaptureFixture) -> None:
    for path in Path("in").iterdir():
        path.rename("in/x.jpg")
    odd.write_bytes(b"no image")
    assert run(command, "in") == 3
    lines = Path("out/failures.jsonl").read_bytes().decode("ascii").splitlines()
    (failure,) = map(json.loads, lines)
    assert failure["file"] == "in/caf\\xe9.jpg"
    assert failure["error"].startswith("in/caf\\xe9.jpg: is not an image")
    assert "error: in/caf\\xe9.jpg: is not an image" in capsys.readouterr().err


def test_json_holds_any_name() -> None:
    from zeroguide.image import from_array

    image = from_array(np.zeros((6, 9, 3), np.uint8), ODD)
    labeling = FakeLabeler(load_recipe("tiny")).label(image)
    labeling.save("x.json")
    Path("x.json").read_bytes().decode()
    assert Labeling.load("x.json").file_name == ODD
