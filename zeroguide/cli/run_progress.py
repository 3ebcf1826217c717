"""What `zeroguide label` says while it runs: tables of a few images, a bar for many."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from zeroguide.cli.running import print_segments
from zeroguide.errors import ZeroguideError
from zeroguide.result import Labeling
from zeroguide.runs.label_run import Observer, Summary
from zeroguide.runs.layout import result_path
from zeroguide.runs.settings import Outcome, Settings
from zeroguide.system.console import Console

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SECONDS = 60.0  # between notes where there is no terminal for a bar


class RunProgress:
    """Says what becomes of each image.

    Args:
        console: where to.
        settings: the run's.
        count: gives the run's images, to be counted beside the work; None if they can be read only
            once.

    Attributes:
        files: of the last image that was labelled or kept.
    """

    def __init__(
        self,
        console: Console,
        settings: Settings,
        count: Callable[[], Iterable[object]] | None,
    ) -> None:
        self.console = console
        self.settings = settings
        self.files: list[Path] = []
        self._count = count
        self._n_few = 0  # images, if they are few
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._start = self._said = time.monotonic()

    def observer(self) -> Observer:
        """To be told what happens."""
        confirm = self._confirm if self.console.can_ask else None
        return Observer(self._started, self._done, self.console.note, confirm)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _started(self, workers: int, n_few: int) -> None:
        self._n_few = n_few
        self._start = self._said = time.monotonic()
        if n_few:
            return
        if workers:
            recipe = self.settings.recipe
            self.console.note(recipe.introduction)
            self.console.note(f"{workers} worker processes")
        self._bar = self.console.bar()
        if self._bar is None:
            return
        self._task = self._bar.add_task("labelling", total=None, failed="")
        self._bar.start()
        if self._count is not None:
            threading.Thread(target=self._find_total, args=(self._count,), daemon=True).start()

    def _find_total(self, images: Callable[[], Iterable[object]]) -> None:
        try:
            total = sum(1 for _ in images())
        except Exception:  # said where the images are read to be labelled
            return
        bar, task = self._bar, self._task
        if bar is not None and task is not None:
            bar.update(task, total=total)

    def _done(self, outcome: Outcome, summary: Summary) -> None:
        name = outcome.item.name
        for note in outcome.notes:
            self.console.note(f"{name}: {note}")
        if outcome.state == "failed":
            self.console.error(outcome.error)
            if self.console.verbose and outcome.trace:
                print(outcome.trace, file=sys.stderr)
        else:
            if self._n_few and (labeling := self._labeling(outcome)):
                title = outcome.item.name if self._n_few > 1 else None
                print_segments(self.console, labeling.segments, labeling.label_map.size, title)
            self.files = self.settings.files(outcome.item.key)
        if self._n_few:
            self.console.step(f"{summary.total} of {self._n_few} images")
        elif self._bar is not None and self._task is not None:
            failed = f"{summary.failed} failed" if summary.failed else ""
            self._bar.update(self._task, completed=summary.total, failed=failed)
        elif time.monotonic() - self._said > SECONDS:
            self._said = time.monotonic()
            rate = summary.total / (self._said - self._start)
            self.console.note(
                f"{summary.total} images done, {rate:.2g} a second; {summary.kept} of them were "
                f"labelled before, {summary.failed} failed"
            )

    def _labeling(self, outcome: Outcome) -> Labeling | None:
        if outcome.labeling is not None:
            return outcome.labeling
        try:
            return Labeling.load(result_path(self.settings.output, outcome.item.key))
        except ZeroguideError as error:  # it was kept, and only its beginning has been looked at
            self.console.failure(error)
            return None

    def _confirm(self, question: str) -> bool:
        import typer

        return typer.confirm(question, err=True)
