"""How many workers a run has, and where each computes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

from zeroguide.errors import UsageError
from zeroguide.models import choose_device
from zeroguide.models.hub import Role, find
from zeroguide.runs.settings import Settings
from zeroguide.streaming import BATCH_SIZE
from zeroguide.system.prefetch import available_cores

# What a worker needs beside its weights, and how much more these are in memory than on disk, where
# they may have half precision.
_LIBRARIES = 1_000_000_000
_GROWTH = 2.5


def plan_workers(settings: Settings, n_workers: int | None) -> list[Settings]:
    """The settings of each worker: its device, its threads and its batch size.

    On CPUs there is one for each core if there is memory for as many; every GPU has one, or as many
    as its share of `n_workers`. The workers share the cores: all of them read, cut and refine
    pictures. Raises UsageError for a device that isn't there.
    """
    device = choose_device(settings.device)
    if n_workers is not None and n_workers < 1:
        raise UsageError(f"--workers {n_workers}: at least 1 is needed")
    cores = available_cores()
    if device.type == "cpu":
        n = n_workers or max(1, min(cores, _fitting(settings)))
        shared = replace(settings, threads=max(1, cores // n), batch_size=settings.batch_size or 1)
        return [shared] * n
    devices = [str(device)]
    if device.type == "cuda" and device.index is None:
        import torch

        devices = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    n = n_workers or len(devices)
    size, threads = settings.batch_size or BATCH_SIZE, max(1, cores // n)
    shared = replace(settings, batch_size=size, threads=threads)
    return [replace(shared, device=devices[i % len(devices)]) for i in range(n)]


def _fitting(settings: Settings) -> int:
    """How many workers fit into the memory that is free now."""
    available = _available_memory()
    if available is None:
        return 1 << 30
    weights = 0
    for role, checkpoint in settings.recipe.checkpoints().items():
        folder = find(checkpoint, cast(Role, role))
        if folder is not None:
            weights += sum(f.stat().st_size for f in Path(folder).rglob("*.safetensors"))
    return int(available / (_LIBRARIES + _GROWTH * weights))


def _available_memory() -> int | None:
    """Bytes that programs can still have; None where the system doesn't say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None
