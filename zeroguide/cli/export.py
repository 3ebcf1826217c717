"""`zeroguide export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zeroguide.cli import options
from zeroguide.system.console import Console


def _list_formats(formats: str) -> str:
    if formats == "list":
        from zeroguide.result.formats.registry import FORMATS, JSON

        rows = [(JSON, "what `zeroguide label` always writes, one file an image")]
        rows += [(name, each.about) for name, each in FORMATS.items()]
        Console().table(["format", "what it is"], rows)
        raise typer.Exit
    return formats


def export(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder that `zeroguide label` wrote.")
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
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Write the labels of a run in other tools' formats.

    Each format gets a folder of its own, FOLDER/NAME.
    """
    from zeroguide.runs.layout import EXPORTS

    names = format_names(formats)
    console = Console(quiet=quiet, verbose=verbose)
    folder = run / EXPORTS if output is None else output
    write_formats(run, names, folder, console, overwrite=overwrite)
    return 0


def format_names(formats: str) -> list[str]:
    """The names in a comma-separated list; UsageError for one that can't be written here."""
    from zeroguide.result.formats.registry import check_formats

    names = list(dict.fromkeys(name.strip() for name in formats.split(",")))
    check_formats(names)
    return names


def write_formats(
    run: Path, names: list[str], folder: Path, console: Console, *, overwrite: bool
) -> None:
    """Write a run in these formats, telling how far the work is."""
    from zeroguide.result.formats.registry import JSON
    from zeroguide.result.formats.registry import export as write
    from zeroguide.runs.run_folder import RunFolder

    with console.progress():
        write(
            RunFolder(run),
            names,
            folder,
            overwrite=overwrite,
            note=console.note,
            step=console.step,
        )
    written = [name for name in names if name != JSON]
    if written:
        console.note(f"{', '.join(written)} written to {folder}")
