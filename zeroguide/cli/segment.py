"""`zeroguide segment`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zeroguide.cli import options
from zeroguide.cli.running import note_device, run_jobs
from zeroguide.errors import UsageError
from zeroguide.runs.batch import Job, plan, saving
from zeroguide.system.console import Console
from zeroguide.system.files import write_png

if TYPE_CHECKING:
    from zeroguide.image import Image

SUFFIXES = (".png", ".mask.png", ".map.png", ".json")


def _list_methods(method: str | None) -> str | None:
    if method == "list":
        from zeroguide.segment.segmenters import SEGMENTERS

        Console().table(["method", "what it does"], list(SEGMENTERS.items()))
        raise typer.Exit
    return method


def segment(
    images: options.Images,
    output: options.Output = Path("segments"),
    preset: options.DefaultPreset = None,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|list",
            callback=_list_methods,
            is_eager=True,
            help="Segmenter; default: the recipe's. `list` shows them all.",
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Segment by a model that `zeroguide fit` wrote."),
    ] = None,
    set_: options.Set = None,
    value_range: options.ValueRange = None,
    device: options.Device = "auto",
    seed: options.Seed = None,
    offline: options.Offline = False,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Segment images without naming anything.

    Writes FOLDER/photo.jpg.png (the picture beside its segments), FOLDER/photo.jpg.mask.png (one
    colour per segment), FOLDER/photo.jpg.map.png (16-bit, the segment's id at every pixel) and
    FOLDER/photo.jpg.json; prints id and share of the image.
    """
    from zeroguide.models import prepare
    from zeroguide.runs.sources import find_images

    console = Console(quiet=quiet, verbose=verbose)
    overrides = list(set_ or [])
    if model is not None:
        if method is not None or any(key.startswith("segmenter.method=") for key in overrides):
            raise UsageError("--model and a method exclude each other: leave one of them out")
        method = "fitted"
        overrides.append(f"segmenter.model={json.dumps(str(model), ensure_ascii=False)}")
    if method is not None:
        overrides.append(f"segmenter.method={method}")
    recipe = options.read_recipe(
        preset, overrides, seed, device, value_range, offline=offline, labels=False
    )
    jobs = plan(find_images(images, output, console.note), output, SUFFIXES, overwrite=overwrite)

    def start() -> Callable[[Job, Image], None]:
        console.note(recipe.introduction)
        prepare(recipe.checkpoints(labels=False), offline=offline)
        from zeroguide.result import Label, Labeling
        from zeroguide.result.overlay import colour_mask, draw, side_by_side
        from zeroguide.result.provenance import provenance
        from zeroguide.segmenter import Segmenter  # imports torch

        segmenter = Segmenter(recipe, device=device, offline=offline)
        note_device(console, device, segmenter.device)

        def work(job: Job, image: Image) -> None:
            over = segmenter.segment(image)
            names = [""] * (int(over.label_map.max()) + 1)
            if over.classes is not None:
                names = [f"class {number}" for number in over.classes.tolist()]
            labels = [Label(name, 0.0, 0.0, (), ()) for name in names]
            labeling = Labeling.build(image, over.label_map, labels, provenance(recipe))
            picture = side_by_side(image.pixels, draw(labeling, image.pixels, legend="never"))
            with saving(job):
                write_png(picture, job.outputs[".png"])
                write_png(colour_mask(labeling), job.outputs[".mask.png"])
                write_png(labeling.label_map.astype("uint16"), job.outputs[".map.png"])
                labeling.save(job.outputs[".json"])
            rows = [
                (
                    str(s.id),
                    *([s.label] if s.label else []),
                    f"{s.area / image.pixels[..., 0].size:.4f}",
                )
                for s in labeling.segments
            ]
            columns = ["id", "share"] if over.classes is None else ["id", "class", "share"]
            console.table(columns, rows, str(job.source) if len(jobs) > 1 else None)

        return work

    return run_jobs(jobs, start, output, recipe, console)
