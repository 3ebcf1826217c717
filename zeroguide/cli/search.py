"""`zeroguide search`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zeroguide.cli import options
from zeroguide.cli.running import note_device
from zeroguide.errors import UsageError
from zeroguide.system.console import Console
from zeroguide.system.files import write_png


def search(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder that `zeroguide label` wrote.")
    ],
    text: Annotated[
        list[str], typer.Argument(metavar="TEXT", help="What to look for: red umbrella.")
    ],
    n: Annotated[int, typer.Option("-n", metavar="N", help="The best so many segments.")] = 20,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE.png", help="A sheet with their pictures."),
    ] = None,
    per_image: Annotated[
        int, typer.Option(metavar="N", help="Segments of one image, at most; 0: all.")
    ] = 3,
    device: options.Device = "auto",
    offline: options.Offline = False,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Find the segments of a run that look most like a text.

    Prints rank, image, segment, label and cosine, tab-separated if the output isn't a terminal.
    The first search reads all results and keeps their embeddings in RUN/.search.safetensors.
    """
    console = Console(quiet=quiet, verbose=verbose)
    for name, value, least in (("-n", n, 1), ("--per-image", per_image, 0)):
        if value < least:
            raise UsageError(f"{name} {value}: at least {least} is needed")
    if output is not None:
        _check(output, overwrite=overwrite)
    from zeroguide.recipe import introduce
    from zeroguide.runs.search import Searcher, query_text
    from zeroguide.runs.search.sheet import draw_sheet

    query = query_text(" ".join(text))
    with console.progress():
        searcher = Searcher(
            run, device=device, offline=offline, note=console.note, step=console.step
        )
        note_device(console, device, searcher.device)
        manifest = searcher.run.manifest
        if manifest is not None and (about := introduce(manifest.recipe)):
            console.note(about)
        hits = searcher.find(query, n, per_image=per_image or None)
        rows = [
            (str(rank), hit.key, str(hit.segment), hit.label, f"{hit.cosine:.4f}")
            for rank, hit in enumerate(hits, start=1)
        ]
        console.table(["rank", "image", "segment", "label", "cosine"], rows)
        if output is not None:
            console.step(f"drawing {output}")
            n_segments, n_images = len(searcher.index.label), len(searcher.index.keys)
            images = "1 image" if n_images == 1 else f"{n_images} images"
            title = f"“{query}” among {n_segments} segments of {images}"
            write_png(draw_sheet(searcher.run, hits, title, note=console.note), output)
            console.note(f"the sheet is in {output}")
    return 0


def _check(output: Path, *, overwrite: bool) -> None:
    """Whether the sheet can be written there, before any work."""
    if output.suffix.lower() != ".png":
        raise UsageError(f"-o {output}: the sheet is a PNG, so give a name that ends in .png")
    if not output.parent.is_dir():
        raise UsageError(f"-o {output}: there is no folder {output.parent}; make it first")
    if output.is_dir() or (output.exists() and not overwrite):
        raise UsageError(f"-o {output}: already exists; replace it with --overwrite")
