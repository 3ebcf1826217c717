"""`zeroguide label`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zeroguide.cli import options
from zeroguide.cli.export import format_names, write_formats
from zeroguide.cli.running import INTERRUPTED, load_labeler
from zeroguide.errors import UsageError
from zeroguide.runs.batch import exit_code
from zeroguide.system.console import Console
from zeroguide.system.files import output_folder

if TYPE_CHECKING:
    from zeroguide.runs.label_run import Summary
    from zeroguide.runs.shard import Shard
    from zeroguide.runs.sources import Item


class Engine(StrEnum):
    """What runs over many images."""

    local = "local"
    ray = "ray"


def label(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help="Images, folders, globs, lists of paths (.txt), - for a list on stdin, .tar, "
            ".parquet, hf://datasets/OWNER/NAME.",
        ),
    ],
    output: options.Output = Path("labels"),
    preset: options.DefaultPreset = None,
    set_: options.Set = None,
    value_range: options.ValueRange = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="NAME,...", help="Export when done; see `zeroguide export --help`."
        ),
    ] = None,
    overlay: Annotated[bool, typer.Option(help="Draw a captioned overlay of each image.")] = True,
    legend: Annotated[
        options.Legend, typer.Option(help="Captions in a legend.")
    ] = options.Legend.auto,
    embeddings: Annotated[
        bool, typer.Option(help="Keep what `zeroguide search` compares, 2 KB a segment.")
    ] = True,
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="Processes; default: what the machine is for.")
    ] = None,
    batch_size: Annotated[
        int, typer.Option(metavar="N", help="Images in the networks at once; default: by device.")
    ] = 0,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Do only the I-th of N parts of the images.")
    ] = None,
    limit: Annotated[int | None, typer.Option(metavar="N", help="Only the first N images.")] = None,
    engine: Annotated[
        Engine, typer.Option(help="ray: on a cluster, results as Parquet, no overlays.")
    ] = Engine.local,
    device: options.Device = "auto",
    seed: options.Seed = None,
    offline: options.Offline = False,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Segment images and name every segment.

    Writes FOLDER/photo.jpg.json (the labels), FOLDER/photo.jpg.png (the overlay) and
    FOLDER/run.json; of up to 32 images, prints id, label, score, confidence, share of the image and
    alternatives, tab-separated if the output isn't a terminal (after the image's name if there are
    several).

    The same command again goes on where it was stopped: images are done if their labels are there,
    made from the same bytes by the same recipe.
    """
    from zeroguide.cli.run_progress import RunProgress
    from zeroguide.runs.label_run import Run
    from zeroguide.runs.layout import EXPORTS
    from zeroguide.runs.settings import Settings
    from zeroguide.runs.shard import Shard
    from zeroguide.runs.sources import find_items

    console = Console(quiet=quiet, verbose=verbose)
    formats = format_names(format_) if format_ else []
    part = Shard.parse(shard) if shard else None
    if part and formats:
        raise UsageError(
            "--shard with --format: export when all parts are done, `zeroguide export`"
        )
    for name, value in (("--workers", workers), ("--limit", limit)):
        if value is not None and value < 1:
            raise UsageError(f"{name} {value}: at least 1 is needed")
    if batch_size < 0:
        raise UsageError(f"--batch-size {batch_size}: at least 1 is needed")
    recipe = options.read_recipe(
        preset,
        set_ or [],
        seed,
        device,
        value_range,
        offline=offline,
        began_with=None if preset else _began_with(output, engine, overwrite=overwrite),
    )
    items = find_items(inputs, output, console.note, offline=offline)
    settings = Settings(
        recipe,
        output,
        device=device,
        offline=offline,
        overlay=overlay,
        legend=legend.value,
        embeddings=embeddings,
        overwrite=overwrite,
        batch_size=batch_size,
    )

    def images() -> Iterator[Item]:
        first = itertools.islice(items, limit)
        return (item for item in first if part is None or part.has(item.key))

    progress = RunProgress(console, settings, None if "-" in inputs else images)
    run = Run(
        itertools.islice(items, limit),
        settings,
        roots=items.roots,
        workers=workers,
        shard=part,
        load_labeler=lambda: load_labeler(recipe, console, device, offline=offline),
        observer=progress.observer(),
        engine=engine.value,
    )
    with output_folder(output), console.progress():
        try:
            summary = run.label()
        finally:
            progress.close()
    if summary.interrupted:
        _tell(summary, output, part, console)
        console.note("the same command again goes on from here")
        return INTERRUPTED
    if formats and summary.total > summary.failed:
        from zeroguide.runs.run_folder import RunFolder

        write_formats(RunFolder(output), formats, output / EXPORTS, console, overwrite=True)
    if summary.total == 1 and not summary.failed:
        console.note(f"results are in {' and '.join(map(str, progress.files))}")
    elif summary.total != 1:
        _tell(summary, output, part, console)
    return exit_code(summary.failed, summary.total)


def _tell(summary: Summary, output: Path, shard: Shard | None, console: Console) -> None:
    """Say what came of a run over several images."""
    from zeroguide.runs.layout import FAILURES

    phrases = [f"{summary.labelled} image{'s' * (summary.labelled != 1)} labelled"]
    if summary.kept:
        phrases.append(f"{summary.kept} were labelled before")
    if summary.failed:
        listed = output / (shard.file_name(FAILURES) if shard else FAILURES)
        phrases.append(f"{summary.failed} failed, listed in {listed}")
    where = "" if summary.failed == summary.total else f"; results are in {output}"
    console.note(", ".join(phrases) + where)


def _began_with(output: Path, engine: Engine, *, overwrite: bool) -> str | None:
    """The preset that a run without --preset is bound to."""
    from zeroguide.recipe import DEFAULT
    from zeroguide.runs.run_folder import Manifest

    if engine == Engine.ray:  # a cluster's machines have models of their own
        return DEFAULT
    try:
        known = Manifest.read(output)
    except UsageError:
        if overwrite:
            return None
        raise
    name = known.recipe.get("name") if known is not None else None
    # What is replaced binds nobody, but good results aren't replaced by a stand-in's.
    return name if name == DEFAULT or not overwrite else None
