"""Every format read back by the tool it is for, on masks that formats stumble over."""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from zeroguide.result.formats.registry import FORMATS, export
from zeroguide.result.where import Where

from .reading import READERS, Segments
from .runs import ListRun, labelled, odd_run, segments, shapes_run

LOSSLESS = sorted(FORMATS.keys() - {"yolo"})


def read_back(
    name: str, run: ListRun, folder: Path, where: Where | None = None, keys: int | None = None
) -> Segments:
    """What the format's own tool finds; the test is skipped where the tool isn't installed.

    where: of the export, which has then only the first so many images.
    """
    module, read = READERS[name]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module}, which reads {name}, isn't installed")
    if FORMATS[name].extra is not None:
        pytest.importorskip("pyarrow")
    export(run, [name], folder, where=where)
    logging.disable(logging.INFO)
    try:
        return read(folder / name, ListRun(run.entries[:keys]))
    finally:
        logging.disable(logging.NOTSET)


def expected_label(name: str, label: str) -> str:
    """Formats of lines have no tabs in labels."""
    return " ".join(label.split()) if name in ("masks", "yolo") else label


def test_every_format_has_a_reader() -> None:
    assert sorted(READERS) == sorted(FORMATS)


@pytest.mark.parametrize("name", LOSSLESS)
def test_nothing_is_lost(name: str, tmp_path: Path) -> None:
    run = shapes_run(tmp_path / "photos")
    found = read_back(name, run, tmp_path / "out")
    assert sorted(found) == run.keys()
    for entry in run:
        wanted = segments(entry)
        assert [label for label, _ in found[entry.key]] == [
            expected_label(name, label) for label, _ in wanted
        ]
        for (_, mask), (_, read) in zip(wanted, found[entry.key], strict=True):
            assert np.array_equal(mask, read), entry.key


def test_yolo_loses_only_what_joins_parts(tmp_path: Path) -> None:
    run = shapes_run(tmp_path / "photos")
    found = read_back("yolo", run, tmp_path / "out")
    # ultralytics takes no picture of less than 10 pixels
    large = [e for e in run if min(e.labeling.height, e.labeling.width) >= 10]
    assert sorted(found) == [entry.key for entry in large]
    for entry in large:
        wanted = segments(entry)
        assert [label for label, _ in found[entry.key]] == [
            expected_label("yolo", label) for label, _ in wanted
        ]
        for (_, mask), (_, read) in zip(wanted, found[entry.key], strict=True):
            assert not (mask & ~read).any(), entry.key
            if _parts(mask) == 1:
                assert np.array_equal(mask, read), entry.key


def test_yolo_finds_every_instance_of_every_name(tmp_path: Path) -> None:
    run = odd_run(tmp_path / "photos")
    run = ListRun([entry for entry in run if entry.key != "gif/j.gif"])  # a copy, not a link
    found = read_back("yolo", run, tmp_path / "images" / "out")
    assert {key: [label for label, _ in each] for key, each in found.items()} == {
        entry.key: [segment.label for segment in entry.labeling.segments] for entry in run
    }


@pytest.mark.parametrize("name", ["hf", "labelme", "yolo"])
def test_tools_turn_photos_as_we_do(name: str, tmp_path: Path) -> None:
    """The photo lies on its side and says so; the label map is that of the upright picture."""
    upright = np.zeros((20, 14), int)
    upright[:5, :3] = 1
    entry = labelled("a.jpg", upright)
    photo = tmp_path / "a.jpg"
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    pixels = np.where(np.rot90(upright)[..., None] == 1, 250, 5).astype(np.uint8)
    PIL.Image.fromarray(np.repeat(pixels, 3, axis=2)).save(photo, exif=exif, quality=95)
    run = ListRun([replace(entry, image=photo)])
    found = read_back(name, run, tmp_path / "out")  # its tool asks for the picture's size
    for (label, mask), (read_label, read) in zip(segments(entry), found["a.jpg"], strict=True):
        assert label == read_label
        assert np.array_equal(mask, read)
    if name == "hf":
        from datasets import load_dataset

        folder, cache = str(tmp_path / "out" / "hf"), str(tmp_path / "cache")
        seen = load_dataset(folder, split="train", cache_dir=cache)[0]["image"]
        assert np.array_equal(np.asarray(seen)[:, :, 0] > 128, upright == 1)


def _parts(mask: np.ndarray) -> int:
    from scipy.ndimage import label

    return int(label(mask)[1])
