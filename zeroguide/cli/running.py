"""What commands share beside their flags: the models they load, and what is said of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zeroguide.system.console import Console

if TYPE_CHECKING:
    from zeroguide.labeler import Labeler
    from zeroguide.recipe import Recipe

INTERRUPTED = 130  # exit code: 128 + SIGINT


def load_labeler(recipe: Recipe, console: Console, device: str, *, offline: bool) -> Labeler:
    """Introduce the recipe and load its models. Raises what `prepare` and `Labeler` raise."""
    from zeroguide.models import prepare

    console.note(recipe.introduction)
    prepare(recipe.checkpoints(), offline=offline)
    console.step("loading the models")
    from zeroguide.labeler import Labeler  # imports torch: what is missing is said before

    labeler = Labeler(recipe, device=device, offline=offline)
    note_device(console, device, labeler.device)
    return labeler


def note_device(console: Console, asked: str, device: object) -> None:
    """Say what "auto" has chosen."""
    if asked == "auto":
        console.note(f"device {device}, chosen by auto")
