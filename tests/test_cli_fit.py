"""`zeroguide fit`, end to end with the tiny models on rendered scenes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from test_fitted_stego import published

from zeroguide.cli import main
from zeroguide.models import load_dino
from zeroguide.playroom import render
from zeroguide.recipe import load_recipe
from zeroguide.segment.features import extract_features
from zeroguide.segment.fitted import METHODS, load_fitted

TINY = ["--preset", "tiny", "--device", "cpu", "-q"]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    for i in range(6):
        Image.fromarray(render(2, i, size=56).pixels).save(folder / f"{i}.png")
    return folder


@pytest.fixture(autouse=True)
def _workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def rows(text: str) -> list[list[str]]:
    return [line.split("\t") for line in text.splitlines()]


@pytest.mark.parametrize(
    ("method", "flags"),
    [
        ("prototypes", []),
        ("prototypes", ["--over", "segments"]),
        ("stego", ["--steps", "2"]),
        ("maskdistill", ["--masks", "masks"]),
        ("multilevel", []),
    ],
)
def test_fits_a_folder(scenes, capsys, method, flags):
    command = ["fit", str(scenes), "--method", method, "-o", "model", "--classes", "4", *TINY]
    assert main([*command, *flags, "--seed", "3"]) == 0
    assert sorted(path.name for path in Path("model").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    out, err = capsys.readouterr()
    table = rows(out)
    assert [row[0] for row in table] == [str(i) for i in range(len(table))]
    assert 2 <= len(table) <= 4
    assert sum(float(row[1]) for row in table) == pytest.approx(1, abs=1e-3)
    assert all(0 <= int(row[2]) <= 6 for row in table)
    assert err == ""
    model = load_fitted("model")
    recipe = load_recipe("tiny")
    model.check_backbone(recipe.models.dino, recipe.features.model_dump())
    dino = load_dino(recipe.models.dino, device="cpu")
    pixels = render(2, 0, size=56).pixels
    classes = model.classify(extract_features(dino, pixels, **recipe.features.model_dump()))
    assert classes.shape == (28, 28)
    if method == "maskdistill":
        mask = np.asarray(Image.open("masks/000001.png"))
        assert mask.shape == (56, 56) and mask.max() < model.n_classes


def test_takes_over_a_published_head(scenes, capsys):
    save_file(published(d=192, n=5), "head.safetensors")
    command = ["fit", str(scenes), "--method", "stego", "-o", "model", *TINY]
    assert main([*command, "--checkpoint", "head.safetensors"]) == 0
    out, err = capsys.readouterr()
    assert len(rows(out)) == load_fitted("model").n_classes == 8
    assert err == ""


@pytest.mark.parametrize(
    ("state", "code", "message"),
    [
        (published(d=384), 2, "width 384, but shipped:tiny/dino gives 192"),
        (published(d=192) | {"net.cluster1.0.bias": torch.full((70,), torch.inf)}, 1, "unusable"),
        ({"net.cluster1.0.bias": torch.zeros(70)}, 1, "isn't a STEGO checkpoint"),
        (None, 1, "is damaged"),
    ],
)
def test_an_unusable_head_is_told_before_the_features(
    scenes, capsys, monkeypatch, state, code, message
):
    monkeypatch.setattr("zeroguide.segment.fitted.store.add_image", None)
    if state is None:
        Path("head.safetensors").write_bytes(b"nonsense")
    else:
        save_file(state, "head.safetensors")
    command = ["fit", str(scenes), "--method", "stego", "-o", "model", *TINY]
    assert main([*command, "--checkpoint", "head.safetensors"]) == code
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1 and message in err
    assert not Path("model").exists()


def test_over_segments_uses_the_recipes_segmenter(scenes):
    command = ["fit", str(scenes), "--over", "segments", "-o", "m", "--classes", "3", *TINY]
    assert main([*command, "--set", "segmenter.method=kmeans", "--set", "segmenter.pca=5"]) == 0
    segmenter = json.loads(Path("m/config.json").read_text())["settings"]["segmenter"]
    assert (segmenter["method"], segmenter["pca"], segmenter["n_segments"]) == ("kmeans", 5, 16)
    assert load_fitted("m").segmenter == segmenter


def test_list(capsys):
    assert main(["fit", "--method", "list"]) == 0
    assert rows(capsys.readouterr().out) == [list(item) for item in METHODS.items()]


def test_list_imports_nothing_heavy():
    code = (
        "import sys; from zeroguide.cli import main; main(['fit', '--method', 'list']);"
        "sys.exit(bool({'torch', 'scipy', 'sklearn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--method", "prototype", "-o", "m"], "did you mean 'prototypes'"),
        ([], "-o MODEL"),
        (["-o", "m", "--steps", "5"], "--steps is for --method stego"),
        (["-o", "m", "--over", "pixels"], "tokens or segments"),
        (["-o", "m", "--method", "stego", "--steps", "5", "--checkpoint", "c"], "--steps has no"),
        (["-o", "m", "--method", "stego", "--classes", "5", "--checkpoint", "c"], "--classes has"),
        (["-o", "m", "--over", "segments", "--set", "segmenter.method=kmaens"], "kmeans"),
        (["-o", "m", "--classes", "0"], "--classes"),
        (["-o", "m", "--device", "tpu"], "unknown device"),
        (["-o", "m", "--set", "features.layre=1"], "did you mean 'features.layer'"),
        (["-o", "m", "--method", "multilevel", "--classes", "1"], "two classes"),
        (["-o", "m", "--method", "stego", "--checkpoint", "no.safetensors"], "can't be read"),
        (["-o", "m", "--method", "stego", "--limit", "1"], "at least two"),
    ],
)
def test_wrong_usage_is_told_before_any_work(scenes, capsys, monkeypatch, flags, message):
    monkeypatch.setattr("zeroguide.cli.fit.run", None)
    assert main(["fit", str(scenes), *TINY, *flags]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1 and message in err
    assert not Path("m").exists()


def test_no_folder_and_an_empty_one(capsys, tmp_path):
    assert main(["fit", "-o", "m", *TINY]) == 2
    assert "no FOLDER" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["fit", "empty", "-o", "m", *TINY]) == 2
    assert "empty" in capsys.readouterr().err


def test_an_existing_model_is_kept_unless_told(scenes, capsys):
    command = ["fit", str(scenes), "-o", "model", "--classes", "2", "--limit", "2", *TINY]
    assert main(command) == 0
    before = Path("model/config.json").read_bytes()
    assert main(command) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert main([*command, "--overwrite", "--method", "multilevel"]) == 0
    assert Path("model/config.json").read_bytes() != before


def test_other_files_are_never_replaced(scenes, capsys):
    Path("hub").mkdir()
    Path("hub/config.json").write_text(json.dumps({"model_type": "vit"}))
    for place in ("hub", "hub/config.json"):
        assert main(["fit", str(scenes), "-o", place, "--overwrite", *TINY]) == 1
        assert "another" in capsys.readouterr().err
    assert json.loads(Path("hub/config.json").read_text()) == {"model_type": "vit"}


def test_bad_images_are_told_and_left_out(scenes, capsys, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n")
    command = ["fit", str(scenes), str(bad), "-o", "model", "--classes", "2", *TINY]
    assert main(command) == 3
    out, err = capsys.readouterr()
    assert "bad.png" in err and "Traceback" not in err
    assert 6 <= sum(int(row[2]) for row in rows(out)) <= 12  # each of six has one class or both
    lines = Path("model/failures.jsonl").read_text().splitlines()
    failures = [json.loads(line) for line in lines]
    assert [failure["file"] for failure in failures] == [str(bad)]
    assert main(["fit", str(scenes), "-o", "model", "--classes", "2", "--overwrite", *TINY]) == 0
    assert not Path("model/failures.jsonl").exists()
    capsys.readouterr()
    assert main(["fit", str(bad), "-o", "none", *TINY]) == 1
    assert "bad.png" in capsys.readouterr().err
    assert not Path("none").exists()


def test_an_image_named_twice_counts_once(scenes, capsys):
    image = str(scenes / "0.png")
    command = ["fit", image, str(scenes / "." / "0.png"), image, "-o", "m", "--classes", "2", *TINY]
    assert main(command) == 0
    assert {row[2] for row in rows(capsys.readouterr().out)} == {"1"}


def test_missing_images_are_told_without_torch():
    code = (
        "import sys; from zeroguide.cli import main;"
        "code = main(['fit', 'no.png', '-o', 'm', '--preset', 'tiny']);"
        "sys.exit(10 * code + bool({'torch', 'scipy', 'sklearn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL).returncode == 10
    assert not Path("m").exists()


@pytest.mark.parametrize("flag", ["-o", "--masks"])
def test_places_that_cannot_be_written_are_told_before_any_work(scenes, capsys, monkeypatch, flag):
    monkeypatch.setattr("zeroguide.cli.fit.run", None)
    Path("file").write_text("")
    places = {"-o": "m", "--masks": "masks"} | {flag: "file/folder"}
    command = ["fit", str(scenes), "--method", "maskdistill", *TINY]
    assert main([*command, *(word for item in places.items() for word in item)]) == 1
    assert "file/folder" in capsys.readouterr().err
    assert not Path("m").exists() and not Path("masks").exists()


def test_a_disk_that_is_too_small_is_told_after_the_first_image(scenes, capsys, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=1_000_000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    assert main(["fit", str(scenes), "-o", "m", *TINY]) == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1 and "TMPDIR" in err
    assert not Path("m").exists()


def test_masks_of_an_earlier_run_are_kept(scenes, capsys):
    Path("masks").mkdir()
    Path("masks/000001.png").write_bytes(b"mine")
    command = ["fit", str(scenes), "--method", "maskdistill", "--masks", "masks", "-o", "m", *TINY]
    assert main(command) == 1
    assert "masks" in capsys.readouterr().err
    assert Path("masks/000001.png").read_bytes() == b"mine"
    assert main([*command, "--overwrite"]) == 0


def test_masks_of_an_earlier_run_are_no_images(scenes, tmp_path):
    shutil.copytree(scenes, tmp_path / "pictures")
    command = ["fit", "pictures", "--method", "maskdistill", "-o", "m", "--overwrite", *TINY]
    for _ in range(2):
        assert main([*command, "--masks", "pictures/masks"]) == 0
        assert len(Path("pictures/masks/masks.tsv").read_text().splitlines()) == 6
