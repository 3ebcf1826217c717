"""The command line: arguments in, one call each, exit codes out.

0 done, 1 failed, 2 wrong usage, 3 some images failed, 130 interrupted. Data goes to stdout, all
else to stderr. A command whose reader goes away, as in `label photos | head`, does its work to the
end: what it was called for are files. `--help` and `--version` end as the shell's own tools do
(141). Nothing heavy is imported before the arguments and the first image are known to be good.
"""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, cast

import typer

from zeroguide import __version__
from zeroguide.cli import (
    discover,
    evaluate,
    export,
    fit,
    label,
    models,
    name,
    relabel,
    search,
    segment,
    serve,
    video,
    web,
)
from zeroguide.cli.running import INTERRUPTED
from zeroguide.errors import ZeroguideError
from zeroguide.system.console import Console, silence

UNHEARD = 141  # 128 + SIGPIPE

app = typer.Typer(
    name="zeroguide",
    help="Segment images and name every segment in free text.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(label.label)
app.command()(name.name)
app.command()(video.video)
app.command()(segment.segment)
app.command()(fit.fit)
app.command()(discover.discover)
app.command()(relabel.relabel)
app.command()(export.export)
app.command()(search.search)
app.command()(web.web)
app.command()(serve.serve)
app.add_typer(evaluate.app, name="eval")
app.add_typer(models.app, name="models")


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Version.")
    ] = False,
    # typer's own option is None if it isn't given, and typer imports pydantic to read that.
    help_: Annotated[
        bool,
        typer.Option(
            "-h",
            "--help",
            callback=_print_help,
            is_eager=True,
            help="Show this message and exit.",
        ),
    ] = False,
) -> None:
    pass


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code and never lets an exception escape."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    verbose = not {"-v", "--verbose"}.isdisjoint(arguments)
    console = Console(verbose=verbose)
    if not verbose:
        warnings.simplefilter("ignore")
    if sys.stdout is None:  # closed by the shell: `>&-`
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names and labels a terminal can't show
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(arguments or ["--help"], prog_name="zeroguide", standalone_mode=False)
        sys.stdout.flush()
    except ZeroguideError as error:
        console.failure(error)
        return error.exit_code
    except _CLICK_ERROR as error:
        context = getattr(error, "ctx", None)
        hint = f" (see {context.command_path} --help)" if context else ""
        console.error(error.format_message().rstrip(".") + hint)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except (BrokenPipeError, SystemExit):  # the reader has gone; click turns one into the other
        silence(sys.stdout)
        return UNHEARD
    except Exception as error:
        console.failure(error)
        return 1
    if code == INTERRUPTED:
        console.error("interrupted")
    return int(code or 0)


# typer brings its own copy of click or uses the installed one, depending on its version; this is
# click's ClickException in both.
_CLICK_ERROR = cast(type[typer.BadParameter], typer.BadParameter.__mro__[2])


def _print_help(context: typer.Context, wanted: bool) -> None:
    if wanted:
        print(context.get_help())
        raise typer.Exit


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"zeroguide {__version__}")
        raise typer.Exit
