"""What runs on the nodes of a cluster: the stages that label and write, and who watches them."""

from __future__ import annotations

import json
import os
import pickle
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeroguide.errors import DeviceError, OutputError, ZeroguideError
from zeroguide.result import Labeling
from zeroguide.result.renames import renamed
from zeroguide.runs.parts import Row, write_part
from zeroguide.runs.pool import ATTEMPTS, WorkersError, given_up, nothing_labelled, picklable
from zeroguide.runs.result_files import Found
from zeroguide.runs.settings import Outcome, Settings
from zeroguide.runs.sources import Item
from zeroguide.runs.worker import Worker

if TYPE_CHECKING:
    from zeroguide.image import Image
    from zeroguide.labeler import Labeler


class Watch:
    """What outlives the actors: which images they have begun and not finished, and how often they
    died. It is an actor itself, beside the driver.

    Args:
        actors: their number.
    """

    def __init__(self, actors: int) -> None:
        self._begun: dict[str, int] = {}  # how often alone
        self._stopped = False
        self._most_starts = (ATTEMPTS + 2) * actors
        self._starts = 0  # since an image was finished
        self._seconds = 0.0
        self._deaths = 0
        self._failure = ""

    def start(self, again: bool) -> bool:
        """An actor starts, maybe after its death; whether there is sense in it."""
        self._deaths += again
        self._starts += 1
        return self._starts <= self._most_starts

    def begin(self, keys: list[str]) -> dict[str, int] | None:
        """Images are begun together; returns those that were begun before and not finished.

        Each of these with how often it was begun alone. None: the run was stopped, leave them all.
        """
        if self._stopped:
            return None
        suspects = {key: self._begun[key] for key in keys if key in self._begun}
        self._begun |= {key: 0 for key in keys if key not in suspects}
        return suspects

    def begin_alone(self, key: str) -> None:
        """An image is begun, and no other."""
        self._begun[key] = self._begun.get(key, 0) + 1

    def withdraw(self, key: str) -> None:
        """What was begun alone hasn't been, really."""
        self._begun[key] -= 1

    def finish(self, keys: list[str], seconds: float) -> None:
        """Images are done, after so many seconds in the networks."""
        for key in keys:
            self._begun.pop(key, None)
        self._starts = 0
        self._seconds += seconds

    def lose(self, how: str) -> None:
        """An actor is about to end, because its device has failed."""
        self._failure = how

    def failure(self) -> str:
        """How the last device has failed; "" if none has."""
        return self._failure

    def stop(self) -> None:
        """Nothing more is to be begun."""
        self._stopped = True

    def figures(self) -> tuple[float, int]:
        """Seconds in the networks, and deaths of actors."""
        return self._seconds, self._deaths


class LabelStage:
    """The actor: labels blocks of items.

    A block becomes a row for each item: key, pickled outcome, hash and text of what was labelled.
    """

    def __init__(self, settings: Settings, watch: Any) -> None:
        import ray

        self._ray, self._watch = ray, watch
        self._settings = settings
        self._worker: Worker | None = None
        self._results = _BlockResults(settings)
        self._alone: str | None = None  # the image that is begun alone
        self._seconds = 0.0

    def __call__(self, block: Any) -> Any:
        import pyarrow as pa

        items = [pickle.loads(data) for data in block.column("item").to_pylist()]
        hashes = dict(zip([i.key for i in items], block.column("known").to_pylist(), strict=True))
        rows: dict[str, tuple[Any, Row | None]] = {}
        try:
            if self._worker is None:
                self._start()
            self._label(items, hashes, rows)
        except DeviceError as error:
            self._tell("lose", f"{error.device} of {socket.gethostname()}: {error.reason}")
            os._exit(1)  # only another process can go on; Ray starts it
        except Exception as error:  # about the run, not an image
            self._tell("stop")
            rows[items[0].key] = picklable(error), None
        keys = [item.key for item in items]
        found = [rows.get(key, (None, None)) for key in keys]
        return pa.table(
            {
                "key": pa.array(keys, pa.string()),
                "outcome": pa.array([pickle.dumps(outcome) for outcome, _ in found], pa.binary()),
                "sha256": pa.array([row and row.sha256 for _, row in found], pa.string()),
                "json": pa.array([row and row.json for _, row in found], pa.string()),
            }
        )

    def _start(self) -> None:
        again = self._ray.get_runtime_context().was_current_actor_reconstructed
        if not self._tell("start", again):
            raise WorkersError(nothing_labelled(self._tell("failure")))
        self._worker = Worker(self._settings, self._load_labeler, self._results)

    def _load_labeler(self) -> Labeler:
        """Load the models. No image is to blame if that ends the process."""
        if self._alone is not None:
            self._tell("withdraw", self._alone)
        if self._settings.threads is not None:
            import threadpoolctl  # type: ignore[import-untyped]

            threadpoolctl.threadpool_limits(self._settings.threads)
        labeler = self._settings.load_labeler()
        if self._alone is not None:
            self._tell("begin_alone", self._alone)
        return labeler

    def _label(
        self, items: list[Item], hashes: dict[str, str], rows: dict[str, tuple[Any, Row | None]]
    ) -> None:
        suspects = self._tell("begin", [item.key for item in items])
        if suspects is None:
            return
        self._run([item for item in items if item.key not in suspects], hashes, rows)
        for item in items:
            if item.key not in suspects:
                continue
            if suspects[item.key] >= ATTEMPTS:
                problem = given_up(item)
                rows[item.key] = ("failed", problem, ()), None
                self._tell("finish", [item.key], 0.0)
                continue
            self._alone = item.key
            self._tell("begin_alone", item.key)
            self._run([item], hashes, rows)
            self._alone = None

    def _run(
        self, items: list[Item], hashes: dict[str, str], rows: dict[str, tuple[Any, Row | None]]
    ) -> None:
        if not items:
            return
        worker = self._worker
        assert worker is not None  # it has been started

        def done(outcome: Outcome) -> None:
            row = None
            if outcome.labeling is not None:
                text = json.dumps(outcome.labeling.to_dict(), allow_nan=False)
                row = Row(outcome.item.key, outcome.labeling.sha256, text)
            rows[outcome.item.key] = (outcome.state, outcome.error, outcome.notes), row

        self._results.hashes = hashes
        worker.run(items, done)
        seconds, self._seconds = worker.model_seconds - self._seconds, worker.model_seconds
        self._tell("finish", [item.key for item in items], seconds)

    def _tell(self, method: str, *args: Any) -> Any:
        return self._ray.get(getattr(self._watch, method).remote(*args))


class _BlockResults:
    """Results that are no files; implements `zeroguide.runs.worker.Results`.

    hashes: keys of images with results, and the beginnings of their hashes.
    """

    def __init__(self, settings: Settings) -> None:
        self.hashes: dict[str, str] = {}
        self._settings = settings

    def find(self, item: Item, sha256: str) -> Found:
        known = self.hashes[item.key]
        return Found(is_complete=bool(known) and sha256.startswith(known))

    def write(self, item: Item, image: Image, labeling: Labeling) -> Labeling:
        labeling = renamed(labeling, self._settings.renames)
        return labeling if self._settings.embeddings else replace(labeling, embeddings=None)

    def draw(self, item: Item, image: Image, labeling: Labeling) -> None:
        raise NotImplementedError("no overlays are drawn on a cluster")


def write_stage(table: Any, folder: str, number: int) -> Any:
    """Write a part of the rows that were labelled; gives keys and outcomes on."""
    rows = table.select(["key", "sha256", "json"]).to_pylist()
    labelled = [Row(**row) for row in rows if row["json"] is not None]
    results = table.select(["key", "outcome"])
    if not labelled:
        return results
    try:
        write_part(Path(folder), labelled, number)
    except ZeroguideError as error:
        import pyarrow as pa

        problem = pickle.dumps(OutputError(f"{error}; labels that are written are kept"))
        return pa.table({"key": [labelled[0].key], "outcome": pa.array([problem], pa.binary())})
    return results
