"""Runs on a Ray cluster of two workers on this machine: same labels, whatever dies."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import PIL.Image
import pytest

from zeroguide.errors import OutputError, UsageError
from zeroguide.playroom import render
from zeroguide.recipe import load_recipe
from zeroguide.result.provenance import provenance
from zeroguide.runs.label_run import Observer, Run, Summary
from zeroguide.runs.layout import PARTS
from zeroguide.runs.parts import Row, write_part
from zeroguide.runs.pool import ATTEMPTS
from zeroguide.runs.relabel import relabel
from zeroguide.runs.run_folder import RunFolder
from zeroguide.runs.settings import Outcome, Settings
from zeroguide.runs.sources.item import FileItem
from zeroguide.runs.worker import Worker

from .stand_ins import StandInSettings

pytest.importorskip("ray.data", reason="ray isn't installed")
pytest.importorskip("pyarrow", reason="pyarrow isn't installed")

pytestmark = pytest.mark.slow

RECIPE = load_recipe("tiny")


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    import ray

    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),  # workers load this module
        "RAY_BACKEND_LOG_LEVEL": "fatal",
        "RAY_worker_niceness": "0",  # Ray's are behind all other processes
    }
    with mock.patch.dict(os.environ, environment):
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            object_store_memory=200_000_000,
        )
    yield
    ray.shutdown()


def images(folder: Path, names: Iterable[str]) -> list[FileItem]:
    """Small pictures, no two alike."""
    folder.mkdir(exist_ok=True)
    items = []
    for i, name in enumerate(names):
        path = folder / name
        PIL.Image.fromarray(np.full((8, 9, 3), i % 251, np.uint8)).save(path)
        items.append(FileItem(f"{i % 3}/{name}", str(path), str(path)))
    return items


def label(items: list[FileItem], settings: Settings) -> tuple[Summary, list[Outcome], list[str]]:
    """A run, what became of each image, and the notes."""
    outcomes: list[Outcome] = []
    notes: list[str] = []
    settings.output.mkdir(exist_ok=True)
    observer = Observer(done=lambda outcome, _: outcomes.append(outcome), note=notes.append)
    summary = Run(items, settings, workers=2, observer=observer, engine="ray").label()
    assert max(Counter(outcome.item.key for outcome in outcomes).values()) == 1
    return summary, outcomes, notes


def without_models(output: Path) -> StandInSettings:
    return StandInSettings(RECIPE, output, device="cpu", overlay=False)


def contents(folder: Path) -> dict[str, dict[str, object]]:
    found = {}
    for entry in RunFolder(folder):
        assert entry.key not in found
        found[entry.key] = entry.labeling.to_dict()
    return found


def test_labels_are_those_of_one_machine_to_the_last_bit(tmp_path: Path) -> None:
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    for i in range(8):
        PIL.Image.fromarray(render(21, i, size=112).pixels).save(scenes / f"{i}.png")
    items = [FileItem(p.name, str(p), str(p)) for p in sorted(scenes.iterdir())]
    settings = Settings(RECIPE, tmp_path / "ray", device="cpu", overlay=True)
    summary, _, notes = label(items, settings)
    assert (summary.labelled, summary.workers) == (8, 2)
    assert summary.model_seconds > 0
    assert "no overlays are drawn with --engine ray" in notes
    assert not list((tmp_path / "ray").rglob("*.png"))
    code = (
        "import sys; from pathlib import Path; from zeroguide.recipe import load_recipe\n"
        "from zeroguide.runs.worker import Settings, Worker\n"
        "from zeroguide.runs.sources.item import FileItem\n"
        "items = [FileItem(p.name, str(p), str(p)) for p in sorted(Path(sys.argv[1]).iterdir())]\n"
        "Worker(Settings(load_recipe('tiny'), Path(sys.argv[2]), device='cpu', overlay=False,\n"
        "    batch_size=1, threads=1)).run(items, lambda outcome: None)\n"
    )
    (tmp_path / "one").mkdir()
    argv = [sys.executable, "-c", code, str(scenes), str(tmp_path / "one")]
    subprocess.run(argv, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    expected = contents(tmp_path / "one")
    assert len(expected) == 8
    assert contents(tmp_path / "ray") == expected


def test_images_to_come_get_the_labels_of_a_renamed_run(tmp_path: Path) -> None:
    items = images(tmp_path / "in", [f"{i}.png" for i in range(6)])
    settings = without_models(tmp_path / "out")
    label(items[:3], settings)
    relabel(tmp_path / "out", {"tall tree": "plant"})
    assert label(items, settings)[0].kept == 3
    label(items, without_models(tmp_path / "whole"))
    relabel(tmp_path / "whole", {"tall tree": "plant"})
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert "plant" in json.dumps(contents(tmp_path / "out")["2/5.png"])


def test_what_dies_costs_nothing_else(tmp_path: Path) -> None:
    names = [f"ä {i}.png" for i in range(40)]
    for i in (0, 17, 18):
        names[i] = f"kill once {i}.png"
    names[7], names[30], names[31] = "kill 7.png", "fail 30.png", "no picture.png"
    names[25] = "break once 25.png"
    items = images(tmp_path / "in", names)
    good = Path(items[31].place).read_bytes()
    Path(items[31].place).write_bytes(b"none")
    settings = without_models(tmp_path / "out")
    summary, outcomes, notes = label(items, settings)
    assert (summary.labelled, summary.failed) == (37, 3)
    problems = {o.item.key: o.error for o in outcomes if o.state == "failed"}
    assert f"{ATTEMPTS} processes ended while they labelled it" in problems[items[7].key]
    assert "tensor of doom" in problems[items[30].key]
    assert "not an image" in problems[items[31].key]
    deaths = 4 + 1 + ATTEMPTS  # the poison first killed a block
    assert f"{deaths} worker processes died and were replaced" in notes
    assert any(re.search(r"device has failed \(cpu of .*: an illegal memory", n) for n in notes)
    before = contents(settings.output)
    assert before.keys() == {item.key for item in items} - problems.keys()

    # Taken up again: what is done stays, what has changed is made again and counts.
    Path(items[31].place).write_bytes(good)
    Path(items[3].place).write_bytes(Path(items[4].place).read_bytes())
    del items[7]
    summary, _, _ = label(items, settings)
    assert (summary.labelled, summary.kept, summary.failed) == (2, 36, 1)
    after = contents(settings.output)
    assert after.keys() == before.keys() | {items[30].key}
    assert {key for key in before if before[key] != after[key]} == {items[3].key}
    assert after[items[3].key]["segments"] == after[items[4].key]["segments"]
    expected = tmp_path / "one machine"
    expected.mkdir()
    for mark in settings.output.glob(".* once*"):  # or it would kill this process
        (expected / mark.name).touch()
    alone = StandInSettings(RECIPE, expected, device="cpu", overlay=False, batch_size=1)
    Worker(alone).run([i for i in items if "fail" not in i.key], lambda outcome: None)
    assert contents(expected) == after


def test_what_was_stopped_goes_on(tmp_path: Path) -> None:
    items = images(tmp_path / "in", [f"{i}.png" for i in range(300)])
    settings = without_models(tmp_path / "out")
    settings.output.mkdir()
    from zeroguide.runs.ray_run import RayPool

    stop = threading.Event()
    seen: list[Outcome] = []

    def done(outcome: Outcome) -> None:
        stop.set()
        seen.append(outcome)

    RayPool(settings, 2).run(items, done, stop=stop)
    assert {outcome.item.key for outcome in seen} == set(RunFolder(settings.output).keys())
    assert 128 <= len(seen) <= 300
    assert {outcome.state for outcome in seen} == {"labelled"}


def test_what_ends_a_run_is_one_sentence(tmp_path: Path) -> None:
    from zeroguide.runs.ray_run import RayPool

    items = images(tmp_path / "in", ["x.png"])
    settings = without_models(tmp_path / "out")
    text = json.dumps({"recipe": provenance(RECIPE)})
    write_part(settings.output / PARTS, [Row("y.png", "0" * 64, text)], 1)
    other = replace(settings, recipe=load_recipe("tiny", ["seed=1"]))
    with pytest.raises(UsageError, match="another recipe"):
        RayPool(other, 1).run(items, lambda outcome: None)
    with pytest.raises(UsageError, match="--engine ray"):
        Run(items, settings).label()
    with pytest.raises(UsageError, match=r"cpu or cuda"):
        RayPool(replace(settings, device="mps"), 1)
    with pytest.raises(UsageError, match="has no GPU"):
        RayPool(replace(settings, device="cuda"), 1)
    blocked = replace(settings, output=tmp_path / "blocked")
    blocked.output.mkdir()
    (blocked.output / PARTS).write_text("in the way")
    with pytest.raises(OutputError, match="blocked/parts"):
        RayPool(blocked, 1).run(items, lambda outcome: None)


def test_a_mistake_in_the_settings_ends_the_run(tmp_path: Path) -> None:
    items = images(tmp_path / "in", [f"{i}.png" for i in range(40)])
    settings = Settings(
        load_recipe("tiny", ["models.dino=/no/such/model"]), tmp_path / "out", device="cpu"
    )
    with pytest.raises(Exception, match="/no/such/model"):
        label(items, settings)


def test_the_watch_tells_poison_from_innocence() -> None:
    from zeroguide.runs.ray_stages import Watch

    watch = Watch(actors=1)
    assert watch.begin(["a", "b", "c"]) == {}
    assert watch.begin(["a", "b", "c"]) == {"a": 0, "b": 0, "c": 0}  # its process died
    watch.begin_alone("a")
    watch.finish(["a"], 0.5)
    for n in range(1, ATTEMPTS + 1):
        watch.begin_alone("b")
        assert watch.begin(["a", "b", "c"]) == {"b": n, "c": 0} | ({"a": 0} if n > 1 else {})
    watch.withdraw("b")
    assert watch.begin(["b"]) == {"b": ATTEMPTS - 1}
    assert watch.figures() == (0.5, 0)
    watch.stop()
    assert watch.begin(["d"]) is None


def test_workers_that_die_at_once_are_not_started_for_ever() -> None:
    from zeroguide.runs.ray_stages import Watch

    watch = Watch(actors=2)
    starts = [watch.start(i > 1) for i in range(11)]
    assert starts == [True] * 10 + [False]
    assert watch.figures()[1] == 9
    watch.finish(["a"], 0.0)
    assert watch.start(True)
