"""Labels all images of a run: what is done stays, what is missing is made, by one or many workers.

A run is taken up again by starting it again. What is done is recognised by the hash of the image
and by the recipe that the result names; nothing else is remembered.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from zeroguide.errors import OutputError, UsageError, ZeroguideError
from zeroguide.models import prepare
from zeroguide.result.provenance import differences, provenance
from zeroguide.runs import label_maps
from zeroguide.runs.failures import Failures
from zeroguide.runs.interruption import interruptible
from zeroguide.runs.layout import FAILURES, MANIFEST, results
from zeroguide.runs.opening import Engine, check_engine, once, open_manifest
from zeroguide.runs.planning import plan_workers
from zeroguide.runs.pool import Pool
from zeroguide.runs.run_folder import Manifest
from zeroguide.runs.settings import Outcome, Settings, Told
from zeroguide.runs.shard import Shard
from zeroguide.runs.sources import Item
from zeroguide.runs.worker import Worker
from zeroguide.system.files import remove_leftovers
from zeroguide.system.folder_lock import locked
from zeroguide.system.prefetch import Feed

if TYPE_CHECKING:
    from zeroguide.labeler import Labeler
    from zeroguide.runs.ray_run import RayPool

PATIENCE = 2.0  # seconds in which a FEW images have come, if they are only a few
FEW = 32  # images that one process labels; more are worth the start of several


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
        workers: processes; None: as many as device and memory allow, and for a FEW images only
            this one.
        shard: only this part of the images.
        load_labeler: loads the models in this process.
        observer: is told what happens.
        engine: "ray": on a cluster (`zeroguide.runs.ray_run`), where workers are its actors.
    """

    items: Iterable[Item]
    settings: Settings
    roots: list[Path] = field(default_factory=list)
    workers: int | None = None
    shard: Shard | None = None
    load_labeler: Callable[[], Labeler] | None = None
    observer: Observer = Observer()
    engine: Engine = "local"

    def label(self) -> Summary:
        """Label what isn't labelled yet.

        Raises UsageError for a folder with results of another recipe, unless settings.overwrite or
        the observer's `confirm` allows to replace them; OutputError if results can't be written,
        and what `Worker.run` raises.
        """
        output = self.settings.output
        remedy = ", or choose another folder with -o, or share it with --shard"
        with locked(output, shared=self.shard is not None, remedy=remedy):
            check_engine(output, self.engine)
            label_maps.check_finished(output)
            renames = label_maps.kept(output)
            if renames:
                self.observer.note(
                    f"{output}: labels are renamed as `zeroguide relabel` was told "
                    f"({label_maps.KEPT}); --undo of that command takes it back"
                )
            known = Manifest.read(output)
            with self._writing_manifest():
                manifest = open_manifest(
                    known,
                    output,
                    provenance(self.settings.recipe),
                    self.roots,
                    overwrite=self.settings.overwrite,
                    confirm=self.observer.confirm,
                    note=self.observer.note,
                )
            remove_leftovers(output)
            summary = Summary()
            try:
                with self._counting(summary) as done, interruptible(self.observer.note) as stop:
                    settings = replace(
                        self.settings, may_replace=manifest.replacing, renames=renames
                    )
                    feed = Feed(self._items(manifest))
                    workers, items = self._choose_workers(settings, feed, stop)
                    summary.workers = workers.size
                    workers.run(items, done, stop)
                    summary.model_seconds = workers.model_seconds
                    if workers.deaths:
                        note = f"{workers.deaths} worker processes died and were replaced"
                        self.observer.note(note)
                    for sentence in workers.lost:
                        self.observer.note(sentence)
                    summary.interrupted = stop.is_set()
                self._close_manifest(manifest, known, summary)
            finally:
                # With nothing in the folder there is nothing for it to speak of.
                if known is None and self.shard is None and not summary.labelled + summary.kept:
                    with contextlib.suppress(OSError):
                        (output / MANIFEST).unlink()
        return summary

    def _items(self, manifest: Manifest) -> Iterator[Item]:
        """The images of this shard; raises what `once` raises."""
        for item in once(self.items, self.settings.output, manifest, self.roots):
            if self.shard is None or self.shard.has(item.key):
                yield item

    @contextlib.contextmanager
    def _counting(self, summary: Summary) -> Iterator[Told]:
        """Who is told of every image: counts it, lists what fails, and tells the observer."""
        start = time.perf_counter()
        failures = Failures(self.settings.output / self._name(FAILURES))

        def done(outcome: Outcome) -> None:
            setattr(summary, outcome.state, getattr(summary, outcome.state) + 1)
            if outcome.state == "failed":
                failures.add(outcome.item.name, outcome.error, outcome.item.key)
            self.observer.done(outcome, summary)

        try:
            yield done
        finally:
            failures.close(keep=summary.total > 1)  # that of a single image has been said
            summary.seconds = time.perf_counter() - start

    def _choose_workers(
        self, settings: Settings, feed: Feed[Item], stop: threading.Event
    ) -> tuple[Worker | Pool | RayPool, Iterator[Item]]:
        """What does the images, and all of these; waits for the first ones."""
        if self.engine == "ray":
            from zeroguide.runs.ray_run import RayPool

            if settings.overlay:
                self.observer.note("no overlays are drawn with --engine ray")
            cluster = RayPool(settings, self.workers)
            self.observer.started(cluster.size, 0)
            return cluster, feed.until(stop)
        first = _first(feed, stop)
        are_few = feed.is_over and len(first) <= FEW
        if self.workers is None and are_few:
            plan = [replace(settings, batch_size=settings.batch_size or 1)]
        else:
            prepare(settings.recipe.checkpoints(), offline=settings.offline)  # once, not in each
            plan = plan_workers(settings, self.workers)
        self.observer.started(len(plan) if len(plan) > 1 else 0, len(first) if are_few else 0)
        workers = Pool(plan) if len(plan) > 1 else Worker(plan[0], self.load_labeler)
        return workers, itertools.chain(first, feed.until(stop))

    def _name(self, name: str) -> str:
        return self.shard.file_name(name) if self.shard else name

    @contextlib.contextmanager
    def _writing_manifest(self) -> Iterator[None]:
        """Around what writes run.json: OutputError if the folder can't be written to."""
        try:
            yield
        except ZeroguideError as error:
            cause = error.__context__
            if not isinstance(cause, OSError) or isinstance(error, UsageError):
                raise
            raise OutputError(
                f"{self.settings.output}: can't write to this folder ({cause.strerror}); make room "
                "or make it writable, or choose another with -o"
            ) from error

    def _close_manifest(self, manifest: Manifest, known: Manifest | None, summary: Summary) -> None:
        """Write the counts; known: what the folder said of itself before this run."""
        # Of an interrupted run, or one of several parts, the others are still to come.
        is_whole = self.shard is None and not summary.interrupted
        is_pure = is_whole and not (known is not None and self._is_mixed(known, summary))
        manifest.counts = {
            state: getattr(summary, state) for state in ("labelled", "kept", "failed")
        }
        manifest.replacing &= not is_pure
        with self._writing_manifest():
            manifest.write(self.settings.output, self._name(MANIFEST))

    def _is_mixed(self, known: Manifest, summary: Summary) -> bool:
        """Whether results of another recipe may be left, of images that this run wasn't given."""
        output = self.settings.output
        changed = differences(known.recipe, provenance(self.settings.recipe))
        if not (known.replacing or changed) or self.engine != "local":
            return False
        n_left = sum(1 for _ in results(output)) - summary.labelled - summary.kept
        if n_left > 0:
            self.observer.note(
                f"{output}: {n_left} results of other images stay, made by another recipe; name "
                "these images, too, or choose another folder with -o"
            )
        return n_left > 0


def _first(feed: Feed[Item], stop: threading.Event) -> list[Item]:
    """The first FEW items and one more, or fewer if they take long to come."""
    first: list[Item] = []
    deadline = time.monotonic() + PATIENCE
    while len(first) <= FEW and not (feed.is_over or stop.is_set()):
        item = feed.get(0.1)
        if item is not None:
            first.append(item)
        elif time.monotonic() > deadline:
            break
    return first
