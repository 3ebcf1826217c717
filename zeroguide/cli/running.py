"""What `label` and `segment` share: the run over all images, and what is said around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zeroguide.runs.batch import EXIT_FAILED, Job, run
from zeroguide.system.console import Console
from zeroguide.system.files import output_folder

if TYPE_CHECKING:
    from zeroguide.image import Image
    from zeroguide.recipe import Recipe


def run_jobs(
    recipe: Recipe,
    jobs: Sequence[Job],
    start: Callable[[], Callable[[Job, Image], None]],
    output: Path,
    console: Console,
) -> int:
    """Do every job with what `start` returns (see `zeroguide.runs.batch.run`); the exit code."""

    def start_telling() -> Callable[[Job, Image], None]:
        console.note(recipe.introduction)
        return start()

    with output_folder(output), console.progress():
        code = run(
            jobs,
            start_telling,
            output=output,
            console=console,
            value_range=recipe.image.value_range,
        )
    if code != EXIT_FAILED:
        written = " and ".join(map(str, jobs[0].outputs.values())) if len(jobs) == 1 else output
        console.note(f"results are in {written}")
    return code


def note_device(console: Console, asked: str, device: object) -> None:
    """Say what "auto" has chosen."""
    if asked == "auto":
        console.note(f"device {device}, chosen by auto")


def table_name(job: Job, jobs: Sequence[Job]) -> str | None:
    """Tables name their image if there are several."""
    return str(job.source) if len(jobs) > 1 else None
