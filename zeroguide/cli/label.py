"""`zeroguide label` and `zeroguide segment`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zeroguide.batch import EXIT_FAILED, Job, output_folder, plan, run, saving, write_png
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
from zeroguide.console import Console
from zeroguide.errors import UsageError
from zeroguide.models import prepare

if TYPE_CHECKING:
    from zeroguide.image import Image
    from zeroguide.recipe import Recipe

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
    jobs = plan(images, output, suffixes, overwrite=overwrite)

    def start() -> Callable[[Job, Image], None]:
        prepare(recipe.checkpoints(), offline=offline)
        from zeroguide.labeler import Labeler  # imports torch: what is missing is said before
        from zeroguide.overlay import draw

        labeler = Labeler(recipe, device=device, offline=offline)
        _note_device(console, device, labeler.device)

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
            console.table(columns, rows, _name(job, jobs))

        return work

    return _run(recipe, jobs, start, output, console)


def segment(
    images: Images,
    output: Output = Path("segments"),
    preset: Preset = "fast",
    method: Annotated[
        str | None, typer.Option(metavar="NAME", help="Segmenter; default: the recipe's.")
    ] = None,
    set_: Set = None,
    device: Device = "auto",
    seed: Seed = None,
    offline: Offline = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Segment images without naming anything: no CLIP, no language model.

    Writes FOLDER/photo.jpg.png (the overlay), FOLDER/photo.jpg.map.png (16-bit, the segment's id
    at every pixel) and FOLDER/photo.jpg.json; prints id and share of the image.
    """
    console = Console(quiet=quiet, verbose=verbose)
    overrides = [*(set_ or []), *([f"segmenter.method={method}"] if method else [])]
    recipe = read_recipe(preset, overrides, seed, device)
    jobs = plan(images, output, [".png", ".map.png", ".json"], overwrite=overwrite)

    def start() -> Callable[[Job, Image], None]:
        prepare(recipe.checkpoints(labels=False), offline=offline)
        from zeroguide.labeler import Segmenter, provenance  # imports torch
        from zeroguide.labeling import Label, Labeling
        from zeroguide.overlay import draw

        segmenter = Segmenter(recipe, device=device, offline=offline)
        _note_device(console, device, segmenter.device)

        def work(job: Job, image: Image) -> None:
            label_map = segmenter.segment(image)  # (H, W) int32, from 0
            nameless = [Label("", 0.0, 0.0, (), ())] * (int(label_map.max()) + 1)
            labeling = Labeling.build(image, label_map, nameless, provenance(recipe))
            picture = draw(labeling, image.pixels, legend="never")
            with saving(job):
                write_png(picture, job.outputs[".png"])
                write_png(labeling.label_map.astype("uint16"), job.outputs[".map.png"])
                labeling.save(job.outputs[".json"])
            rows = [
                (str(s.id), f"{s.area / labeling.label_map.size:.4f}") for s in labeling.segments
            ]
            console.table(["id", "share"], rows, _name(job, jobs))

        return work

    return _run(recipe, jobs, start, output, console)


def _suffixes(formats: str) -> list[str]:
    """The suffixes of the comma-separated formats; UsageError with the nearest name."""
    names = [name.strip() for name in formats.split(",")]
    for name in names:
        if name not in FORMATS:
            from zeroguide.recipe import nearest

            raise UsageError(f"unknown format {name!r}: {nearest(name, list(FORMATS))}")
    return [FORMATS[name] for name in dict.fromkeys(names)]


def _run(
    recipe: Recipe,
    jobs: Sequence[Job],
    start: Callable[[], Callable[[Job, Image], None]],
    output: Path,
    console: Console,
) -> int:
    def start_telling() -> Callable[[Job, Image], None]:
        console.note(f"preset {recipe.name}: {recipe.knows}")
        return start()

    with output_folder(output), console.progress():
        code = run(jobs, start_telling, output=output, console=console)
    if code != EXIT_FAILED:
        written = " and ".join(map(str, jobs[0].outputs.values())) if len(jobs) == 1 else output
        console.note(f"results are in {written}")
    return code


def _note_device(console: Console, asked: str, device: object) -> None:
    if asked == "auto":
        console.note(f"device {device}, chosen by auto")


def _name(job: Job, jobs: Sequence[Job]) -> str | None:
    """Tables name their image if there are several."""
    return str(job.source) if len(jobs) > 1 else None
