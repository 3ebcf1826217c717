"""`zeroguide eval`: scores against ground truth, comparisons of two runs, and suites of runs."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from zeroguide.cli import options
from zeroguide.errors import OutputError, UsageError
from zeroguide.runs.batch import EXIT_FAILED, EXIT_SOME_FAILED, exit_code
from zeroguide.system.console import Console
from zeroguide.system.files import output_folder

if TYPE_CHECKING:
    from zeroguide.evaluate.command import Options
    from zeroguide.evaluate.scoring.results import Results, Stage
    from zeroguide.evaluate.suite import Part

STAGES = ("full", "true-masks", "true-names", "segments")
SUITES = ("paper", "unsupervised")
ROWS, RESULTS = "rows.jsonl", "results.json"
TABLES = ("results.csv", "classes.csv", "images.csv", "results.md", "report.html")

app = typer.Typer(
    help="Score segments and their names against ground truth.",
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def evaluate(
    context: typer.Context,
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME|list", help="Data set; `list` says what there is.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where it was unpacked; --suite: one folder for each."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Its part; default: the usual one.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Score the first N images only.")] = None,
    crop: Annotated[
        int | None,
        typer.Option(min=1, metavar="PIXELS", help="Score centre squares of this side."),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Score these: our JSON, COCO's, or label maps."),
    ] = None,
    stage: Annotated[
        str,
        typer.Option(
            metavar="|".join(STAGES), help="What is ours; the rest is the truth's, or left out."
        ),
    ] = "full",
    protocol: Annotated[
        str | None,
        typer.Option(metavar="NAME,...|list", help="Families of metrics; default: all possible."),
    ] = None,
    sentence_encoder: Annotated[
        str | None, typer.Option(metavar="ID|FOLDER", help="For TT; default: the paper's.")
    ] = None,
    suite: Annotated[
        str | None, typer.Option(metavar="|".join(SUITES), help="All that papers report.")
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FOLDER", help="Results folder.")
    ] = Path("evaluation"),
    preset: options.Preset = "fast",
    set_: options.Set = None,
    device: options.Device = "auto",
    seed: options.Seed = None,
    offline: options.Offline = False,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Score a recipe, or a folder of predictions, on a data set.

    Writes FOLDER/results.json, tables (CSV, Markdown) and report.html, and prints the tables. A run
    that was stopped goes on where it was when started again; --overwrite begins anew.
    """
    if context.invoked_subcommand is not None:
        return 0
    console = Console(quiet=quiet, verbose=verbose)
    if dataset == "list" or protocol == "list":
        return _list(console, dataset == "list")
    if stage not in STAGES:
        from zeroguide.errors import nearest

        raise UsageError(f"unknown --stage {stage!r}: {nearest(stage, STAGES)}")
    if predictions is not None and stage != "full":
        raise UsageError("--stage is for our own pipeline: leave it or --predictions out")
    recipe = options.read_recipe(preset, set_ or [], seed, device)
    from zeroguide.evaluate.command import Options, run

    asked = Options(
        data, split, limit, crop, predictions, sentence_encoder, recipe, device, offline, overwrite
    )
    if suite is not None:
        if suite not in SUITES:
            raise UsageError(f"unknown --suite {suite!r}: Choices: {', '.join(SUITES)}")
        if (dataset, predictions, protocol, split, crop, stage) != (*[None] * 5, "full"):
            raise UsageError(
                "--suite chooses data sets, splits, crops, stages and protocols itself: leave "
                "--dataset, --split, --crop, --stage, --protocol and --predictions out"
            )
        if data is None:
            raise UsageError("--suite reads several data sets: name their folder with --data")
        return _run_suite(suite, asked, output, console)
    if dataset is None:
        raise UsageError("no data set to score on: name one with --dataset, or --dataset list")
    names = None if protocol is None else [name.strip() for name in protocol.split(",")]
    _check_output(output, overwrite)
    with output_folder(output), console.progress():
        results = run(dataset, cast("Stage", stage), names, asked, output, console, _command_line())
    _print(results, console)
    _note_headline(results, console)
    console.note(f"results are in {output}")
    failed = len(results.images) - len(results.scored)
    if failed:
        console.note(f"{failed} of {len(results.images)} images failed")
    return exit_code(failed, len(results.images))


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="A run's folder, or its results.json.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another on the same images.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE.json", help="Write it, too.")
    ] = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Compare two runs: differences b - a with 95 % intervals, images drawn in pairs."""
    from zeroguide.evaluate.reports.compare import compare as compare_results
    from zeroguide.evaluate.scoring.results import Results
    from zeroguide.system.files import write_atomically

    console = Console(quiet=quiet, verbose=verbose)
    if output is not None and output.exists():
        if any(output.samefile(run) for run in (a, b) if run.exists()):
            raise UsageError(f"{output}: is one of the two runs; name another file with -o")
        if not overwrite:
            raise OutputError(f"{output}: already exists; replace it with --overwrite")
    comparison = compare_results(Results.load(a), Results.load(b))
    for table in comparison.tables():
        console.table(table.columns, table.rows, table.title, table.about)
    if lead := comparison.lead():
        console.note(f"headline: {lead}")
    for note in comparison.notes:
        console.note(note)
    if output is not None:
        write_atomically(output, (comparison.to_json() + "\n").encode())
    return 0


def _check_output(output: Path, overwrite: bool) -> None:
    """Refuse a folder with files of our names that no run has begun."""
    if overwrite or (output / ROWS).exists():
        return
    for name in (RESULTS, *TABLES):
        if (output / name).exists():
            raise OutputError(
                f"{output / name}: already exists; replace it with --overwrite or choose another "
                "folder with -o"
            )


def _list(console: Console, datasets: bool) -> int:
    """Print the names of data sets, or of protocols."""
    if datasets:
        from zeroguide.evaluate.datasets import DATASETS

        console.table(["data set", "what it is"], list(DATASETS.items()))
    else:
        from zeroguide.evaluate.scoring.metrics_table import PROTOCOLS

        rows = [(each.name, each.title, each.description) for each in PROTOCOLS.values()]
        console.table(["protocol", "title", "what it asks"], rows)
    return 0


def _command_line() -> str:
    return shlex.join(["zeroguide", *sys.argv[1:]])


def _print(results: Results, console: Console) -> None:
    from zeroguide.evaluate.reports.report import table_rows

    for table in table_rows(results):
        console.table(table.columns, table.rows, table.title, table.about)


def _note_headline(results: Results, console: Console) -> None:
    from zeroguide.evaluate.reports.wording import headline

    if text := headline(results):
        console.note(f"headline: {text}")


def _run_suite(name: str, options: Options, output: Path, console: Console) -> int:
    """Every part of a suite in a folder of its own; published beside measured."""
    from zeroguide.evaluate import suite
    from zeroguide.evaluate.command import run
    from zeroguide.evaluate.reports.wording import headline, of_what

    def run_part(part: Part) -> Results:
        assert options.data is not None
        own = Path(options.data) / part.dataset
        here = replace(options, data=own if own.is_dir() else options.data, crop=part.crop)
        folder = output / part.folder
        with output_folder(folder):
            return run(
                part.dataset, part.stage, part.protocols, here, folder, console, _command_line(),
                optional=part.optional,
            )  # fmt: skip

    with output_folder(output), console.progress():
        found = suite.run_parts(run_part, suite.SUITES[name])
        if found.results:
            found.write(output)
    for table in found.tables():
        console.table(table.columns, table.rows, table.title, table.about)
    for results in found.results:
        if text := headline(results):
            console.note(f"{of_what(results)}: {text}")
    for note in found.notes:
        console.note(note)
    if not found.results:
        console.error("no part of the suite could be run")
        return EXIT_FAILED
    console.note(f"results are in {output}")
    return EXIT_SOME_FAILED if found.missing else 0
