"""Labels all images of a run: what is done stays, what is missing is made, by one or many workers.

A run is taken up again by starting it again. What is done is recognised by the hash of the image
and by the recipe that the result names; nothing else is remembered.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from zeroguide.batch import OutputError
from zeroguide.errors import UsageError
from zeroguide.files import remove_leftovers
from zeroguide.folder_lock import locked
from zeroguide.models import prepare
from zeroguide.provenance import differences, provenance
from zeroguide.run_folder import FAILURES, MANIFEST, Manifest
from zeroguide.runs.planning import plan_workers
from zeroguide.runs.pool import Pool
from zeroguide.runs.worker import Outcome, Settings, Worker
from zeroguide.sources import Item

if TYPE_CHECKING:
    from zeroguide.labeler import Labeler

FEW = 32  # images that one process labels; more are worth the start of several


@dataclass(frozen=True)
class Shard:
    """One of `of` parts of a run's images, numbered from 1: those whose keys' hashes say so."""

    index: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """``"2/8"``. Raises UsageError for anything else."""
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise UsageError(f"--shard {text!r}: write i/n with i from 1 to n, for example 1/8")
        return cls(int(match[1]), int(match[2]))

    def has(self, key: str) -> bool:
        """Whether an image belongs to this part, whatever other images there are."""
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") % self.of == self.index - 1

    def file_name(self, name: str) -> str:
        """``"run.json"`` -> ``"run-2-of-8.json"``: parts write files of their own."""
        stem, suffix = os.path.splitext(name)
        return f"{stem}-{self.index}-of-{self.of}{suffix}"


@dataclass
class Summary:
    """What came of a run. seconds: of all; model_seconds: in the networks, of all workers."""

    labelled: int = 0
    kept: int = 0
    failed: int = 0
    workers: int = 1
    seconds: float = 0.0
    model_seconds: float = 0.0
    interrupted: bool = False

    @property
    def total(self) -> int:
        return self.labelled + self.kept + self.failed


@dataclass(frozen=True)
class Observer:
    """Whom a run tells what happens.

    started: the number of worker processes, 0 for this process alone, and the number of images if
    they are a FEW, otherwise 0. done: an image is finished. note: a remark. confirm: a question;
    None if nobody can be asked.
    """

    started: Callable[[int, int], None] = lambda workers, n_few: None
    done: Callable[[Outcome, Summary], None] = lambda outcome, summary: None
    note: Callable[[str], None] = lambda text: None
    confirm: Callable[[str], bool] | None = None


@dataclass(frozen=True)
class Run:
    """A run over images.

    Args:
        items: the images; a finite series, read once.
        roots: see `run_folder.Manifest`.
        settings: of its workers; batch_size 0 is what the device likes.
        workers: processes; None: as many as the device and the memory are good for, or none but
            this one for a FEW images.
        shard: only this part of the images.
        load_labeler: loads the models in this process.
        observer: is told what happens.
    """

    items: Iterable[Item]
    settings: Settings
    roots: list[Path] = field(default_factory=list)
    workers: int | None = None
    shard: Shard | None = None
    load_labeler: Callable[[], Labeler] | None = None
    observer: Observer = Observer()

    def label(self) -> Summary:
        """Label what isn't labelled yet.

        Raises UsageError for a folder with results of another recipe, unless settings.overwrite or
        the observer's `confirm` allows to replace them; OutputError if results can't be written,
        and what `Worker.run` raises.
        """
        output = self.settings.output
        with locked(output, shared=self.shard is not None, remedy=", or share it with --shard"):
            is_new = not (output / MANIFEST).exists()
            settings = replace(self.settings, replace=self._open_manifest())
            remove_leftovers(output)
            summary = Summary()
            start = time.perf_counter()
            try:
                with _interruptible(self.observer) as stop, self._failures(summary) as failures:

                    def done(outcome: Outcome) -> None:
                        setattr(summary, outcome.state, getattr(summary, outcome.state) + 1)
                        if outcome.state == "failed":
                            failures(outcome)
                        self.observer.done(outcome, summary)

                    self._work(settings, done, stop, summary)
                    summary.interrupted = stop.is_set()
                summary.seconds = time.perf_counter() - start
                self._close_manifest(summary)
            finally:
                if is_new and not summary.labelled + summary.kept:  # nothing it could speak of
                    (output / MANIFEST).unlink(missing_ok=True)
        return summary

    def _work(
        self,
        settings: Settings,
        done: Callable[[Outcome], None],
        stop: threading.Event,
        summary: Summary,
    ) -> None:
        items = iter(self.items)
        if self.shard is not None:
            shard = self.shard
            items = (item for item in items if shard.has(item.key))
        first = list(itertools.islice(items, FEW + 1))
        items = itertools.chain(first, items)
        if self.workers is None and len(first) <= FEW:
            plan = [replace(settings, batch_size=settings.batch_size or 1)]
        else:
            prepare(settings.recipe.checkpoints(), offline=settings.offline)  # once, not in each
            plan = plan_workers(settings, self.workers)
        summary.workers = len(plan)
        n_few = len(first) if len(first) <= FEW else 0
        if len(plan) == 1:
            self.observer.started(0, n_few)
            worker = Worker(plan[0], self.load_labeler)
            worker.run(items, done, stop=stop)
            summary.model_seconds = worker.model_seconds
            return
        self.observer.started(len(plan), n_few)
        pool = Pool(plan)
        pool.run(items, done, stop=stop)
        summary.model_seconds = pool.model_seconds
        if pool.deaths:
            self.observer.note(f"{pool.deaths} worker processes died and were replaced")

    def _name(self, name: str) -> str:
        return self.shard.file_name(name) if self.shard else name

    def _open_manifest(self) -> bool:
        """Write run.json; whether results of other recipes are to be replaced."""
        output = self.settings.output
        recipe = provenance(self.settings.recipe)
        known = Manifest.read(output)
        roots = [str(root) for root in self.roots]
        if known is None:
            Manifest(recipe, roots).write(output)
            return self.settings.overwrite
        changes = differences(known.recipe, recipe)
        if changes and not self.settings.overwrite:
            problem = f"{output}: holds results of another recipe ({'; '.join(changes)})"
            if self.observer.confirm is None:
                raise UsageError(
                    f"{problem}; replace them with --overwrite or choose another folder with -o"
                )
            if not self.observer.confirm(f"{problem}. Replace them?"):
                raise UsageError(f"{problem}: nothing was changed; choose another folder with -o")
        libraries = {**known.recipe.get("versions", {}), "zeroguide": ""}
        if libraries != {**recipe["versions"], "zeroguide": ""}:
            self.observer.note(f"{output}: its results are kept, though by other library versions")
        merged = list(dict.fromkeys([*known.roots, *roots]))
        Manifest(recipe, merged, {} if self.shard is None else known.counts).write(output)
        return True

    def _close_manifest(self, summary: Summary) -> None:
        output = self.settings.output
        manifest = Manifest.read(output)
        assert manifest is not None  # written when the run began
        counts = {state: getattr(summary, state) for state in ("labelled", "kept", "failed")}
        replace(manifest, counts=counts).write(output, self._name(MANIFEST))

    @contextlib.contextmanager
    def _failures(self, summary: Summary) -> Iterator[Callable[[Outcome], None]]:
        """What writes to failures.jsonl, line by line, so that a killed run has them, too."""
        path = self.settings.output / self._name(FAILURES)
        file: IO[str] | None = None
        path.unlink(missing_ok=True)

        def write(outcome: Outcome) -> None:
            nonlocal file
            item = outcome.item
            line = json.dumps({"key": item.key, "file": item.name, "error": outcome.error})
            try:
                file = file or open(path, "w", encoding="utf-8")  # noqa: SIM115
                print(line, file=file, flush=True)
            except OSError as error:
                raise OutputError(f"{path}: can't be written ({error.strerror})") from error

        try:
            yield write
        finally:
            if file is not None:
                file.close()
                if summary.total == 1:  # its one failure has been said
                    path.unlink(missing_ok=True)


@contextlib.contextmanager
def _interruptible(observer: Observer) -> Iterator[threading.Event]:
    """An event that Ctrl-C sets; the second Ctrl-C is a KeyboardInterrupt."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        observer.note("interrupted: finishing the image in hand; once more to stop at once")

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
