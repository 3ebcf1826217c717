"""The command line: arguments in, one call each, exit codes out.

0 done, 1 failed, 2 wrong usage, 3 some images failed, 130 interrupted. Data goes to stdout, all
else to stderr. Nothing heavy is imported before the arguments and the first image are known to be
good.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from zeroguide import __version__
from zeroguide.batch import Job, output_folder, plan, run, saving, write_png
from zeroguide.console import Console
from zeroguide.errors import UsageError, ZeroguideError

if TYPE_CHECKING:
    from zeroguide.image import Image
    from zeroguide.recipe import Recipe

INTERRUPTED = 130
FORMATS = {"json": ".json"}  # name -> suffix of the result's file; the overlay is always written

app = typer.Typer(
    name="zeroguide",
    help="Segment images and name every segment in free text.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models_app = typer.Typer(help="List, download and check the models of the presets.")
app.add_typer(models_app, name="models")


class Legend(StrEnum):
    """Where captions go."""

    auto = "auto"
    always = "always"
    never = "never"


Images = Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files.")]
Preset = Annotated[
    str, typer.Option(metavar="NAME|FILE.toml", help="Recipe; see `zeroguide models list`.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe: decoder.beam_size=8."),
]
Device = Annotated[str, typer.Option(metavar="auto|cpu|cuda[:N]|mps", help="Where to compute.")]
Seed = Annotated[int | None, typer.Option(help="Seed of the run; default: the recipe's.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never use the network.")]
Output = Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Results folder.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing results.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Only data and errors.")]
Verbose = Annotated[
    bool, typer.Option("-v", "--verbose", help="Tracebacks and the libraries' warnings.")
]


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Version.")
    ] = False,
) -> None:
    pass


@app.command("label")
def label_command(
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
    recipe = _recipe(preset, set_ or [], seed, device)
    jobs = plan(images, output, suffixes, overwrite=overwrite)

    def start() -> Callable[[Job, Image], None]:
        console.note(f"preset {recipe.name}: {recipe.knows}")
        from zeroguide.labeler import Labeler
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
                (str(s.id), s.label, f"{s.score:.3f}", f"{s.area / labeling.label_map.size:.4f}")
                for s in labeling.segments
            ]
            console.table(["id", "label", "score", "share"], rows, _name(job, jobs))

        return work

    return _run(jobs, start, output, console)


@app.command("segment")
def segment_command(
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
    recipe = _recipe(preset, overrides, seed, device)
    jobs = plan(images, output, [".png", ".map.png", ".json"], overwrite=overwrite)

    def start() -> Callable[[Job, Image], None]:
        from zeroguide.labeler import Segmenter
        from zeroguide.labeling import Labeling
        from zeroguide.overlay import draw

        segmenter = Segmenter(recipe, device=device, offline=offline)
        _note_device(console, device, segmenter.device)

        def work(job: Job, image: Image) -> None:
            label_map = segmenter.segment(image)  # (H, W) int32, from 0
            nameless = [("", 0.0, (), ())] * (int(label_map.max()) + 1)
            labeling = Labeling.build(image, label_map, nameless, segmenter.record())
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

    return _run(jobs, start, output, console)


@models_app.command("list")
def models_list() -> int:
    """List the presets, their models, and which of these are on this machine."""


@models_app.command("pull")
def models_pull(
    presets: Annotated[list[str], typer.Argument(metavar="PRESET...", help="Presets.")],
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Download the models of presets, so that they work offline."""


@models_app.command("check")
def models_check(
    presets: Annotated[list[str], typer.Argument(metavar="PRESET...", help="Presets.")],
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Load every model of presets from this machine and say what is missing or damaged."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code and never lets an exception escape."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    verbose = not {"-v", "--verbose"}.isdisjoint(arguments)
    console = Console(verbose=verbose)
    if not verbose:
        warnings.simplefilter("ignore")
    try:
        code = app(arguments or ["--help"], prog_name="zeroguide", standalone_mode=False)
    except ZeroguideError as error:
        console.failure(error)
        return error.exit_code
    except _CLICK_ERROR as error:
        console.error(error.format_message())
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:  # the reader of stdout has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        console.failure(error)
        return 1
    if code == INTERRUPTED:
        console.error("interrupted")
    return int(code or 0)


# typer brings its own copy of click or uses the installed one, depending on its version; this is
# click's ClickException in both.
_CLICK_ERROR = cast(type[typer.BadParameter], typer.BadParameter.__mro__[2])


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"zeroguide {__version__}")
        raise typer.Exit


def _suffixes(formats: str) -> list[str]:
    """The suffixes of the comma-separated formats; UsageError with the nearest name."""
    names = [name.strip() for name in formats.split(",")]
    for name in names:
        if name not in FORMATS:
            from zeroguide.recipe import nearest

            raise UsageError(f"unknown format {name!r}: {nearest(name, list(FORMATS))}")
    return [FORMATS[name] for name in dict.fromkeys(names)]


def _recipe(preset: str, overrides: Sequence[str], seed: int | None, device: str) -> Recipe:
    """Check what can be checked without torch: recipe, overrides and the device's spelling."""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        raise UsageError(f"--device: unknown device {device!r}; use auto, cpu, cuda, cuda:N or mps")
    from zeroguide.recipe import load_recipe

    return load_recipe(preset, [*overrides, *([] if seed is None else [f"seed={seed}"])])


def _run(
    jobs: Sequence[Job],
    start: Callable[[], Callable[[Job, Image], None]],
    output: Path,
    console: Console,
) -> int:
    with output_folder(output), console.progress():
        code = run(jobs, start, output=output, console=console)
    if code != 1:
        console.note(f"results are in {output}")
    return code


def _note_device(console: Console, asked: str, device: object) -> None:
    if asked == "auto":
        console.note(f"device {device}, chosen by auto")


def _name(job: Job, jobs: Sequence[Job]) -> str | None:
    """Tables name their image if there are several."""
    return str(job.source) if len(jobs) > 1 else None
