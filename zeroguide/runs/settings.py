"""What workers of a run are told, and what they tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from zeroguide.recipe import Recipe
from zeroguide.result import Labeling
from zeroguide.runs.layout import overlay_path, result_path
from zeroguide.runs.sources import Item

if TYPE_CHECKING:
    from zeroguide.labeler import Labeler

State = Literal["labelled", "kept", "failed"]


@dataclass(frozen=True)
class Settings:
    """What all workers of a run are told; picklable.

    output: the run's folder, which exists. overlay: whether to draw one. legend: "auto", "always"
    or "never". renames: what labels become, by what the models write; by `Run`. embeddings:
    whether results keep them. overwrite: label again what is labelled. may_replace: results of
    other recipes, too. batch_size: images in the networks at once, at most; 0 isn't decided yet.
    threads: of torch, and at most so many that read and write; None: torch's choice.
    """

    recipe: Recipe
    output: Path
    device: str = "auto"
    offline: bool = False
    overlay: bool = True
    legend: Literal["auto", "always", "never"] = "auto"
    renames: Mapping[str, str] = field(default_factory=dict)
    embeddings: bool = True
    overwrite: bool = False
    may_replace: bool = False
    batch_size: int = 0
    threads: int | None = None

    def files(self, key: str) -> list[Path]:
        """The files of an image's results."""
        overlays = [overlay_path(self.output, key)] if self.overlay else []
        return [*overlays, result_path(self.output, key)]

    def load_labeler(self) -> Labeler:
        """Load the models."""
        import torch

        from zeroguide.labeler import Labeler

        if self.threads is not None:
            torch.set_num_threads(self.threads)
        return Labeler(self.recipe, device=self.device, offline=self.offline)


@dataclass(frozen=True)
class Outcome:
    """What became of an image.

    error: one sentence if it failed. trace: Python's traceback if that was a fault of the program.
    notes: what its user may want to know. labeling: of an image that was labelled; None where it
    would have to cross processes.
    """

    item: Item
    state: State
    error: str = ""
    trace: str = ""
    notes: tuple[str, ...] = ()
    labeling: Labeling | None = None


Told = Callable[[Outcome], None]  # who is told of every outcome
