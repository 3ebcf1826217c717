"""How many workers a run has, where each computes, and with how many threads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from zeroguide.errors import UsageError
from zeroguide.recipe import load_recipe
from zeroguide.runs import planning
from zeroguide.runs.planning import plan_workers
from zeroguide.runs.settings import Settings
from zeroguide.streaming import BATCH_SIZE
from zeroguide.system.prefetch import ahead_of

SETTINGS = Settings(load_recipe("tiny"), Path("out"), batch_size=0)
GIB = 2**30


class Machine:
    """Cores, memory and GPUs that aren't there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cores, self.memory, self.gpus = 16, 64 * GIB, 0
        monkeypatch.setattr(planning, "available_cores", lambda: self.cores)
        monkeypatch.setattr(planning, "_available_memory", lambda: self.memory)
        monkeypatch.setattr("torch.cuda.is_available", lambda: self.gpus > 0)
        monkeypatch.setattr("torch.cuda.device_count", lambda: self.gpus)
        monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def plan(n_workers: int | None = None, **changes: Any) -> list[Settings]:
    return plan_workers(replace(SETTINGS, **changes), n_workers)


def test_a_cpu_has_a_worker_for_each_core(machine: Machine) -> None:
    found = plan()
    assert len(found) == 16
    assert {(s.device, s.threads, s.batch_size) for s in found} == {("auto", 1, 1)}


@pytest.mark.parametrize(
    ("workers", "threads"), [(1, 16), (2, 8), (3, 5), (5, 3), (16, 1), (40, 1)]
)
def test_workers_share_the_cores(machine: Machine, workers: int, threads: int) -> None:
    found = plan(workers, device="cpu")
    assert len(found) == workers and {s.threads for s in found} == {threads}


def test_no_more_workers_than_fit_into_the_memory(machine: Machine) -> None:
    machine.memory = 5 * GIB  # each needs one for the libraries, and tiny models
    assert len(plan()) in (4, 5)
    machine.memory = GIB // 2
    assert len(plan()) == 1  # which may well do
    assert len(plan(6)) == 6  # who asks for them gets them
    machine.memory = None  # type: ignore[assignment]  # the system doesn't say
    assert len(plan()) == 16


def test_eight_gpus_have_eight_workers_which_share_the_cores(machine: Machine) -> None:
    machine.gpus, machine.cores = 8, 96
    found = plan()
    assert [s.device for s in found] == [f"cuda:{i}" for i in range(8)]
    assert {s.threads for s in found} == {12}
    assert {s.batch_size for s in found} == {BATCH_SIZE}
    machine.cores = 4  # fewer cores than workers
    assert {s.threads for s in plan()} == {1}


def test_workers_are_dealt_to_the_gpus(machine: Machine) -> None:
    machine.gpus = 2
    found = plan(5, batch_size=3)
    assert [s.device for s in found] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1", "cuda:0"]
    assert {(s.threads, s.batch_size) for s in found} == {(3, 3)}


def test_one_gpu_that_is_named(machine: Machine) -> None:
    machine.gpus = 4
    (one,) = plan(device="cuda:2")
    assert (one.device, one.threads) == ("cuda:2", 16)
    assert [s.device for s in plan(3, device="cuda:2")] == ["cuda:2"] * 3


def test_the_cpu_though_there_are_gpus(machine: Machine) -> None:
    machine.gpus = 4
    found = plan(2, device="cpu")
    assert {(s.device, s.threads, s.batch_size) for s in found} == {("cpu", 8, 1)}


def test_an_apple_gpu_is_one_device(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    (one,) = plan()
    assert (one.device, one.threads, one.batch_size) == ("mps", 16, BATCH_SIZE)


def test_what_cannot_be(machine: Machine) -> None:
    with pytest.raises(UsageError, match="--workers 0: at least 1 is needed"):
        plan(0)
    with pytest.raises(UsageError, match="device 'cuda' isn't available here"):
        plan(device="cuda")
    machine.gpus = 2
    with pytest.raises(UsageError, match="the last is cuda:1"):
        plan(device="cuda:2")


def test_readers_are_no_more_than_a_workers_threads() -> None:
    assert ahead_of(8, 2)["threads"] == 2
    assert ahead_of(8, 96)["threads"] == 8
    assert ahead_of(1, 96)["threads"] == 1
    assert 1 <= ahead_of(8)["threads"] <= 8


def test_the_threads_are_set_before_the_models_load(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", told.append)
    monkeypatch.setattr("zeroguide.labeler.Labeler", lambda *a, **k: told.append(-1))
    replace(SETTINGS, threads=3).load_labeler()
    replace(SETTINGS, threads=None).load_labeler()
    assert told == [3, -1, -1]
