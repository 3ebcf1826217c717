"""`zeroguide export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zeroguide.cli import options
from zeroguide.errors import UsageError
from zeroguide.system.console import Console

if TYPE_CHECKING:
    from zeroguide.result.formats.base import Entries
    from zeroguide.result.where import Where


def _list_formats(formats: str) -> str:
    if formats == "list":
        from zeroguide.result.formats.registry import FORMATS, JSON

        rows = [(JSON, "what `zeroguide label` always writes, one file an image")]
        rows += [(name, each.about) for name, each in FORMATS.items()]
        Console().table(["format", "what it is"], rows)
        raise typer.Exit
    return formats


def export(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Folders that `zeroguide label` wrote.")
    ],
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="NAME[,NAME...]|list",
            callback=_list_formats,
            is_eager=True,
            help="What to write; `list` shows all formats.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FOLDER", help="Default: exports/ in the run."),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            metavar="CONDITION",
            help='Only segments like this: \'label in ("dog", "cat") and certainty > .6\'; also '
            "category, probability, image, score, area, share, composed.",
        ),
    ] = None,
    prefix: Annotated[
        bool, typer.Option("--prefix", help="Put the runs' names before those of the images.")
    ] = False,
    photos_at: options.PhotosAt = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Write the labels of runs in other tools' formats.

    Each format gets a folder of its own, FOLDER/NAME, with the images of all runs. Images without
    any segment that --where asks for are left out.
    """
    from zeroguide.result.where import Where
    from zeroguide.runs.layout import EXPORTS
    from zeroguide.runs.several_runs import SeveralRuns

    names = format_names(formats)
    condition = None if where is None else Where(where)
    if output is None and len(runs) > 1:
        raise UsageError("several runs have no one exports/ folder; name another with -o")
    console = Console(quiet=quiet, verbose=verbose)
    folder = runs[0] / EXPORTS if output is None else output
    entries = SeveralRuns(runs, prefix=prefix, photos_at=photos_at)
    write_formats(entries, names, folder, console, where=condition, overwrite=overwrite)
    return 0


def format_names(formats: str) -> list[str]:
    """The names in a comma-separated list; UsageError for one that can't be written here."""
    from zeroguide.result.formats.registry import check_formats

    names = list(dict.fromkeys(name.strip() for name in formats.split(",")))
    check_formats(names)
    return names


def write_formats(
    entries: Entries,
    names: list[str],
    folder: Path,
    console: Console,
    *,
    where: Where | None = None,
    overwrite: bool,
) -> None:
    """Write labelled images in these formats, telling how far the work is."""
    from zeroguide.result.formats.registry import JSON
    from zeroguide.result.formats.registry import export as write

    with console.progress():
        write(
            entries,
            names,
            folder,
            where=where,
            overwrite=overwrite,
            note=console.note,
            step=console.step,
        )
    written = [name for name in names if name != JSON]
    if written:
        console.note(f"{', '.join(written)} written to {folder}")
