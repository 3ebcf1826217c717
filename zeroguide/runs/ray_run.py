"""A run on a cluster with Ray Data: the same labels as on one machine, in Parquet parts.

Rows go through two stages: actors that hold the models read images and label them, tasks write
parts (`zeroguide.runs.parts`). Between them go labels as text, never pixels. The images are done in
windows, because a list of all would not fit into memory.

An actor that dies is restarted by Ray, with what it had in hand; one whose GPU fails ends itself.
The driver counts the processes that each image has ended: after three it is given up. Every node
needs zeroguide, the models, and the images and the output folder under the same paths.

Failure modes: if the driver dies, labels that are in no part yet are lost, at most LEAST_PART or
PART_PER_ACTOR images an actor. All actors load the models anew for each window, and wait for the
last image of it.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import pickle
import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.result.provenance import provenance
from zeroguide.runs.layout import PARTS, part_files
from zeroguide.runs.parts import Known, next_number
from zeroguide.runs.ray_stages import LabelStage, Watch, write_stage
from zeroguide.runs.settings import Outcome, Settings, Told
from zeroguide.runs.sources import Item
from zeroguide.streaming import BATCH_SIZE
from zeroguide.system.prefetch import available_cores

WINDOW_PER_ACTOR = 2000  # images between two loads of the models
LEAST_WINDOW = 10_000
PART_PER_ACTOR, LEAST_PART, LARGEST_PART = 64, 128, 4096  # images in a part
BLOCK = 16  # images that an actor is given at once: what its death costs


class RayPool:
    """Does what `Pool` does, on a Ray cluster: the one that RAY_ADDRESS names or this machine has
    joined, or else this machine.

    Args:
        settings: of the run. device: "auto" takes the cluster's GPUs if it has any. Overlays are
            not drawn, threads are 1 on CPUs.
        workers: actors; None: one for each GPU, or else each CPU.

    Attributes:
        size: number of actors.
        model_seconds, deaths, lost: as of `Pool`; lost names the last of them.

    Raises UsageError for a device that Ray can't give, without Ray, and for a RAY_ADDRESS that
    doesn't answer.
    """

    def __init__(self, settings: Settings, workers: int | None) -> None:
        self._ray, self._is_ours = _connect(workers)
        self.model_seconds = 0.0
        self.deaths = 0
        self.lost: list[str] = []
        resources = self._ray.cluster_resources()
        kind = settings.device.partition(":")[0]
        if kind == "auto":
            kind = "cuda" if resources.get("GPU", 0) >= 1 else "cpu"
        if kind not in ("cpu", "cuda") or settings.device.count(":"):
            raise UsageError(f"--device {settings.device}: with --engine ray it is cpu or cuda")
        if kind == "cuda" and resources.get("GPU", 0) < 1:
            raise UsageError("--device cuda: the Ray cluster has no GPU; use --device cpu")
        self._gpus = int(kind == "cuda")
        self.size = workers or max(1, int(resources.get("GPU" if self._gpus else "CPU", 1)))
        self._settings = replace(
            settings,
            output=Path(os.path.abspath(settings.output)),
            device=kind,
            overlay=False,
            batch_size=settings.batch_size or (BATCH_SIZE if self._gpus else 1),
            threads=None if self._gpus else 1,
        )

    def run(self, items: Iterable[Item], done: Told, stop: threading.Event | None = None) -> None:
        """Do every item; `done` is told of it when its part is written, outcomes come without
        labelings.

        Raises what `Worker.run` raises, WorkersError if actors die before they have labelled
        anything, UsageError for parts of another recipe unless settings.overwrite or
        settings.may_replace, ZeroguideError if the cluster fails.
        """
        stop = stop or threading.Event()
        settings = self._settings
        parts = part_files(settings.output)
        known = Known(parts, provenance(settings.recipe))
        if known.has_others and not (settings.may_replace or settings.overwrite):
            raise UsageError(
                f"{settings.output / PARTS}: holds results of another recipe; replace them with "
                "--overwrite or choose another folder with -o"
            )
        watch = self._ray.remote(num_cpus=0)(Watch).remote(self.size)
        items = iter(items)
        size = max(LEAST_WINDOW, WINDOW_PER_ACTOR * self.size)
        try:
            with _forwarded(stop, lambda: watch.stop.remote()):
                number = next_number(parts)
                while not stop.is_set() and (window := list(itertools.islice(items, size))):
                    hashes = ["" if settings.overwrite else known.sha256(i.key) for i in window]
                    self._do(window, hashes, number, watch, done)
            self.model_seconds, self.deaths = self._ray.get(watch.figures.remote())
            if failure := self._ray.get(watch.failure.remote()):
                self.lost.append(f"a device has failed ({failure})")
        except self._ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[0][:200].rstrip(".")
            raise ZeroguideError(
                f"the Ray cluster has failed ({type(error).__name__}: {reason}); run the same "
                "command again: what is written is kept"
            ) from error
        finally:
            if self._is_ours:
                self._ray.shutdown()
            else:
                with contextlib.suppress(Exception):  # it is dead
                    self._ray.kill(watch)

    def _do(
        self,
        items: list[Item],
        hashes: list[str],
        number: int,
        watch: Any,
        done: Told,
    ) -> None:
        """A window: items, and the hashes of those of which there are results."""
        import pyarrow as pa
        import ray.data

        settings = self._settings
        ray.data.DataContext.get_current().enable_progress_bars = False
        # Each actor gets several blocks, so that all end at about the same time.
        block = min(max(BLOCK, 4 * settings.batch_size), -(-len(items) // (4 * self.size)))
        columns = {"item": [pickle.dumps(item) for item in items], "known": hashes}
        rows = pa.table(columns)
        blocks = [rows.slice(start, block) for start in range(0, len(items), block)]
        part = min(max(LEAST_PART, PART_PER_ACTOR * self.size), LARGEST_PART)
        results = (
            ray.data.from_arrow(blocks)
            .map_batches(
                LabelStage,
                fn_constructor_args=(settings, watch),
                batch_size=None,
                batch_format="pyarrow",
                compute=ray.data.ActorPoolStrategy(size=min(self.size, len(blocks))),
                num_cpus=1,  # Ray restarts actors and repeats their tasks without limit
                num_gpus=self._gpus,
            )
            .map_batches(
                write_stage,
                fn_args=(str(settings.output / PARTS), number),
                batch_size=part,
                batch_format="pyarrow",
                num_cpus=0,  # the actors have all CPUs
            )
        )
        by_key = {item.key: item for item in items}
        for batch in results.iter_batches(batch_size=None, batch_format="pyarrow"):
            for key, outcome in _unpacked(batch):
                if isinstance(outcome, Exception):
                    raise outcome
                if outcome is not None:
                    state, error, notes = outcome
                    done(Outcome(by_key[key], state, error, notes))


def _unpacked(table: Any) -> Iterator[tuple[str, Any]]:
    outcomes = (pickle.loads(data) for data in table.column("outcome").to_pylist())
    return zip(table.column("key").to_pylist(), outcomes, strict=True)


def _connect(workers: int | None) -> tuple[Any, bool]:
    """Ray, and whether it was started for this run."""
    try:
        import pyarrow  # noqa: F401
        import ray
        import ray.data
    except ImportError as error:
        raise UsageError("--engine ray needs Ray; run `pip install 'zeroguide[ray]'`") from error
    if ray.is_initialized():
        return ray, False
    # Its notes about plans, bars and object stores are of no use to those who want labels.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    address = os.environ.get("RAY_ADDRESS", "")
    try:
        if found := re.fullmatch(r"([^/]+):(\d+)", address):  # Ray would try for minutes
            socket.create_connection((found[1].strip("[]"), int(found[2])), timeout=10).close()
        ray.init(address="auto", **quiet)
    except OSError as error:  # also ConnectionError
        if address:
            raise UsageError(
                f"RAY_ADDRESS={address}: no Ray cluster answers; start it or unset RAY_ADDRESS"
            ) from error
        cores = max(available_cores(), workers or 0)
        ray.init(address="local", num_cpus=cores, include_dashboard=False, **quiet)
    return ray, True


@contextlib.contextmanager
def _forwarded(event: threading.Event, call: Callable[[], object]) -> Iterator[None]:
    """Call a function once the event is set."""
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            if event.wait(0.2):
                call()
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
