"""`zeroguide relabel`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zeroguide.cli import options
from zeroguide.errors import UsageError
from zeroguide.system.console import Console

if TYPE_CHECKING:
    from zeroguide.runs.relabel import Relabelled


def relabel(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder that `zeroguide label` wrote.")
    ],
    map_: Annotated[
        Path | None,
        typer.Option("--map", metavar="FILE.csv", help="Columns old,new, with this first line."),
    ] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="Print the labels as such a file, to be edited.")
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Give all segments the labels that the models wrote.")
    ] = False,
    photos_at: options.PhotosAt = None,
    legend: Annotated[
        options.Legend, typer.Option(help="Of overlays, as they were drawn with.")
    ] = options.Legend.auto,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Rename labels in a whole run; several that get one new name become one label.

    Without --map and --undo, prints the labels with their numbers of segments and images. The run
    keeps the names: images that `zeroguide label` adds to it later get them, too.
    """
    if (map_ is not None) + list_ + undo > 1:
        raise UsageError("--map, --list and --undo: choose one of them")
    from zeroguide.runs import relabel as runs
    from zeroguide.runs.label_maps import HEADER, as_csv, read_map

    console = Console(quiet=quiet, verbose=verbose)
    if map_ is None and not undo:
        with console.progress():
            counts = runs.count_labels(run, step=console.step)
        rows = [(each.label, each.label, each.segments, each.images) for each in counts]
        sys.stdout.write(as_csv([*HEADER, "segments", "images"], rows))
        return 0
    renames = read_map(map_) if map_ is not None else {}
    with console.progress():
        if undo:
            done = runs.undo(run, photos_at=photos_at, legend=legend.value, step=console.step)
        else:
            done = runs.relabel(
                run, renames, photos_at=photos_at, legend=legend.value, step=console.step
            )
    _tell(done, len(renames), run, console)
    return 0


def _tell(done: Relabelled, n_labels: int, run: Path, console: Console) -> None:
    """Say what came of it."""
    from zeroguide.runs.run_folder import Manifest

    if done.unknown:
        named = ", ".join(done.unknown[:5]) + (", ..." if len(done.unknown) > 5 else "")
        console.note(
            f"{len(done.unknown)} of the {n_labels} labels of the map aren't in {run} ({named}); "
            "they are kept for images to come"
        )
    overlays = f", {_number(done.drawn, 'overlay')} drawn anew" if done.drawn else ""
    console.note(
        f"{_number(done.segments, 'segment')} of {_number(done.images, 'image')} renamed{overlays}"
    )
    known = Manifest.read(run)
    if known is not None and dict(known.recipe.get("settings") or {}).get("classes"):
        console.note("the run has classes, which overlays and exports show; they stay as they are")
    if done.not_drawn:
        console.note(
            f"{_number(done.not_drawn, 'overlay')} still show the old labels, as the photos aren't "
            "found; delete them and run the same `zeroguide label` again where the photos are"
        )


def _number(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"
