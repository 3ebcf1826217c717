"""`zeroguide name`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zeroguide.cli import options
from zeroguide.cli.running import load_labeler, print_segments, run_jobs
from zeroguide.runs.batch import Job, plan, saving
from zeroguide.system.console import Console
from zeroguide.system.files import write_png

if TYPE_CHECKING:
    from zeroguide.image import Image

NAMES, OVERLAY = ".names.json", ".png"


def name(
    images: options.Images,
    masks: Annotated[
        Path,
        typer.Option(
            metavar="FILE|FOLDER",
            help="JSON of SAM, COCO, labelme, Label Studio or ours, label maps (PNG), YOLO's "
            "txt; of a folder, the file called like the image.",
        ),
    ],
    output: options.Output = Path("names"),
    preset: options.DefaultPreset = None,
    set_: options.Set = None,
    examples: options.Examples = None,
    classes: options.Classes = None,
    value_range: options.ValueRange = None,
    device: options.Device = "auto",
    seed: options.Seed = None,
    offline: options.Offline = False,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Name masks that another tool has drawn; they may overlap.

    Writes FOLDER/photo.jpg.names.json (masks and names) and FOLDER/photo.jpg.png (the overlay, in
    which small masks lie on large ones); prints id, label, score, confidence, share of the image
    and alternatives.
    """
    from zeroguide.runs.masks.files import MaskFiles
    from zeroguide.runs.sources import find_images

    console = Console(quiet=quiet, verbose=verbose)
    recipe = options.read_recipe(
        preset,
        set_ or [],
        seed,
        device,
        value_range,
        examples=examples,
        classes=classes,
        offline=offline,
    )
    paths = find_images(images, output, console.note)
    if masks.is_dir() and not any(masks.resolve() == path.resolve() for path in images):
        paths = [path for path in paths if masks.resolve() not in path.resolve().parents] or paths
    jobs = plan(paths, output, [NAMES, OVERLAY], overwrite=overwrite)
    files = MaskFiles(masks, [job.source for job in jobs])

    def start() -> Callable[[Job, Image], None]:
        labeler = load_labeler(recipe, console, device, offline=offline)
        from zeroguide.result import names
        from zeroguide.result.overlay import draw
        from zeroguide.result.provenance import provenance
        from zeroguide.result.rle import decode

        def work(job: Job, image: Image) -> None:
            size = image.pixels.shape[:2]
            found = files.masks(job.source, (size[0], size[1]))
            codes = [mask.code for mask in found]
            named = labeler.name_masks(image, map(decode, codes))
            segments = [replace(s, id=m.id) for s, m in zip(named, found, strict=True)]
            made = provenance(recipe)
            seen = names.flattened(image, segments, codes, made)
            with saving(job):
                write_png(draw(seen, image.pixels, legend="never"), job.outputs[OVERLAY])
                names.save(job.outputs[NAMES], image, segments, codes, made)
            title = str(job.source) if len(jobs) > 1 else None
            print_segments(console, segments, size[0] * size[1], title)

        return work

    return run_jobs(jobs, start, output, recipe, console)
