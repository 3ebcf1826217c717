"""A labeler without models whose images do what their names say, also in other processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from zeroguide.image import Image
from zeroguide.recipe import Recipe, load_recipe
from zeroguide.result import Label, Labeling
from zeroguide.result.provenance import provenance
from zeroguide.runs.settings import Outcome, Settings
from zeroguide.system.device_errors import on_device

# As torch says it; in newer versions the exception is a torch.AcceleratorError.
ILLEGAL_ACCESS = (
    "CUDA error: an illegal memory access was encountered\n"
    "CUDA kernel errors might be asynchronously reported at some other API call"
)


class StandIn:
    """Two segments: the left third and the rest. Knows what it was given.

    Images named "kill..." end the process; "kill once..." only the first time, which a file beside
    the results remembers. "break..." does the same to the GPU, which computes nothing more then.
    "fail..." raises, "slow..." takes a while, "large..." needs more memory than there is unless it
    is alone, "huge..." always.
    """

    device = "cpu"

    def __init__(self, recipe: Recipe, memory: Path) -> None:
        self.recipe = recipe
        self.memory = memory
        self.batches: list[list[str]] = []
        self.is_broken = False

    @on_device
    def label_batch(self, images: Sequence[Image]) -> list[Labeling]:
        names = [image.file_name for image in images]
        self.batches.append(names)
        for name in names:
            mark = self.memory / f".{name}.seen"
            is_due = not ("once" in name and mark.exists())
            if name.startswith("kill") and is_due:
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if name.startswith("break") and is_due:
                mark.touch()
                self.is_broken = True
            if self.is_broken:
                raise RuntimeError(ILLEGAL_ACCESS)
            if name.startswith("slow"):
                time.sleep(0.3)
            if name.startswith("fail"):
                raise RuntimeError("tensor of doom")
            if name.startswith("huge") or (name.startswith("large") and len(names) > 1):
                raise MemoryError
        return [self._label(image) for image in images]

    def _label(self, image: Image) -> Labeling:
        label_map = np.ones(image.pixels.shape[:2], np.int32)
        label_map[:, : max(1, label_map.shape[1] // 3)] = 0
        mean = image.pixels.reshape(-1, 3).mean(axis=0).astype(np.float32)
        labels = [
            Label("tall tree", 0.25, 0.5, (("bush", 0.2),), (0,), mean + 1),
            Label("blue sky", 0.75, 0.9, (), (1, 2), 256 - mean),
        ]
        return Labeling.build(image, label_map, labels, provenance(self.recipe))


@dataclass(frozen=True)
class KillerItem:
    """An image whose reading ends the process."""

    key: str
    name: str = "killer"
    origin: str = "killer"
    path: Path | None = None

    def read(self) -> bytes:
        os.kill(os.getpid(), signal.SIGKILL)
        return b""


@dataclass(frozen=True)
class StandInSettings(Settings):
    """Settings whose workers load a `StandIn`, in any process."""

    def load_labeler(self) -> Any:
        return StandIn(self.recipe, self.output)


@dataclass
class Collected:
    """What a run told."""

    outcomes: list[Outcome] = field(default_factory=list)

    def __call__(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def states(self) -> dict[str, str]:
        return {outcome.item.key: outcome.state for outcome in self.outcomes}


def settings(output: Path, **changes: Any) -> StandInSettings:
    """Settings of a run; without overlays, which take most of a test's time."""
    output.mkdir(parents=True, exist_ok=True)
    recipe = load_recipe("tiny", changes.pop("overrides", []))
    usual = {"batch_size": 1, "device": "cpu", "overlay": False}
    return StandInSettings(recipe, output, **{**usual, **changes})


def picture(path: Path, size: tuple[int, int] = (24, 16), seed: int = 0) -> Path:
    """A PNG file of noise, of its own for every name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, *path.name.encode()])
    pixels = rng.integers(0, 255, (size[1], size[0], 3), np.uint8)
    PIL.Image.fromarray(pixels).save(path, format="PNG")
    return path


def texts(folder: Path) -> dict[str, bytes]:
    """All files below a folder but those of the run itself and those of `StandIn`."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(".seen") and path.name != "run.json"
    }
