"""What the command line says: data on stdout, everything else on stderr, one sentence at a time."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, TextIO

from zeroguide.errors import ZeroguideError
from zeroguide.system.files import readable_name

if TYPE_CHECKING:
    import rich.console
    from rich.progress import Progress
    from rich.status import Status


class Console:
    """Notes, errors, progress and tables of one run.

    quiet : notes and progress are dropped; errors and data stay
    verbose : a traceback goes with every error that isn't the user's to mend
    """

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        self.quiet = quiet
        self.verbose = verbose
        self._status: Status | None = None

    @cached_property
    def _out(self) -> rich.console.Console:
        return _rich_console(stderr=False)

    @cached_property
    def _err(self) -> rich.console.Console:
        return _rich_console(stderr=True)

    def note(self, text: str) -> None:
        """Something worth knowing; dropped when quiet."""
        if not self.quiet:
            self._say("note", "cyan", text)

    def error(self, text: str) -> None:
        """A failure, always shown."""
        self._say("error", "bold red", text)

    def failure(self, error: BaseException, about: object = None) -> str:
        """Report an exception in one sentence, which is also returned; `about` names the file."""
        text = sentence(error, about)
        self.error(text)
        if self.verbose and not isinstance(error, ZeroguideError):
            traceback.print_exception(error, file=sys.stderr)
        return text

    @contextlib.contextmanager
    def progress(self) -> Iterator[None]:
        """Around `step`s: their live line is gone afterwards."""
        try:
            yield
        finally:
            if self._status is not None:
                self._status.stop()
                self._status = None

    def step(self, text: str) -> None:
        """Show on a live line what is being done now; only on a terminal and unless quiet."""
        if self.quiet or not self._err.is_terminal:
            return
        from rich.text import Text

        line = Text(plain(text))
        if self._status is None:
            self._status = self._err.status(line)
            self._status.start()
        else:
            self._status.update(line)

    @property
    def can_ask(self) -> bool:
        """Whether somebody sits at a terminal who can answer a question."""
        return sys.stdin.isatty() and self._err.is_terminal

    def bar(self) -> Progress | None:
        """A bar for many images, not started yet; None without a terminal and when quiet.

        Its tasks have a field "failed"; what is printed meanwhile appears above it.
        """
        if self.quiet or not self._err.is_terminal:
            return None
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            ProgressColumn,
            Task,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.text import Text

        class Rate(ProgressColumn):
            def render(self, task: Task) -> Text:
                return Text(f"{task.speed:.1f}/s" if task.speed else "")

        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            Rate(),
            TimeRemainingColumn(),
            TextColumn("[red]{task.fields[failed]}"),
            console=self._err,
            transient=True,
            speed_estimate_period=120,
        )

    def table(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        name: str | None = None,
        about: str = "",
    ) -> None:
        """Print rows on stdout: ruled on a terminal, elsewhere tab-separated without a heading.

        A reader that has gone, as in `label photos | head`, ends nothing: results are files, and
        what can't be printed any more is dropped.

        One of several tables has a name: the title on a terminal, with `about`; elsewhere the
        first column.
        """
        with self._paused(), _told():
            if self._out.is_terminal:
                from rich.table import Table
                from rich.text import Text

                title = None if name is None else Text(plain(f"{name}  {about}".rstrip()))
                table = Table(title=title, title_justify="left", title_style="bold")
                for column in columns:
                    table.add_column(column, overflow="fold")
                for row in rows:
                    table.add_row(*(Text(plain(cell)) for cell in row))
                self._out.print(table)
                return
            for row in rows:
                cells = row if name is None else [name, *row]
                print("\t".join(plain(cell) for cell in cells))
            sys.stdout.flush()

    def _say(self, kind: str, style: str, text: str) -> None:
        from rich.text import Text

        with self._paused(), _listened(sys.stderr):
            line = Text.assemble((f"{kind}: ", style), plain(text).rstrip(".") + ".")
            self._err.print(line, soft_wrap=True)

    @contextlib.contextmanager
    def _paused(self) -> Iterator[None]:
        """Take the live line away while something else is printed."""
        if self._status is None:
            yield
            return
        self._status.stop()
        try:
            yield
        finally:
            self._status.start()


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Around what goes to stdout: a full disk is a sentence; a reader that has gone is not."""
    try:
        with _listened(sys.stdout):
            yield
    except OSError as error:
        raise ZeroguideError(f"standard output: can't be written ({error.strerror})") from None


@contextlib.contextmanager
def _listened(stream: TextIO) -> Iterator[None]:
    """Around what is printed: once a stream's reader has gone, what is printed goes nowhere."""
    try:
        yield
    except BrokenPipeError:
        silence(stream)


def silence(stream: TextIO) -> None:
    """Let a stream whose reader has gone lead nowhere; Python would complain at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _rich_console(*, stderr: bool) -> rich.console.Console:
    from rich.console import Console  # not at the top: --version and --help do without

    class Quietly(Console):
        def on_broken_pipe(self) -> None:
            """Raise what Python raises: rich ends the program."""
            raise BrokenPipeError

    return Quietly(stderr=stderr)


def sentence(error: BaseException, about: object = None) -> str:
    """An exception as one sentence, naming the file it is about.

    Anything but a ZeroguideError is a fault of this program: the sentence says how to report it.
    """
    text = str(error)
    if not isinstance(error, ZeroguideError):
        words = " ".join(text.split()).rstrip(".")
        text = f"unexpected {type(error).__name__}" + (f" ({words})" if words else "")
        text += "; please report it with the output of the same command with --verbose"
    name = "" if about is None else str(about)
    return text if text.startswith(name) else f"{name}: {text}"


def plain(text: str) -> str:
    """Text without control characters: names of files can't move the cursor or add a column."""
    text = re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda m: f"\\x{ord(m[0]):02x}", text)
    return readable_name(text)
