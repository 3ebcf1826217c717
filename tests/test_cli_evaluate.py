"""`zeroguide eval`: what it writes and prints, how it goes on, and mistakes before any model."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from zeroguide.cli import main
from zeroguide.evaluate.datasets import load_dataset
from zeroguide.evaluate.scoring.results import Results
from zeroguide.models import choose_device
from zeroguide.playroom import render

FILES = {
    "classes.csv", "images.csv", "report.html", "results.csv", "results.json", "results.md",
    "rows.jsonl",
}  # fmt: skip
TRUTH = np.repeat([[0] * 4 + [1] * 4], 4, axis=0)


@pytest.fixture
def data(tmp_path):
    """Three images of dog | cat."""
    root = tmp_path / "data"
    for kind in ("images", "labels"):
        (root / kind).mkdir(parents=True)
    for name in "abc":
        Image.new("RGB", (8, 4)).save(root / "images" / f"{name}.png")
        Image.fromarray(TRUTH.astype(np.uint8)).save(root / "labels" / f"{name}.png")
    (root / "classes.txt").write_text("dog\ncat\n")
    return root


def predicted(folder, border):
    """Label maps whose border is at a column; returns the folder."""
    folder.mkdir(exist_ok=True)
    label_map = np.arange(8)[None].repeat(4, 0) >= border
    for name in "abc":
        Image.fromarray(label_map.astype(np.uint8)).save(folder / f"{name}.png")
    (folder / "names.txt").write_text("dog\ncat\n")
    return folder


@pytest.fixture
def command(data, tmp_path):
    """A run on these images without a sentence encoder."""

    def build(predictions, output="out", *more):
        return [
            "eval", "--dataset", "folder", "--data", str(data), "--predictions", str(predictions),
            "--protocol", "class-agnostic,per-image,unsupervised,cost",
            "-o", str(tmp_path / output), *more,
        ]  # fmt: skip

    return build


def test_scores_a_folder(command, tmp_path, capsys):
    assert main(command(predicted(tmp_path / "p", 3))) == 0
    printed = capsys.readouterr()
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    results = Results.load(tmp_path / "out" / "results.json")
    # Dog 3 of 4 columns, cat 4 of 5.
    assert results.value("image_miou/left over: missed").value == pytest.approx(77.5)
    assert results.source.kind == "predictions" and results.source.recipe is None
    assert len(results.images) == 3 and results.dataset.name == "folder"
    lines = [line.split("\t") for line in printed.out.splitlines()]
    assert ["Masks, names left out", "best overlap", "", "77.5 %", "[77.5, 77.5]", "3"] in lines
    assert "results are in" in printed.err


def test_goes_on_and_begins_anew(command, tmp_path, capsys):
    folder = predicted(tmp_path / "p", 3)
    assert main(command(folder, "out", "--limit", "2")) == 0
    rows = (tmp_path / "out" / "rows.jsonl").read_text()
    assert main(command(folder)) == 0
    assert (tmp_path / "out" / "rows.jsonl").read_text().startswith(rows)
    predicted(folder, 5)
    capsys.readouterr()
    assert main(command(folder)) == 2
    assert "other settings (files)" in capsys.readouterr().err
    assert main(command(folder, "out", "--overwrite")) == 0


def test_one_bad_file_is_a_failed_image(command, tmp_path, capsys):
    folder = predicted(tmp_path / "p", 3)
    Image.new("L", (8, 4), 7).save(folder / "b.png")  # a number without a name
    assert main(command(folder)) == 3
    assert "1 of 3 images failed" in capsys.readouterr().err
    results = Results.load(tmp_path / "out" / "results.json")
    assert [row.error is None for row in results.images] == [True, False, True]


def unknown_class(data):
    Image.new("L", (8, 4), 9).save(data / "labels" / "b.png")


def missing_mask(data):
    (data / "labels" / "b.png").unlink()


def two_files(data):
    Image.new("RGB", (8, 4)).save(data / "images" / "b.jpg")


def another_size(data):
    Image.new("L", (8, 5)).save(data / "labels" / "b.png")


def empty(data):
    for path in (data / "images").iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (unknown_class, "class id 9"),
        (missing_mask, "no mask named b"),
        (two_files, "has the same name"),
        (another_size, "8 x 5 pixels but its image"),
        (empty, "holds no file"),
    ],
)
def test_bad_truth_is_one_sentence_before_any_model(spoil, words, data, tmp_path, capsys):
    spoil(data)
    arguments = ["--dataset", "folder", "--data", str(data), "-o", str(tmp_path / "out")]
    assert main(["eval", *arguments, "--preset", "tiny", "--offline"]) in (1, 2)
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1 and words in errors[0] and str(data) in errors[0]
    assert not (tmp_path / "out").exists()


def test_compare(command, tmp_path, capsys):
    assert main(command(predicted(tmp_path / "p", 3), "a")) == 0
    assert main(command(predicted(tmp_path / "q", 4), "b")) == 0
    capsys.readouterr()
    a, b = (str(tmp_path / name / "results.json") for name in "ab")
    assert main(["eval", "compare", a, b, "-o", str(tmp_path / "c.json")]) == 0
    assert "\t22.5 %\t[22.5, 22.5]\t" in capsys.readouterr().out
    assert json.loads((tmp_path / "c.json").read_text())["schema"] == "zeroguide-comparison/1"
    capsys.readouterr()
    assert main(["eval", "compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    assert "\t22.5 %\t[22.5, 22.5]\t" in capsys.readouterr().out
    assert main(["eval", "compare", a, str(tmp_path / "no.json")]) == 1


def test_a_recipe_on_playroom(tmp_path):
    output = tmp_path / "out"
    arguments = ["eval", "--dataset", "playroom", "--limit", "2", "--preset", "tiny", "-q"]
    assert main([*arguments, "--protocol", "st,cost", "--offline", "-o", str(output)]) == 0
    results = Results.load(output / "results.json")
    assert results.source.recipe is not None and results.source.recipe["name"] == "tiny"
    assert results.device == str(choose_device("auto"))
    assert results.value("iou_st/union, own names").value > 20
    assert results.value("peak_memory").value == results.peak_memory_mib > 0


def scenes(folder, numbers, seed=3):
    """The true regions of Playroom's scenes as label maps without names."""
    folder.mkdir()
    for entry in (sample.name for sample in load_dataset("playroom", limit=max(numbers) + 1)):
        number = int(entry.rpartition("-")[2])
        if number in numbers:
            regions = render(3, number, size=112).label_map
            name = entry.replace("-3-", f"-{seed}-")
            Image.fromarray(regions.astype(np.uint8)).save(folder / f"{name}.png")
    return folder


def test_predictions_of_more_scenes_than_the_limit(tmp_path, capsys):
    """The Playroom has no end, so any number is the name of a scene."""
    folder = scenes(tmp_path / "p", (0, 1, 2))
    (folder / "playroom-3-00002.png").rename(folder / "playroom-3-123456.png")
    arguments = ["eval", "--dataset", "playroom", "--predictions", str(folder), "--protocol"]
    arguments += ["class-agnostic", "-o", str(tmp_path / "out"), "--limit"]
    assert main([*arguments, "1"]) == 0
    results = Results.load(tmp_path / "out" / "results.json")
    assert len(results.images) == 1 and results.value("best_overlap").value == 100
    assert main([*arguments, "2"]) == 0
    assert main([*arguments, "3"]) == 2
    assert "no prediction for the image playroom-3-00002" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name",
    ["playroom-4-00001", "playroom-3-1", "playroom-3-000001", "playroom-3-x", "playroom-3-²"],
)
def test_predictions_that_are_of_no_scene(name, tmp_path, capsys):
    folder = scenes(tmp_path / "p", (0, 1))
    (folder / "playroom-3-00001.png").rename(folder / f"{name}.png")
    arguments = ["eval", "--dataset", "playroom", "--limit", "1", "--predictions", str(folder)]
    assert main([*arguments, "-o", str(tmp_path / "out")]) == 2
    assert f"holds a prediction for {name}, which isn't" in capsys.readouterr().err


def test_two_runs_in_one_folder(command, tmp_path, capsys):
    """The second is told at once, changes nothing, and may go on when the first has ended."""
    arguments, output = command(predicted(tmp_path / "p", 3)), tmp_path / "out"
    assert main(arguments) == 0
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    capsys.readouterr()
    code = (
        "import sys; from pathlib import Path; from zeroguide.system.folder_lock import locked"
        "\nwith locked(Path(sys.argv[1])): print('ready', flush=True); sys.stdin.read()"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", code, str(output)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with first:
        assert first.stdout.readline() == b"ready\n"
        for more in ([], ["--overwrite"]):
            assert main([*arguments, *more]) == 1
            (said,) = capsys.readouterr().err.splitlines()
            assert f"{output}: another run is writing" in said and "-o" in said
        assert {path.name: path.read_bytes() for path in output.iterdir()} == before
    assert first.returncode == 0
    assert main(arguments) == 0


def test_results_among_the_predictions_are_refused(command, data, tmp_path, capsys):
    folder = predicted(tmp_path / "p", 3)
    for output in ("p", "p/out"):
        assert main(command(folder, output, "--overwrite")) == 2
        assert "in the folder of the predictions" in capsys.readouterr().err
    assert {path.name for path in folder.iterdir()} == {"a.png", "b.png", "c.png", "names.txt"}
    # Predictions in a folder of results are no trouble, nor are old results beside predictions.
    (tmp_path / "out").mkdir()
    assert main(command(predicted(tmp_path / "out" / "p", 3))) == 0
    for path in (tmp_path / "out").glob("r*"):
        path.rename(folder / path.name)
    assert main(command(folder, "out2")) == 0


def test_panoptic_predictions(shared, tmp_path):
    """COCO's truth as predictions for itself is perfect."""
    photos = shared / "photos"
    arguments = ["eval", "--dataset", "coco-panoptic", "--data", str(photos), "--limit", "3"]
    arguments += ["--protocol", "class-agnostic", "-o", str(tmp_path)]
    assert main([*arguments, "--predictions", str(photos)]) == 0
    results = Results.load(tmp_path / "results.json")
    assert results.value("mask_pq").value == pytest.approx(100)


def test_lists(capsys):
    assert main(["eval", "--dataset", "list"]) == 0
    assert "playroom\t" in capsys.readouterr().out
    assert main(["eval", "--protocol", "list"]) == 0
    assert "class-agnostic\t" in capsys.readouterr().out


PLAYROOM = ("--dataset", "playroom", "--preset", "tiny", "--offline")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "--dataset list"),
        (("--dataset", "plyroom"), "did you mean 'playroom'"),
        (("--dataset", "voc2012"), "read from files"),
        (("--dataset", "voc2012", "--data", "/no/such/folder"), "no such folder"),
        ((*PLAYROOM, "--split", "val"), "no split"),
        ((*PLAYROOM, "--stage", "masks"), "unknown --stage"),
        ((*PLAYROOM, "--protocol", "tt,stt"), "unknown protocol 'stt'"),
        ((*PLAYROOM, "--protocol", "naming"), "true masks"),
        ((*PLAYROOM, "--protocol", "foreground"), "background"),
        ((*PLAYROOM, "--stage", "true-names", "--protocol", "st"), "no embeddings"),
        ((*PLAYROOM, "--stage", "true-masks", "--protocol", "class-agnostic"), "true ones"),
        ((*PLAYROOM, "--sentence-encoder", "/no/such/folder"), "/no/such/folder"),
        ((*PLAYROOM, "--set", "decoder.beams=3"), "unknown key"),
        ((*PLAYROOM, "--predictions", "/no/such/folder"), "no such folder"),
        ((*PLAYROOM, "--predictions", "/tmp", "--stage", "true-masks"), "--stage"),
        (("--suite", "papers"), "Choices: paper"),
        (("--suite", "paper"), "--data"),
        (("--suite", "paper", "--data", "x", "--split", "val"), "--suite chooses"),
    ],
)
def test_mistakes_are_one_sentence_each(arguments, words, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "zeroguide.labeler", None)  # no model is loaded
    assert main(["eval", *arguments, "-o", str(tmp_path / "out")]) in (1, 2)
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and words in errors[0]
    assert not (tmp_path / "out").exists()


def test_a_suite_says_what_is_missing(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    arguments = ["eval", "--suite", "paper", "--data", str(tmp_path / "data"), "--preset", "tiny"]
    assert main([*arguments, "-o", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert "voc2012: " in said and "context-59: " in said
    assert not (tmp_path / "out").exists()


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from zeroguide.cli import main; main(['eval', '--help']);"
        "print(sorted({'torch', 'scipy', 'sklearn'} & sys.modules.keys()))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"
    assert "--sentence-encoder" in ran.stdout and "compare" in ran.stdout


def test_own_files_are_never_replaced(tmp_path, capsys):
    """Nothing of the user's goes without being asked: neither tables nor the runs compared."""
    output = tmp_path / "out"
    output.mkdir()
    (output / "results.csv").write_text("mine")
    arguments = ["eval", "--dataset", "playroom", "--limit", "1", "--preset", "tiny"]
    assert main([*arguments, "-o", str(output)]) == 1
    assert "results.csv: already exists" in capsys.readouterr().err
    assert (output / "results.csv").read_text() == "mine"

    run = tmp_path / "results.json"
    run.write_text("{}")
    assert main(["eval", "compare", str(run), str(run), "-o", str(run), "--overwrite"]) == 2
    assert "is one of the two runs" in capsys.readouterr().err
    assert main(["eval", "compare", str(run), str(run), "-o", str(output / "results.csv")]) == 1
    assert "already exists" in capsys.readouterr().err
    assert run.read_text() == "{}"


def test_a_suite_takes_no_stage(tmp_path, capsys):
    arguments = ["eval", "--suite", "paper", "--stage", "true-names", "--data", str(tmp_path)]
    assert main(arguments) == 2
    assert "leave --dataset, --split, --crop, --stage" in capsys.readouterr().err


def coco(folder, results, images=True):
    """COCO results for the images a, b and c, as ids 1, 2 and 3."""
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps(results))
    tables = {"categories": [{"id": 1, "name": "dog"}]}
    if images:
        tables["images"] = [{"id": i, "file_name": f"train/{n}.jpg"} for i, n in enumerate("abc")]
    (folder / "tables.json").write_text(json.dumps(tables))
    return folder


def result(image, counts):
    return {
        "image_id": image,
        "category_id": 1,
        "segmentation": {"size": [4, 8], "counts": counts} if counts else [],
        "score": 0.5,
    }


def test_damaged_masks_fail_their_image(command, tmp_path, capsys):
    """Cut counts made pycocotools run without end, or score whatever was in memory."""
    results = [result(0, [0, 16, 16]), result(1, [0, 16]), result(2, "01"), result(2, None)]
    assert main(command(coco(tmp_path / "p", results))) == 3
    said = " ".join(capsys.readouterr().err.split())
    assert "a mask of train/b covers 16 of 32 pixels; write it again" in said
    assert "a mask of train/c covers 1 of 32 pixels" in said
    assert said.count("three corners are left out: 1") == 1 and "unexpected" not in said
    images = Results.load(tmp_path / "out" / "results.json").images
    assert [image.error is None for image in images] == [True, False, False]


@pytest.mark.parametrize("images", [False, True])
def test_nothing_found_is_a_result(images, command, tmp_path):
    assert main(command(coco(tmp_path / "p", [], images))) == 0
    results = Results.load(tmp_path / "out" / "results.json")
    assert [image.n_segments for image in results.images] == [0, 0, 0]
    assert results.value("ar100").value == 0
