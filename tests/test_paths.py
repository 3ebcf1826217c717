"""Whatever takes a path takes a str and a Path, and does the same with both."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest

import zeroguide
from tests.conftest import TINY
from zeroguide import models
from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.evaluate import datasets
from zeroguide.evaluate.command import Options
from zeroguide.evaluate.command import run as run_evaluation
from zeroguide.evaluate.datasets import load_dataset
from zeroguide.evaluate.datasets.registry import _READERS
from zeroguide.evaluate.metrics.wordnet import WordNet
from zeroguide.evaluate.predictions.folder import FolderPredictions
from zeroguide.evaluate.reports import report
from zeroguide.evaluate.reports.drawing import pictures
from zeroguide.evaluate.scoring.results import Results
from zeroguide.evaluate.scoring.rows import RowFile, read_rows
from zeroguide.evaluate.suite import Suite
from zeroguide.image import check_image, open_image, read_file
from zeroguide.models.checksums import compare
from zeroguide.recipe import load_recipe
from zeroguide.result import Label, Labeling
from zeroguide.result.formats import json_
from zeroguide.result.formats.registry import export
from zeroguide.runs import search, sources
from zeroguide.runs.batch import plan
from zeroguide.runs.layout import first_result, is_result, json_files, overlay_path, result_path
from zeroguide.runs.run_folder import Manifest, RunFolder
from zeroguide.runs.sources import find_images, find_items
from zeroguide.segment import fitted
from zeroguide.segment.fitted.config import read_config
from zeroguide.system.console import Console
from zeroguide.system.files import output_folder, write_png
from zeroguide.system.folder_lock import locked

Kind = Callable[[Path], Any]


@pytest.fixture(params=[str, Path])
def kind(request: pytest.FixtureRequest) -> Kind:
    made: Kind = request.param
    return made


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photos" / "a.png"
    path.parent.mkdir()
    PIL.Image.new("RGB", (30, 20), (200, 30, 40)).save(path)
    return path


@pytest.fixture
def run(tmp_path: Path, photo: Path) -> Path:
    """A run with one result."""
    folder = tmp_path / "run"
    folder.mkdir()
    pixels = np.zeros((20, 30, 3), np.uint8)
    image = SimpleNamespace(file_name="a.png", sha256="0" * 64, pixels=pixels)
    label = Label("sky", 0.5, 0.5, (), (1,))
    Labeling.build(image, np.zeros((20, 30), int), [label], {}).save(folder / "a.png.json")
    Manifest({}, [str(photo.parent)]).write(folder)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data set of one image."""
    root = tmp_path / "data"
    for name in ("images", "labels"):
        (root / name).mkdir(parents=True)
    PIL.Image.new("RGB", (30, 20)).save(root / "images" / "a.png")
    PIL.Image.new("L", (30, 20)).save(root / "labels" / "a.png")
    (root / "classes.txt").write_text("sky\ndog\n")
    return root


def test_data_sets(kind: Kind, data: Path) -> None:
    dataset = load_dataset("folder", kind(data))
    dataset.check()
    assert [sample.name for sample in dataset] == ["a"]


@pytest.mark.parametrize("name", _READERS)
def test_every_reader_says_what_is_missing(name: str, kind: Kind, tmp_path: Path) -> None:
    with pytest.raises(ZeroguideError):
        load_dataset(name, kind(tmp_path))
    with pytest.raises(ZeroguideError):
        _READERS[name].load(kind(tmp_path), _READERS[name].splits[0])


def test_images_and_results(kind: Kind, photo: Path, run: Path, tmp_path: Path) -> None:
    assert open_image(kind(photo)).pixels.shape == (20, 30, 3)
    assert read_file(kind(photo)) == photo.read_bytes()
    check_image(kind(photo))
    labeling = Labeling.load(kind(run / "a.png.json"))
    labeling.save(kind(tmp_path / "copy.json"))
    json_.save(Labeling.load(kind(tmp_path / "copy.json")), kind(tmp_path / "again.json"))
    assert (tmp_path / "again.json").read_bytes() == (run / "a.png.json").read_bytes()


def test_run_folders(kind: Kind, run: Path, tmp_path: Path) -> None:
    folder = kind(run)
    assert RunFolder(folder).keys() == ["a.png"]
    assert result_path(folder, "a.png") == first_result(folder) == run / "a.png.json"
    assert overlay_path(folder, "a.png") == run / "a.png.png"
    assert sorted(json_files(folder)) == [run / "a.png.json", run / "run.json"]
    assert is_result(kind(run / "a.png.json"))
    manifest = Manifest.read(folder)
    assert manifest is not None
    manifest.write(kind(tmp_path))
    assert (tmp_path / "run.json").read_bytes() == (run / "run.json").read_bytes()
    with locked(folder):
        pass


def test_exports(kind: Kind, run: Path, tmp_path: Path) -> None:
    export(RunFolder(kind(run)), ["coco", "yolo"], kind(tmp_path / "out"))
    assert (tmp_path / "out" / "coco" / "instances.json").is_file()


def test_searches(kind: Kind, run: Path) -> None:
    for door in (search.search, search.Searcher):
        with pytest.raises(ZeroguideError, match="embeddings"):
            door(kind(run), *(["dog"] if door is search.search else []))


def test_sources(kind: Kind, photo: Path, run: Path) -> None:
    folder, output = kind(photo.parent), kind(run)
    assert [item.key for item in find_items([folder], output, print)] == ["a.png"]
    assert find_images([folder], output, print) == [photo]
    (job,) = plan([kind(photo)], output, [".png"], overwrite=False)
    assert job.outputs[".png"] == run / "a.png.png"


def test_files_of_commands(kind: Kind, tmp_path: Path) -> None:
    with output_folder(kind(tmp_path / "new")):
        write_png(np.zeros((2, 3), np.uint8), kind(tmp_path / "new" / "x.png"))
    assert (tmp_path / "new" / "x.png").is_file()


def test_evaluations(kind: Kind, data: Path, tmp_path: Path) -> None:
    predictions = tmp_path / "p"
    predictions.mkdir()
    PIL.Image.new("L", (30, 20)).save(predictions / "a.png")
    assert FolderPredictions(kind(predictions)).names == ["a"]
    out = tmp_path / "out"
    out.mkdir()
    options = Options(
        data=kind(data), split=None, limit=None, crop=None, predictions=kind(predictions),
        encoder=None, recipe=load_recipe("tiny"), device="cpu", offline=True, overwrite=False,
    )  # fmt: skip
    found = run_evaluation("folder", "full", ["cost"], options, kind(out), Console(quiet=True))
    assert found.images[0].error is None
    for place in (out, out / "results.json"):
        assert Results.load(kind(place)).dataset == found.dataset
    found.save(kind(out / "copy.json"))
    report.write(found, kind(out))
    assert list(read_rows(kind(out))) == ["a"]
    assert pictures(load_dataset("folder", data), kind(out))("a") is not None
    RowFile(kind(out), {}, restart=True).close()
    Suite((), ()).write(kind(tmp_path))
    assert json.loads((tmp_path / "suite.json").read_text())["runs"] == []


def test_recipes_and_models(kind: Kind, tmp_path: Path) -> None:
    tiny = Path(zeroguide.__path__[0], "recipe", "presets", "tiny.toml")
    assert load_recipe(kind(tiny)).models == load_recipe("tiny").models
    assert models.resolve(kind(TINY / "dino"), "dino") == TINY / "dino"
    assert compare(kind(tmp_path)) == {}
    for name, role in (("dino", "dino"), ("clip", "clip"), ("lm", "language_model")):
        load = getattr(models, f"load_{role}")
        assert load(kind(TINY / name), device="cpu", offline=True) is not None
    assert models.load_text_memory(kind(TINY / "text_memory"), device="cpu", offline=True)


def test_other_folders(kind: Kind, tmp_path: Path) -> None:
    with pytest.raises(ZeroguideError):
        fitted.load_fitted(kind(tmp_path))
    with pytest.raises(ZeroguideError):
        fitted.check_model(kind(tmp_path), load_recipe("tiny"))
    with pytest.raises(ZeroguideError):
        read_config(kind(tmp_path), list(fitted.METHODS))
    with pytest.raises(UsageError):
        fitted.check(
            method="stego", n_classes=2, n_images=1, checkpoint=kind(tmp_path / "no.safetensors")
        )
    with pytest.raises(ZeroguideError):
        WordNet(kind(tmp_path))


def test_a_label(kind: Kind, photo: Path) -> None:
    labeling = zeroguide.label(kind(photo), kind(Path("tiny")), device="cpu", offline=True)
    assert labeling.picture == photo


DOORS = [
    datasets,
    fitted,
    models,
    search,
    sources,
    zeroguide,
    *(
        import_module(f"zeroguide.{name}")
        for name in (
            "evaluate.metrics.wordnet", "evaluate.reports.report", "evaluate.runner",
            "evaluate.scoring.rows", "image", "labeler", "recipe", "result", "result.formats.json_",
            "result.formats.registry", "runs.batch", "runs.layout",
            "runs.run_folder", "system.files",
        )
    ),
]  # fmt: skip


def public(module: Any) -> list[tuple[str, Callable[..., Any]]]:
    """Functions and methods that a module or its list of names offers."""
    names = getattr(module, "__all__", [name for name in vars(module) if name[0] != "_"])
    found = []
    for name in names:
        thing = getattr(module, name)
        if not getattr(thing, "__module__", "").startswith("zeroguide"):
            continue
        if inspect.isfunction(thing):
            found.append((name, thing))
        elif inspect.isclass(thing):
            own = inspect.getmembers(thing, inspect.isfunction)
            # what makes a record is the program's own
            made = not hasattr(thing, "__dataclass_fields__")
            kept = [(k, f) for k, f in own if k[0] != "_" or (k == "__init__" and made)]
            found += [(f"{name}.{k}", f) for k, f in kept]
    return found


@pytest.mark.parametrize("module", DOORS, ids=lambda module: module.__name__)
def test_no_public_function_asks_for_a_path_alone(module: Any) -> None:
    """What isn't called above shows at least by its types."""
    alone = [
        f"{name}({parameter})"
        for name, function in public(module)
        for parameter in inspect.signature(function).parameters.values()
        if re.search(r"\bPath\b", str(parameter.annotation)) and "str" not in str(parameter)
    ]
    assert alone == []
