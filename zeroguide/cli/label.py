"""`zeroguide label`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zeroguide.batch import Job, plan, saving, write_png
from zeroguide.cli.options import (
    Device,
    Images,
    Legend,
    Offline,
    Output,
    Overwrite,
    Preset,
    Quiet,
    Seed,
    Set,
    Verbose,
    read_recipe,
)
from zeroguide.cli.running import note_device, run_jobs, table_name
from zeroguide.console import Console
from zeroguide.errors import UsageError
from zeroguide.models import prepare
from zeroguide.sources import find_images

if TYPE_CHECKING:
    from zeroguide.image import Image

FORMATS = {"json": ".json"}  # name -> suffix of the result's file; the overlay is always written


def label(
    images: Images,
    output: Output = Path("labels"),
    preset: Preset = "fast",
    set_: Set = None,
    format_: Annotated[
        str, typer.Option("--format", metavar="NAME,...", help=f"Data: {', '.join(FORMATS)}.")
    ] = "json",
    legend: Annotated[Legend, typer.Option(help="Captions in a legend.")] = Legend.auto,
    device: Device = "auto",
    seed: Seed = None,
    offline: Offline = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Segment images and name every segment.

    Writes FOLDER/photo.jpg.png (the overlay) and FOLDER/photo.jpg.json; prints id, label, score
    and share of the image, tab-separated if the output isn't a terminal (after the file's name if
    there are several).
    """
    console = Console(quiet=quiet, verbose=verbose)
    suffixes = [".png", *_suffixes(format_)]
    recipe = read_recipe(preset, set_ or [], seed, device)
    jobs = plan(find_images(images, output, console.note), output, suffixes, overwrite=overwrite)

    def start() -> Callable[[Job, Image], None]:
        prepare(recipe.checkpoints(), offline=offline)
        from zeroguide.labeler import Labeler  # imports torch: what is missing is said before
        from zeroguide.overlay import draw

        labeler = Labeler(recipe, device=device, offline=offline)
        note_device(console, device, labeler.device)

        def work(job: Job, image: Image) -> None:
            labeling = labeler.label(image)
            picture = draw(labeling, image.pixels, legend=legend.value)
            with saving(job):
                write_png(picture, job.outputs[".png"])
                labeling.save(job.outputs[".json"])
            rows = [
                (
                    str(s.id),
                    s.label,
                    f"{s.score:.3f}",
                    f"{s.confidence:.2f}",
                    f"{s.area / labeling.label_map.size:.4f}",
                )
                for s in labeling.segments
            ]
            columns = ["id", "label", "score", "confidence", "share"]
            console.table(columns, rows, table_name(job, jobs))

        return work

    return run_jobs(recipe, jobs, start, output, console)


def _suffixes(formats: str) -> list[str]:
    """The suffixes of the comma-separated formats; UsageError with the nearest name."""
    names = [name.strip() for name in formats.split(",")]
    for name in names:
        if name not in FORMATS:
            from zeroguide.recipe import nearest

            raise UsageError(f"unknown format {name!r}: {nearest(name, list(FORMATS))}")
    return [FORMATS[name] for name in dict.fromkeys(names)]
