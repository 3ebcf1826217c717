"""Part of a run, several runs and moved photos, in every format."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroguide.cli import main
from zeroguide.errors import UsageError
from zeroguide.image import open_image
from zeroguide.result import Label, Labeling, Segment
from zeroguide.result.formats.registry import FORMATS, export
from zeroguide.result.where import Where
from zeroguide.runs.layout import result_path
from zeroguide.runs.run_folder import Manifest, RunFolder
from zeroguide.runs.several_runs import SeveralRuns

from .runs import ListRun, labelled, segments
from .test_round_trips import read_back

DOG = Segment(2, "dog", 0.25, 0.75, (), (), (0, 0, 5, 5), 20, True)


def fits(condition: str, segment: Segment = DOG, image: str = "a/x.jpg") -> bool:
    return Where(condition).fits(segment, image, 100)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ('label == "dog"', True),
        ("label != 'dog'", False),
        ('label in ("dog", "cat")', True),
        ('label in ["cat"]', False),
        ('label in ("dog")', True),
        ('label in ("hotdog")', False),  # no part of a word
        ('label not in ("dog", "cat")', False),
        ('"do" in label', True),
        ('"a/" in image and not "b/" in image', True),
        ("confidence > .6", True),
        ("certainty >= .75 and confidence <= 0.75", True),
        ("score > -1", True),
        ("area == 20", True),
        ("share < .2 or share > .2", False),
        (".1 < share < .3", True),
        ("composed", True),
        ("not composed", False),
        ("composed == False", False),
        ("(area > 5) and\n (area < 6 or label == 'dog')", True),
        ("area in (10, 20)", True),
    ],
)
def test_conditions(condition: str, expected: bool) -> None:
    assert fits(condition) is expected


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("certanity > .6", "'certanity' isn't known, at its character 1"),
        (
            "certanity > .6",
            "did you mean 'certainty'? Choices: label, category, image, ",
        ),
        ('label == "é" and lable == "x"', "at its character 18"),
        ('label = "dog"', "use == for is equal"),
        ("label == dog", "'dog' isn't known"),
        ("label > 3", "compares text with a number, at its character 9 (3)"),
        ("area in ('dog', 3)", "compares a number with 'dog', at its character 10"),
        ("share", "is a number, not a condition"),
        ("not label", "is text, not a condition, at its character 5"),
        ("area > 5) or (area < 3", "at its character 9"),
        ("composed > False", "isn't a comparison here"),
        ("label in label", ""),
        ("label in (label,)", "label can't stand in a list"),
        ("1 and", "isn't a condition"),
        ("", "isn't a condition, at its end"),
        ("__import__('os').getcwd() == 'x'", "can't stand here"),
        ("label.upper() == 'DOG'", "can't stand here"),
        ("[l for l in label] == 'x'", "can't stand here"),
        ("(lambda: 1)() > 0", "can't stand here"),
        ("f'{label}' == 'x'", "can't stand here"),
        ("score > 1j", "can't stand here"),
        ("score + 1 > 1", "can't stand here"),
        ("\0", "isn't a condition"),
        ("(" * 300 + "1" + ")" * 300, "isn't a condition"),
        ("not " * 4000 + "composed", "too many brackets"),
        ("x" * 30000, "at most 20000"),
    ],
)
def test_mistakes_get_one_sentence(condition: str, said: str) -> None:
    if not said:
        assert fits(condition)
        return
    with pytest.raises(UsageError) as caught:
        Where(condition)
    assert said in str(caught.value) and len(str(caught.value)) < 500


@given(st.text(alphabet="label area in()[]{}<>=!.,'\"01andornot*@:\\\n\0é\ud800", max_size=30))
def test_no_text_does_harm(condition: str) -> None:
    with contextlib.suppress(UsageError):
        Where(condition).fits(DOG, "x", 9)


def three() -> np.ndarray:
    regions = np.zeros((16, 20), int)
    regions[2:9, 3:12] = 1
    regions[4:6, 5:7] = 0
    regions[11:14, 2:17] = 2
    return regions


def run(photos: Path | None = None) -> ListRun:
    names = ("grass", "dog", "cat")
    entries = [labelled("a/x.png", three(), photos, names)]
    entries.append(labelled("b.png", three().T.copy(), photos, names))
    entries.append(labelled("c.png", np.zeros((12, 14), int), photos, names))
    return ListRun(entries)


WHERE = Where('label in ("dog", "cat")')


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_readers_find_the_chosen_segments(name: str, tmp_path: Path) -> None:
    whole = run(tmp_path / "photos")
    found = read_back(name, whole, tmp_path / "out", WHERE, keys=2)
    assert set(found) == {"a/x.png", "b.png"}
    for entry in whole.entries[:2]:
        wanted = [(label, mask) for label, mask in segments(entry) if label != "grass"]
        read = found[entry.key]
        assert [label for label, _ in read] == [label for label, _ in wanted]
        for (_, mask), (_, own) in zip(read, wanted, strict=True):
            assert np.array_equal(mask, own)


def test_images_without_a_chosen_segment_are_counted(tmp_path: Path) -> None:
    said: list[str] = []
    export(run(), ["coco", "labelme"], tmp_path, where=WHERE, note=said.append)
    assert said[0] == "1 of 3 images have no such segment and are left out"
    assert not (tmp_path / "labelme/c.json").exists()


def test_label_maps_have_0_where_nothing_is_chosen(tmp_path: Path) -> None:
    whole = run()
    export(whole, ["masks", "coco-panoptic", "coco"], tmp_path, where=Where("label == 'cat'"))
    entry = whole.entries[0]
    (cat,) = (s for s in entry.labeling.segments if s.label == "cat")
    with PIL.Image.open(tmp_path / "masks/a/x.png") as png:
        assert np.array_equal(np.asarray(png), np.where(entry.labeling.mask(cat.id), cat.id, 0))
    names = (tmp_path / "masks/a/x.txt").read_text().splitlines()
    assert names[cat.id] == "cat" and set(names) == {"cat", "(no label)"}
    assert not (tmp_path / "masks/c.png").exists()
    coco = json.loads((tmp_path / "coco/instances.json").read_text())
    assert coco["categories"] == [{"id": 1, "name": "cat"}]
    assert [image["file_name"] for image in coco["images"]] == ["a/x.png", "b.png"]
    panoptic = json.loads((tmp_path / "coco-panoptic/panoptic.json").read_text())
    assert [len(a["segments_info"]) for a in panoptic["annotations"]] == [1, 1]


def test_images_are_chosen_by_name(tmp_path: Path) -> None:
    export(run(), ["coco"], tmp_path, where=Where('image == "c.png"'))
    coco = json.loads((tmp_path / "coco/instances.json").read_text())
    assert [image["file_name"] for image in coco["images"]] == ["c.png"]


def test_nothing_chosen_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no segment of the 3 images is like that"):
        export(run(), list(FORMATS)[:1], tmp_path, where=Where("area > 10000"))
    assert not list(tmp_path.iterdir())


def labelled_run(folder: Path, photos: Path, **names: str) -> Path:
    """A run over new photos: key -> label of its one segment but the background, "sky"."""
    (folder).mkdir(parents=True)
    for i, (key, label) in enumerate(names.items()):
        path = photos / f"{key}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((10, 14, 3), len(str(folder)) + i, np.uint8)
        PIL.Image.fromarray(pixels).save(path)
        regions = np.zeros((10, 14), int)
        regions[2:5, 3:9] = 1
        known = [Label("sky", 0.5, 0.5, (), (0,)), Label(label, 0.5, 0.9, (), (1,))]
        labeling = Labeling.build(open_image(path), regions, known, {"name": "tiny"})
        labeling.save(result_path(folder, f"{key}.png"))
    Manifest({"name": "tiny"}, [str(photos)]).write(folder)
    return folder


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    """Two runs whose photos have other names."""
    one = labelled_run(tmp_path / "one", tmp_path / "p1", a="dog", c="cat")
    return [one, labelled_run(tmp_path / "two", tmp_path / "p2", b="ant")]


def coco(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "coco/instances.json").read_text())
    return content


def test_several_runs_have_one_table(two: list[Path], tmp_path: Path) -> None:
    runs = [str(folder) for folder in two]
    assert main(["export", *runs, "--format", "coco,yolo", "-o", str(tmp_path / "out")]) == 0
    found = coco(tmp_path / "out")
    assert [c["name"] for c in found["categories"]] == ["ant", "cat", "dog", "sky"]
    assert [image["file_name"] for image in found["images"]] == ["a.png", "b.png", "c.png"]
    photos = tmp_path / "out/yolo/images"
    assert sorted(path.name for path in photos.iterdir()) == ["a.png", "b.png", "c.png"]
    assert not any(path.is_symlink() for path in photos.iterdir())


def test_images_of_one_key_need_a_prefix(
    two: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labelled_run(tmp_path / "deep/three", tmp_path / "p3", a="owl", c="owl")
    argv = ["export", str(two[0]), str(tmp_path / "deep/three"), "--format", "coco"]
    argv += ["-o", str(tmp_path / "out")]
    assert main(argv) == 2
    said = capsys.readouterr().err.replace("\n", " ")
    assert "a.png: is in" in said and "as are 1 more; --prefix" in said
    assert not (tmp_path / "out").exists()
    assert main([*argv, "--prefix"]) == 0
    assert [image["file_name"] for image in coco(tmp_path / "out")["images"]] == [
        "deep/three/a.png",
        "deep/three/c.png",
        "one/a.png",
        "one/c.png",
    ]


def test_wrong_usage_of_several_runs(
    two: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [str(folder) for folder in two]
    for argv, said in (
        (runs, "name another with -o"),
        ([runs[0], f"{runs[0]}/../one", "-o", "out"], "is named twice"),
        ([runs[0], str(tmp_path / "nowhere"), "-o", "out"], "is not a folder"),
        ([runs[0], "--where", "labl == 'x'"], "did you mean 'label'"),
        ([runs[0], "--where", "label == 'x'"], "no segment of the 2 images"),
        ([runs[0], "--photos-at", str(tmp_path / "nowhere")], "is not a folder"),
        ([runs[0], "--photos-at", str(tmp_path / "p2")], "no photo of the run is there"),
    ):
        assert main(["export", *argv, "--format", "coco"]) == 2
        assert said in capsys.readouterr().err.replace("\n", " ")


def test_photos_that_moved(
    two: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p1").rename(tmp_path / "elsewhere")
    PIL.Image.new("RGB", (14, 10)).save(tmp_path / "elsewhere/c.png")  # another photo by now
    argv = ["export", str(two[0]), "--format", "yolo", "--photos-at", str(tmp_path / "elsewhere")]
    assert main(argv) == 0
    assert "photos that aren't known or have gone: 1" in capsys.readouterr().err
    photos = two[0] / "exports/yolo/images"
    assert [path.name for path in photos.iterdir()] == ["a.png"]


def test_a_yolo_export_can_be_moved(two: list[Path], tmp_path: Path) -> None:
    export(RunFolder(two[0]), ["yolo"], tmp_path / "out")
    shutil.copytree(tmp_path / "out/yolo", tmp_path / "far/yolo")
    shutil.rmtree(tmp_path / "out")
    shutil.rmtree(tmp_path / "p1")
    assert PIL.Image.open(tmp_path / "far/yolo/images/a.png").size == (14, 10)
    for path in (tmp_path / "far").rglob("*"):
        assert path.suffix == ".png" or path.is_dir() or str(tmp_path) not in path.read_text()


def test_one_run_is_as_before(two: list[Path], tmp_path: Path) -> None:
    export(RunFolder(two[0]), ["coco"], tmp_path / "plain")
    export(SeveralRuns(two[:1]), ["coco"], tmp_path / "several")
    assert coco(tmp_path / "plain") == coco(tmp_path / "several")
    assert SimpleNamespace(keys=SeveralRuns(two[:1]).keys()).keys == ["a.png", "c.png"]
