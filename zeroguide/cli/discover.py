"""`zeroguide discover`."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zeroguide.cli import options
from zeroguide.cli.running import load_labeler
from zeroguide.errors import UsageError
from zeroguide.runs.batch import EXIT_FAILED, EXIT_SOME_FAILED, Job, plan, run, saving
from zeroguide.system.console import Console
from zeroguide.system.files import output_folder, write_atomically, write_png

if TYPE_CHECKING:
    from zeroguide.evaluate.taxonomy import Survey
    from zeroguide.image import Image

TAXONOMY, SHEET = "taxonomy.json", "classes.png"
MOST_CLASSES = 65_535  # that a 16-bit map can hold


def discover(
    images: options.Images,
    output: options.Output = Path("classes"),
    classes: Annotated[
        str,
        typer.Option(metavar="auto|N", help="How many; auto: as the images suggest, at least 2."),
    ] = "auto",
    preset: options.Preset = "fast",
    set_: options.Set = None,
    value_range: options.ValueRange = None,
    device: options.Device = "auto",
    seed: options.Seed = None,
    offline: options.Offline = False,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Find and name the classes that a folder of images has.

    Writes FOLDER/taxonomy.json (each class with name, alternatives, counts and examples),
    FOLDER/classes.png (all of them on one sheet), and for every image photo.jpg.map.png (16-bit,
    the class's id at every pixel) and photo.jpg.png (the overlay); prints id, name, number of
    segments and images, and share of all pixels.
    """
    from zeroguide.runs.sources import find_images

    console = Console(quiet=quiet, verbose=verbose)
    n_classes = _number(classes)
    recipe = options.read_recipe(preset, set_ or [], seed, device, value_range)
    jobs = plan(
        find_images(images, output, console.note),
        output,
        [".png", ".map.png"],
        overwrite=overwrite,
        shared=[TAXONOMY, SHEET],
    )
    survey: Survey | None = None

    def start() -> Callable[[Job, Image], None]:
        nonlocal survey
        labeler = load_labeler(recipe, console, device, offline=offline)
        from zeroguide.evaluate.taxonomy import Survey

        survey = opened = stack.enter_context(Survey(labeler))
        return lambda job, image: opened.add(job.source, image)

    with ExitStack() as stack, output_folder(output), console.progress():
        code = run(
            jobs, start, output=output, console=console, value_range=recipe.image.value_range
        )
        if survey is None or code == EXIT_FAILED:
            return code
        failed = _write(survey, n_classes, jobs, output, console)
    console.note(f"the classes are in {output / TAXONOMY} and {output / SHEET}")
    return EXIT_SOME_FAILED if failed else code


def _number(classes: str) -> int | None:
    if classes == "auto":
        return None
    if not classes.isdecimal() or not 1 <= int(classes) <= MOST_CLASSES:
        raise UsageError(f"--classes={classes} must be auto or a number from 1 to {MOST_CLASSES}")
    return int(classes)


def _write(
    survey: Survey, n_classes: int | None, jobs: list[Job], output: Path, console: Console
) -> bool:
    """Find the classes and write everything; whether an image failed on the way."""
    from zeroguide.evaluate.taxonomy import counted, labeling_of
    from zeroguide.image import open_image
    from zeroguide.result.overlay import draw
    from zeroguide.result.overlay.contact_sheet import MOST_CARDS, contact_sheet

    console.step("finding classes")
    taxonomy, found = survey.find_classes(n_classes)
    text = json.dumps(taxonomy.to_dict(), ensure_ascii=False, allow_nan=False, indent=1)
    write_atomically(output / TAXONOMY, (text + "\n").encode())
    n = len(taxonomy.classes)
    title = f"{counted(n, 'class', 'classes')} in {counted(taxonomy.n_images, 'image', 'images')}"
    cards = survey.cards(taxonomy, found, MOST_CARDS)
    write_png(contact_sheet(cards, title, n_more=n - len(cards)), output / SHEET)
    by_source = {job.source: job for job in jobs}
    failed = False
    for number, path in enumerate(survey.paths):
        console.step(f"writing {number + 1} of {len(survey.paths)}: {path}")
        class_map = survey.class_map(number, found)
        try:
            image = open_image(path, survey.labeler.recipe.image.value_range)
            labeling = labeling_of(image, class_map, taxonomy.classes, taxonomy.recipe)
            picture = draw(labeling, image.pixels)
        except Exception as error:  # the file has changed since: the others must not suffer
            console.failure(error, about=path)
            failed = True
            continue
        job = by_source[path]
        with saving(job):
            write_png(picture, job.outputs[".png"])
            write_png(class_map.astype("uint16"), job.outputs[".map.png"])
    rows = [
        (str(c.id), c.label, str(c.n_segments), str(c.n_images), f"{c.share:.4f}")
        for c in taxonomy.classes
    ]
    console.table(["id", "label", "segments", "images", "share"], rows)
    return failed
