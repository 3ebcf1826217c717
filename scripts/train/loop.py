"""What training scripts share: schedule, resumable runs, rendered scenes as batches."""

from __future__ import annotations

import argparse
import csv
import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader, Dataset

from zeroguide.playroom import Scene, render


def training_parser(
    doc: str | None, *, steps: int, batch_size: int, peak_lr: float
) -> argparse.ArgumentParser:
    """The options of every training run, with a script's own defaults."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of checkpoint and curve")
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--batch-size", type=int, default=batch_size)
    parser.add_argument("--peak-lr", type=float, default=peak_lr)
    parser.add_argument("--device", default="cpu")
    return parser


def learning_rate(step: int, *, peak: float, warmup: int, total: int) -> float:
    """Linear warm-up to `peak`, then half a cosine to zero at `total` (Loshchilov 2017)."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return peak * 0.5 * (1 + math.cos(math.pi * progress))


def schedule(
    optimizer: torch.optim.Optimizer, step: int, *, peak: float, warmup: int, total: int
) -> float:
    """Set the learning rate of a step in all of the optimizer's groups; returns it."""
    rate = learning_rate(step, peak=peak, warmup=warmup, total=total)
    for group in optimizer.param_groups:
        group["lr"] = rate
    return rate


def descend(loss: torch.Tensor, optimizer: torch.optim.Optimizer, network: torch.nn.Module) -> None:
    """One step down the gradient, which is cut to length 1."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()


def attention_kernel(device: torch.device) -> AbstractContextManager[Any]:
    """The attention kernel to train with: on CPUs the plain one.

    For sequences of at most 200 tokens the CPU flash kernel's backward pass takes half of a whole
    training step; plain matrix products take a tenth.
    """
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def parameter_groups(network: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """AdamW groups: matrices decay; biases, norms, embeddings and scalars don't."""
    plain = ("embedding", "logit_scale", "wte", "wpe", "cls_token", "mask_token")
    decayed: list[torch.Tensor] = []
    free: list[torch.Tensor] = []
    for name, parameter in network.named_parameters():
        small = parameter.ndim < 2 or any(word in name for word in plain)
        (free if small else decayed).append(parameter)
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]


class SceneDataset(Dataset[Scene]):
    """Scenes of one world, by index."""

    def __init__(self, seed: int, count: int, **kind: Any) -> None:
        self.seed, self.count, self.kind = seed, count, kind

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Scene:
        return render(self.seed, index, **self.kind)


def batches(
    dataset: Dataset[Any],
    *,
    batch_size: int,
    first_step: int,
    steps: int,
    workers: int,
    collate: Any,
) -> Iterator[Any]:
    """Batches of step `first_step` to `steps` - 1, the same ones whenever a run was interrupted."""
    order = range(first_step * batch_size, steps * batch_size)
    loader = DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=order,
        num_workers=workers,
        collate_fn=collate,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_one_thread,
    )
    return iter(loader)


def _one_thread(_worker: int) -> None:
    torch.set_num_threads(1)


class Run:
    """A folder with a training run's newest checkpoint and its curve (``curve.csv``)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkpoint = folder / "checkpoint.pt"
        self.started = time.monotonic()
        self.seconds_before = 0.0
        folder.mkdir(parents=True, exist_ok=True)

    def resume(self, **parts: Any) -> int:
        """Load the parts' states from the newest checkpoint; returns the step to go on from."""
        if not self.checkpoint.exists():
            return 0
        state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(state["parts"][name])
        self.seconds_before = state["seconds"]
        return int(state["step"])

    def save(self, step: int, **parts: Any) -> None:
        """Write a checkpoint that continues at `step`, atomically."""
        state = {
            "step": step,
            "seconds": self.seconds,
            "parts": {name: part.state_dict() for name, part in parts.items()},
        }
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.checkpoint)

    @property
    def seconds(self) -> float:
        """Training time so far, interruptions left out."""
        return self.seconds_before + time.monotonic() - self.started

    def log(self, step: int, **values: float) -> None:
        """Append a row to the curve and print it."""
        row = {"step": step, "seconds": round(self.seconds, 1)}
        row |= {name: float(f"{value:.5g}") for name, value in values.items()}
        path = self.folder / "curve.csv"
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)
        print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)


def stack_pixels(scenes: list[Scene]) -> torch.Tensor:
    """Pictures of equal size as (B, 3, H, W) uint8."""
    return torch.from_numpy(np.stack([scene.pixels for scene in scenes])).permute(0, 3, 1, 2)
