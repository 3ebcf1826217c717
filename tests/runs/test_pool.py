"""Several processes, some of which die."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from zeroguide.errors import DeviceError, UsageError
from zeroguide.runs.pool import Pool, WorkersError
from zeroguide.runs.settings import Outcome
from zeroguide.runs.sources import find_items
from zeroguide.runs.worker import Worker
from zeroguide.system.device_errors import device_errors

from .stand_ins import Collected, KillerItem, StandInSettings, picture, settings, texts


def run(pool: Pool, folder: Path, output: Path, **changes: Any) -> Collected:
    told = Collected()
    pool.run(find_items([str(folder)], output, lambda text: None), told, **changes)
    return told


def test_two_workers_write_what_one_writes(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for i in range(12):
        picture(folder / f"{i % 3}" / f"{i}.png")
    items = find_items([str(folder)], tmp_path / "one", lambda text: None)
    Worker(settings(tmp_path / "one")).run(items, Collected())
    pool = Pool([settings(tmp_path / "two")] * 2)
    told = run(pool, folder, tmp_path / "two")
    assert len(told.outcomes) == 12 and set(told.states().values()) == {"labelled"}
    assert texts(tmp_path / "two") == texts(tmp_path / "one")
    assert pool.deaths == 0 and pool.model_seconds > 0


def test_a_worker_that_dies_is_replaced_and_nothing_is_lost(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for name in ("a", "b", "kill once 1", "kill once 2", "m", "n", "o", "p", "q"):
        picture(folder / f"{name}.png")
    pool = Pool([settings(tmp_path / "out")] * 2)
    told = run(pool, folder, tmp_path / "out")
    assert sorted(told.states()) == sorted(p.name for p in folder.iterdir())
    assert len(told.outcomes) == 9
    # "kept" if it was written, but not told any more
    assert set(told.states().values()) <= {"labelled", "kept"}
    assert pool.deaths == 2


@pytest.mark.slow
def test_an_image_that_kills_every_worker_is_given_up(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for name in ("a", "b", "kill", "m", "n"):
        picture(folder / f"{name}.png")
    pool = Pool([settings(tmp_path / "out")] * 2)
    told = run(pool, folder, tmp_path / "out")
    assert len(told.outcomes) == 5
    (failed,) = [o for o in told.outcomes if o.state == "failed"]
    assert failed.item.key == "kill.png"
    assert "3 processes ended while they labelled it (signal SIGKILL)" in failed.error


def test_an_image_that_kills_its_reader_costs_no_other(tmp_path: Path) -> None:
    folder, output = tmp_path / "in", tmp_path / "out"
    for i in range(10):
        picture(folder / f"slow {i}.png")
    items: list[Any] = list(find_items([str(folder)], output, lambda text: None))
    items.insert(4, KillerItem("killer.png"))
    told = Collected()
    Pool([settings(output)] * 2).run(items, told)
    assert len(told.outcomes) == 11
    failed = [outcome.item.key for outcome in told.outcomes if outcome.state == "failed"]
    assert failed == ["killer.png"]


def test_a_failed_device_costs_its_image_at_most(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for name in ("a", "b", "break once", "break", "m", "n", "o", "p"):
        picture(folder / f"{name}.png")
    pool = Pool([settings(tmp_path / "out")] * 2)
    told = run(pool, folder, tmp_path / "out")
    states = told.states()
    assert len(told.outcomes) == 8
    assert states.pop("break.png") == "failed"
    assert set(states.values()) <= {"labelled", "kept"}
    (failed,) = [o for o in told.outcomes if o.state == "failed"]
    assert "3 processes ended while they labelled it (cpu: an illegal memory" in failed.error
    assert pool.deaths >= 4 and pool.lost == []


class BrokenWhenLoading(StandInSettings):
    """The first GPU is broken, and another's worker waits until that is known."""

    def load_labeler(self) -> Any:
        mark = self.output / ".broken.seen"
        if self.device == "cuda:0":
            mark.touch()
            with device_errors(self.device):
                raise RuntimeError("CUDA error: uncorrectable ECC error encountered")
        deadline = time.monotonic() + 60
        while not mark.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        return super().load_labeler()


def test_a_device_that_takes_no_models_is_left(tmp_path: Path) -> None:
    for i in range(20):
        picture(tmp_path / "in" / f"{i}.png")
    usual = settings(tmp_path / "out")
    plan = [
        BrokenWhenLoading(usual.recipe, usual.output, f"cuda:{i}", overlay=False, batch_size=1)
        for i in range(2)
    ]
    pool = Pool(plan)
    told = run(pool, tmp_path / "in", tmp_path / "out")
    assert len(told.outcomes) == 20 and set(told.states().values()) == {"labelled"}
    reason = "uncorrectable ECC error encountered"
    assert pool.lost == [f"the device cuda:0 has failed ({reason}) and was left"]
    assert pool.deaths == 0
    with pytest.raises(DeviceError, match="the device cuda:0 has failed"):
        run(Pool([replace(plan[0], overwrite=True)]), tmp_path / "in", tmp_path / "out")


class DiesWhenLoading(StandInSettings):
    def load_labeler(self) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_workers_that_only_die_end_the_run(tmp_path: Path) -> None:
    for i in range(3):
        picture(tmp_path / "in" / f"{i}.png")
    usual = settings(tmp_path / "out")
    doomed = DiesWhenLoading(usual.recipe, usual.output, batch_size=1)
    with pytest.raises(WorkersError, match=r"before they have labelled anything \(signal SIGKILL"):
        run(Pool([doomed]), tmp_path / "in", tmp_path / "out")


class Unpicklable(Exception):
    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}")


class FailsOddly(StandInSettings):
    def load_labeler(self) -> Any:
        raise Unpicklable("strange", "thing")


def test_an_exception_that_cannot_cross_processes_says_the_same(tmp_path: Path) -> None:
    picture(tmp_path / "in/a.png")
    usual = settings(tmp_path / "out")
    odd = FailsOddly(usual.recipe, usual.output, batch_size=1)
    with pytest.raises(RuntimeError, match="Unpicklable: strange thing"):
        run(Pool([odd]), tmp_path / "in", tmp_path / "out")


class FailsWhenLoading(StandInSettings):
    def load_labeler(self) -> Any:
        raise UsageError("features.layer=99 is out of range")


def test_a_mistake_in_the_settings_is_told_once(tmp_path: Path) -> None:
    picture(tmp_path / "in/a.png")
    usual = settings(tmp_path / "out")
    wrong = FailsWhenLoading(usual.recipe, usual.output, batch_size=1)
    with pytest.raises(UsageError, match="layer=99"):
        run(Pool([wrong] * 2), tmp_path / "in", tmp_path / "out")


def test_stop_lets_each_worker_finish_what_it_has_in_hand(tmp_path: Path) -> None:
    folder, output = tmp_path / "in", tmp_path / "out"
    for i in range(40):
        picture(folder / f"slow {i}.png")
    stop, told = threading.Event(), Collected()

    def done(outcome: Outcome) -> None:
        told(outcome)
        stop.set()

    Pool([settings(output)] * 2).run(
        find_items([str(folder)], output, lambda text: None), done, stop=stop
    )
    assert 1 <= len(told.outcomes) <= 4  # those in hand, and the next if they had begun
    # what is told is what is there
    assert {f"{key}.json" for key in told.states()} == {
        name for name in texts(output) if name.endswith(".json")
    }


def test_what_the_source_is_waiting_for_holds_nothing_up(tmp_path: Path) -> None:
    picture(tmp_path / "in/a.png"), picture(tmp_path / "in/b.png")
    first, second = find_items([str(tmp_path / "in")], tmp_path / "out", lambda text: None)
    told = Collected()

    def slowly() -> Any:
        yield first
        deadline = time.monotonic() + 60
        while not told.outcomes and time.monotonic() < deadline:
            time.sleep(0.05)
        yield second

    Pool([settings(tmp_path / "out")]).run(slowly(), told)
    assert told.states() == {"a.png": "labelled", "b.png": "labelled"}
