"""`zeroguide eval` on crops, of segments without names, of the usual split; its second suite."""

import json

import numpy as np
import PIL.Image
import pytest

from zeroguide.cli import main
from zeroguide.evaluate.scoring.results import Results
from zeroguide.playroom import render


def run(output, *arguments):
    return main(["eval", "--offline", "-q", "-o", str(output), *map(str, arguments)])


def results(output):
    return Results.load(output / "results.json")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model of at most 6 classes, made by the command."""
    folder = tmp_path_factory.mktemp("fit")
    for i in range(3):
        PIL.Image.fromarray(render(1, i, size=96).pixels).save(folder / f"{i}.png")
    command = ["fit", str(folder), "--classes", "6", "--preset", "tiny", "--offline", "-q"]
    assert main([*command, "-o", str(folder / "model")]) == 0
    return folder / "model"


def segments(model, *more):
    fitted = ("--set", "segmenter.method=fitted", "--set", f"segmenter.model={model}")
    stage = ("--dataset", "playroom", "--limit", "2", "--preset", "tiny", "--stage", "segments")
    return (*stage, *fitted, *more)


def test_a_fitted_models_classes_on_crops_with_one_command(model, tmp_path, capsys):
    out = tmp_path / "crops"
    assert run(out, *segments(model, "--crop", "48", "--protocol", "unsupervised")) == 0
    found = results(out)
    assert found.dataset.name == "playroom, crop 48" and found.source.stage == "segments"
    assert {value.protocol for value in found.summary} == {"unsupervised"}
    assert 0 < found.value("cluster_accuracy/Hungarian on pixels").value <= 100
    labels = {each.label for each in found.confusions}
    assert labels and all(label.startswith("class ") for label in labels)
    assert sum(each.pixels for each in found.classes) == 2 * 48 * 48
    assert "playroom, crop 48" in (out / "results.md").read_text(encoding="utf-8")
    # Another crop, or none, is other data.
    for crop in (("--crop", "64"), ()):
        assert run(out, *segments(model, *crop, "--protocol", "unsupervised")) == 2
        assert "rows made with other settings (dataset)" in capsys.readouterr().err
    whole = tmp_path / "whole"
    assert run(whole, *segments(model, "--protocol", "unsupervised")) == 0
    files = [str(folder / "results.json") for folder in (out, whole)]
    assert main(["eval", "compare", *files]) == 2
    assert "a's data set is playroom, crop 48 and b's is playroom" in capsys.readouterr().err


def test_all_that_segments_without_names_can_be_asked(model, tmp_path):
    assert run(tmp_path, *segments(model)) == 0
    found = {value.protocol for value in results(tmp_path).summary}
    assert found == {"unsupervised", "per-image", "class-agnostic", "cost"}


def test_another_model_in_the_same_folder_is_another_method(model, tmp_path, capsys):
    arguments = segments(model, "--protocol", "unsupervised")
    assert run(tmp_path, *arguments) == 0
    config = model / "config.json"
    before = config.read_text(encoding="utf-8")
    config.write_text(json.dumps(json.loads(before) | {"weights_sha256": "0" * 64}))
    try:
        assert run(tmp_path, *arguments) == 2
    finally:
        config.write_text(before, encoding="utf-8")
    assert "other settings (fitted)" in capsys.readouterr().err


def test_segments_of_no_model_are_no_clusters(tmp_path, capsys):
    arguments = ("--dataset", "playroom", "--limit", "1", "--preset", "tiny", "--stage", "segments")
    assert run(tmp_path, *arguments, "--protocol", "unsupervised") == 2
    assert "fit a model with `zeroguide fit`" in capsys.readouterr().err
    assert run(tmp_path, *arguments) == 0
    assert {value.protocol for value in results(tmp_path).summary} == {
        "per-image", "class-agnostic", "cost",
    }  # fmt: skip


def test_classes_that_discover_found_are_clusters(tmp_path):
    """Its folder as it is: the maps are read, overlays and the sheet of classes aren't."""
    scenes = {f"playroom-3-{i:05d}": render(3, i, size=112) for i in range(2)}
    for name, scene in scenes.items():
        PIL.Image.fromarray(scene.pixels).save(tmp_path / f"{name}.png")
    classes, out = tmp_path / "classes", tmp_path / "out"
    command = ["discover", str(tmp_path), "--classes", "4", "--preset", "tiny", "--offline", "-q"]
    assert main([*command, "-o", str(classes)]) == 0
    data = ("--dataset", "playroom", "--limit", "2", "--predictions", classes)
    assert run(out, *data) == 0
    found = results(out)
    maps = {name: np.asarray(PIL.Image.open(classes / f"{name}.png.map.png")) for name in scenes}
    labels = {f"cluster {i}" for each in maps.values() for i in np.unique(each)}
    assert {each.label for each in found.confusions} == labels
    n = {row.name: row.n_segments for row in found.images}
    assert n == {name: len(np.unique(each)) for name, each in maps.items()}
    assert {"unsupervised", "per-image"} < {value.protocol for value in found.summary}


@pytest.fixture
def saliency(tmp_path):
    """A saliency set of one image, its mask as prediction."""
    mask = np.zeros((20, 30), np.uint8)
    mask[5:12, 8:20] = 1
    for folder, pixels in (("images", mask), ("masks", mask * 255), ("predicted", mask)):
        (tmp_path / folder).mkdir()
        PIL.Image.fromarray(pixels).save(tmp_path / folder / "a.png")
    (tmp_path / "predicted" / "names.txt").write_text("background\nobject\n")
    data = ("--dataset", "saliency", "--data", tmp_path, "--protocol", "foreground,cost")
    return (*data, "--predictions", tmp_path / "predicted")


def test_the_usual_split_is_the_same_whether_it_is_named_or_not(saliency, tmp_path, capsys):
    unnamed, named = tmp_path / "unnamed", tmp_path / "named"
    assert run(unnamed, *saliency) == 0
    assert run(named, *saliency, "--split", "test") == 0
    assert results(unnamed).dataset == results(named).dataset
    assert results(unnamed).dataset.split == "test"
    rows = (unnamed / "rows.jsonl").read_bytes()
    assert run(unnamed, *saliency, "--split", "test") == 0  # goes on
    assert (unnamed / "rows.jsonl").read_bytes() == rows
    files = [str(folder / "results.json") for folder in (unnamed, named)]
    assert main(["eval", "compare", *files]) == 0


def test_predictions_have_to_be_of_the_crops(saliency, tmp_path, capsys):
    assert run(tmp_path / "out", *saliency, "--crop", "16") == 2
    assert "is 30 x 20 pixels but the image a is 16 x 16" in capsys.readouterr().err


def test_the_unsupervised_suite_says_what_is_missing(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    suite = ("--suite", "unsupervised", "--data", tmp_path / "data", "--preset", "tiny")
    assert main(["eval", *map(str, suite), "-o", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    for name in ("coco-stuff-27, crop 320", "cityscapes-27, crop 320", "voc2012", "ade20k-150"):
        assert f"{name}: {tmp_path}" in said
    assert run(tmp_path / "out", *suite, "--crop", "64") == 2
    assert "--suite chooses data sets, splits, crops" in capsys.readouterr().err


def test_the_unsupervised_suite_on_crops(tmp_path, capsys):
    """COCO-Stuff-27 of one image: once as crops, once whole, in folders of their own."""
    data = tmp_path / "data" / "coco-stuff-27"
    scene = render(1, 0, size=64).pixels
    truth = np.where(np.arange(64) < 40, 0, 255).astype(np.uint8)[None].repeat(64, axis=0)
    for folder, pixels in (("val2017", scene), ("stuffthingmaps/val2017", truth)):
        (data / folder).mkdir(parents=True)
        ending = "jpg" if pixels is scene else "png"
        PIL.Image.fromarray(pixels).save(data / folder / f"x.{ending}")
    (data / "curated" / "val2017").mkdir(parents=True)
    (data / "curated" / "val2017" / "Coco164kFull_Stuff_Coarse_7.txt").write_text("x\n")
    out = tmp_path / "out"
    suite = ("--suite", "unsupervised", "--data", tmp_path / "data", "--preset", "tiny")
    assert run(out, *suite) == 3  # the other data sets are missing
    crops, whole = (results(out / f"coco-stuff-27{crop}-full") for crop in ("-crop320", ""))
    assert crops.dataset.name == "coco-stuff-27, crop 320" and whole.dataset.name == "coco-stuff-27"
    assert sum(each.pixels for each in crops.classes) == 320 * 200
    assert sum(each.pixels for each in whole.classes) == 64 * 40
    text = (out / "suite.md").read_text(encoding="utf-8")
    assert "28.2 (STEGO)" in text and "49.1 (DiffCut)" in text
