"""One worker: what it writes, what it keeps, and what it never touches."""

from __future__ import annotations

import errno
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from zeroguide.errors import OutputError
from zeroguide.result import Labeling
from zeroguide.runs.run_folder import RunFolder
from zeroguide.runs.settings import Outcome
from zeroguide.runs.sources import find_items
from zeroguide.runs.worker import Worker

from .stand_ins import Collected, picture, settings, texts


def work(folder: Path, output: Path, **changes: Any) -> Collected:
    told = Collected()
    items = find_items([str(folder)], output, lambda text: None)
    Worker(settings(output, **changes)).run(items, told)
    return told


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a/x.png", "b/x.png", "b/x.jpg", "y z ü.png"):
        picture(tmp_path / "in" / name)
    return tmp_path / "in"


def test_results_mirror_the_inputs(folder: Path, tmp_path: Path) -> None:
    told = work(folder, tmp_path / "out", overlay=True)
    assert set(told.states().values()) == {"labelled"}
    keys = {"a/x.png", "b/x.png", "b/x.jpg", "y z ü.png"}
    assert set(told.states()) == keys
    assert set(texts(tmp_path / "out")) == {f"{k}{s}" for k in keys for s in (".json", ".png")}
    labeling = Labeling.load(tmp_path / "out/b/x.jpg.json")
    assert (labeling.file_name, labeling.width, labeling.height) == ("x.jpg", 24, 16)
    assert labeling.embeddings is not None
    norms = np.linalg.norm(labeling.embeddings.astype(np.float32), axis=1)
    assert norms == pytest.approx(1, abs=2e-3)  # half precision


def test_a_second_run_keeps_everything(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    work(folder, output)
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*")}
    assert set(work(folder, output).states().values()) == {"kept"}
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*")} == before


def test_a_changed_image_is_labelled_again(folder: Path, tmp_path: Path) -> None:
    work(folder, tmp_path / "out")
    picture(folder / "a/x.png", seed=1)
    states = work(folder, tmp_path / "out").states()
    assert {key for key, state in states.items() if state == "labelled"} == {"a/x.png"}


def test_a_missing_overlay_is_drawn_from_the_result(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    work(folder, output, overlay=True)
    before = texts(output)
    (output / "a/x.png.png").unlink()
    assert work(folder, output, overlay=True).states()["a/x.png"] == "kept"
    assert texts(output) == before


@pytest.mark.parametrize("damage", [b"", b"\0" * 50, b'{\n "schema": "zeroguide/1", "im'])
def test_a_damaged_result_is_made_again(folder: Path, tmp_path: Path, damage: bytes) -> None:
    output = tmp_path / "out"
    work(folder, output)
    before = texts(output)
    (output / "a/x.png.json").write_bytes(damage)
    (outcome,) = [o for o in work(folder, output).outcomes if o.state == "labelled"]
    assert outcome.notes == (f"{output / 'a/x.png.json'} was damaged: labelled again",)
    assert texts(output) == before


@pytest.mark.parametrize("name", ["a/x.png.json", "a/x.png.png"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_files_of_others_stay(folder: Path, tmp_path: Path, name: str, overwrite: bool) -> None:
    output = tmp_path / "out"
    (output / "a").mkdir(parents=True)
    if name.endswith("json"):
        (output / name).write_text('{"shapes": []}')
    else:
        PIL.Image.new("RGB", (3, 3)).save(output / name)
    before = (output / name).read_bytes()
    told = work(folder, output, overwrite=overwrite, overlay=True)
    (failed,) = [o for o in told.outcomes if o.state == "failed"]
    assert f"{output / name}: already exists and isn't a result" in failed.error
    assert (output / name).read_bytes() == before
    assert sorted(told.states().values()) == ["failed", "labelled", "labelled", "labelled"]


@pytest.mark.parametrize("name", ["run", "run-1-of-2", "exports/a.png", "Parts/a.png", "=b.png"])
def test_images_named_like_the_runs_own_files(tmp_path: Path, name: str) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / "run.json").write_text(
        '{"schema": "zeroguide-run/1", "recipe": {}, "roots": [], "counts": {}}'
    )
    picture(tmp_path / "in" / name), picture(tmp_path / "in/z.png")
    names = [str(tmp_path / "in" / name), str(tmp_path / "in/z.png")]
    told = Collected()
    items = list(find_items(names, output, lambda text: None))
    Worker(settings(output)).run(items, told)
    assert set(told.states().values()) == {"labelled"}
    assert sorted(RunFolder(output).keys()) == sorted(item.key for item in items)
    assert json.loads((output / "run.json").read_text())["schema"] == "zeroguide-run/1"


def test_images_in_hidden_folders_are_in_the_run(tmp_path: Path) -> None:
    picture(tmp_path / ".hidden/.x.png")
    told = Collected()
    items = find_items(
        [str(tmp_path / ".hidden/.x.png"), str(picture(tmp_path / "y.png"))],
        tmp_path / "out",
        lambda text: None,
    )
    Worker(settings(tmp_path / "out")).run(items, told)
    assert RunFolder(tmp_path / "out").keys() == [".hidden/.x.png", "y.png"]


@pytest.mark.parametrize("content", [b"", b"\0" * 999])
def test_an_overlay_that_a_power_cut_left_empty_is_drawn(
    folder: Path, tmp_path: Path, content: bytes
) -> None:
    output = tmp_path / "out"
    work(folder, output, overlay=True)
    before = texts(output)
    (output / "a/x.png.png").write_bytes(content)
    assert work(folder, output, overlay=True).states()["a/x.png"] == "kept"
    assert texts(output) == before


def test_a_result_without_a_field_is_made_again(folder: Path, tmp_path: Path) -> None:
    work(folder, tmp_path / "out")
    path = tmp_path / "out/a/x.png.json"
    before = path.read_bytes()
    content = json.loads(before)
    del content["segments"][0]["label"]
    path.write_text(json.dumps(content))
    assert work(folder, tmp_path / "out").states()["a/x.png"] == "labelled"
    assert path.read_bytes() == before


def test_embeddings_that_are_wanted_later_are_made(folder: Path, tmp_path: Path) -> None:
    work(folder, tmp_path / "out", embeddings=False)
    assert set(work(folder, tmp_path / "out").states().values()) == {"labelled"}
    assert set(work(folder, tmp_path / "out").states().values()) == {"kept"}
    states = work(folder, tmp_path / "out", embeddings=False).states()
    assert set(states.values()) == {"kept"}


def test_an_overlay_that_fails_leaves_no_result(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("no font")

    monkeypatch.setattr("zeroguide.result.overlay.draw", fail)
    told = work(folder, tmp_path / "out", overlay=True)
    assert set(told.states().values()) == {"failed"}
    assert texts(tmp_path / "out") == {}


def test_another_recipe_is_in_the_way_unless_it_may_be_replaced(
    folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    work(folder, output)
    before = texts(output)
    other = ["merge.threshold=0.3"]
    told = work(folder, output, overrides=other)
    assert set(told.states().values()) == {"failed"}
    assert "is a result of another recipe; replace it with --overwrite" in told.outcomes[0].error
    assert texts(output) == before
    assert set(work(folder, output, overrides=other, may_replace=True).states().values()) == {
        "labelled"
    }
    recipe = json.loads((output / "a/x.png.json").read_text())["recipe"]
    assert recipe["settings"]["merge"]["threshold"] == 0.3


def test_without_overlays_and_embeddings(folder: Path, tmp_path: Path) -> None:
    work(folder, tmp_path / "out", embeddings=False)
    assert all(name.endswith(".json") for name in texts(tmp_path / "out"))
    assert Labeling.load(tmp_path / "out/a/x.png.json").embeddings is None


def test_bad_images_cost_no_others(folder: Path, tmp_path: Path) -> None:
    (folder / "empty.png").touch()
    (folder / "half.png").write_bytes((folder / "a/x.png").read_bytes()[:200])
    picture(folder / "fail.png")
    told = work(folder, tmp_path / "out", batch_size=8)
    assert sorted(told.states().values()).count("labelled") == 4
    errors = {o.item.key: (o.error, o.trace) for o in told.outcomes if o.state == "failed"}
    assert set(errors) == {"empty.png", "half.png", "fail.png"}
    assert "is empty (0 bytes)" in errors["empty.png"][0] and not errors["empty.png"][1]
    assert "unexpected RuntimeError (tensor of doom)" in errors["fail.png"][0]
    assert "Traceback" in errors["fail.png"][1]


def test_an_image_that_vanishes(folder: Path, tmp_path: Path) -> None:
    items = list(find_items([str(folder)], tmp_path / "out", lambda text: None))
    (folder / "b/x.png").unlink()
    told = Collected()
    Worker(settings(tmp_path / "out")).run(items, told)
    (failed,) = [o for o in told.outcomes if o.state == "failed"]
    assert "no such file" in failed.error and failed.item.key == "b/x.png"


def test_a_full_disk_ends_the_run_and_keeps_what_is_done(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, saved = Labeling.save, []

    def full(self: Labeling, path: Path) -> None:
        if len(saved) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        saved.append(path)
        save(self, path)

    monkeypatch.setattr(Labeling, "save", full)
    with pytest.raises(OutputError, match=r"results can't be written \(No space left on device\)"):
        work(folder, tmp_path / "out")
    assert sum(name.endswith(".json") for name in texts(tmp_path / "out")) == 2
    monkeypatch.setattr(Labeling, "save", save)
    states = sorted(work(folder, tmp_path / "out").states().values())
    assert states == ["kept", "kept", "labelled", "labelled"]


def test_names_as_long_as_names_can_be(tmp_path: Path) -> None:
    for last in "12":
        picture(tmp_path / "in" / f"{'n' * 249}{last}.png")  # 254 bytes: with .json too many
    told = work(tmp_path / "in", tmp_path / "out", overlay=True)
    assert list(told.states().values()) == ["labelled"] * 2
    assert len(texts(tmp_path / "out")) == 4


def test_a_path_too_long_for_its_results_costs_one_image(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = Labeling.save

    def too_long(self: Labeling, path: Path) -> None:
        if path.name == "x.jpg.json":
            raise OSError(errno.ENAMETOOLONG, "File name too long")
        save(self, path)

    monkeypatch.setattr(Labeling, "save", too_long)
    told = work(folder, tmp_path / "out")
    (failed,) = [o for o in told.outcomes if o.state == "failed"]
    assert failed.error.endswith("its name is too long for the names of its results; rename it")
    assert len(texts(tmp_path / "out")) == 3


def test_stop_finishes_the_image_in_hand(tmp_path: Path) -> None:
    for i in range(9):
        picture(tmp_path / "in" / f"slow {i}.png")
    stop, told = threading.Event(), Collected()
    items = find_items([str(tmp_path / "in")], tmp_path / "out", lambda text: None)

    def done(outcome: Outcome) -> None:
        told(outcome)
        stop.set()

    Worker(settings(tmp_path / "out")).run(items, done, stop=stop)
    assert 1 <= len(told.outcomes) <= 2  # the next may have begun
    assert set(texts(tmp_path / "out")) == {f"{key}.json" for key in told.states()}


def test_models_are_loaded_once_and_only_if_needed(folder: Path, tmp_path: Path) -> None:
    loads: list[int] = []
    chosen = settings(tmp_path / "out")

    def load() -> Any:
        loads.append(1)
        return chosen.load_labeler()

    for expected in (1, 1):
        items = find_items([str(folder)], tmp_path / "out", lambda text: None)
        Worker(chosen, load).run(items, Collected())
        assert len(loads) == expected
