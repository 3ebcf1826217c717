"""What commands share beside their flags: models they load, and what they say and print."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zeroguide.runs.batch import EXIT_FAILED, Job, run
from zeroguide.system.console import Console
from zeroguide.system.files import output_folder

if TYPE_CHECKING:
    from zeroguide.image import Image
    from zeroguide.labeler import Labeler
    from zeroguide.recipe import Recipe
    from zeroguide.result import Segment

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


def run_jobs(
    jobs: Sequence[Job],
    start: Callable[[], Callable[[Job, Image], None]],
    output: Path,
    recipe: Recipe,
    console: Console,
) -> int:
    """Do jobs one after the other and say where their results are; the exit code. See `run`."""
    with output_folder(output), console.progress():
        code = run(
            jobs, start, output=output, console=console, value_range=recipe.image.value_range
        )
    if code != EXIT_FAILED:
        written = " and ".join(map(str, jobs[0].outputs.values())) if len(jobs) == 1 else output
        console.note(f"results are in {written}")
    return code


def print_segments(
    console: Console, segments: Sequence[Segment], n_pixels: int, name: str | None
) -> None:
    """An image's segments as a table; `name` where there are several images."""
    rows = [
        (
            str(s.id),
            f"{s.label} (composed)" if s.composed else s.label,
            *([] if s.category is None else [s.category.name]),
            f"{s.score:.3f}",
            f"{s.confidence:.2f}",
            f"{s.area / n_pixels:.4f}",
            ", ".join(label for label, _ in s.alternatives),
        )
        for s in segments
    ]
    has_class = any(s.category is not None for s in segments)
    own = ["label", "class"] if has_class else ["label"]
    columns = ["id", *own, "score", "confidence", "share", "alternatives"]
    console.table(columns, rows, name)
