"""One worker of a run: reads images, labels them and writes the results, all at the same time."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Protocol

from zeroguide.errors import OutputError, ZeroguideError
from zeroguide.image import Image, read_image
from zeroguide.result import Labeling
from zeroguide.runs.result_files import Found, ResultFiles
from zeroguide.runs.settings import Outcome, Settings
from zeroguide.runs.sources import Item
from zeroguide.streaming import BatchLabeler
from zeroguide.system.console import sentence
from zeroguide.system.prefetch import Background, ahead_of, prefetch

if TYPE_CHECKING:
    from zeroguide.labeler import Labeler


class Results(Protocol):
    """Where results are found and go to; see `ResultFiles`."""

    def find(self, item: Item, sha256: str) -> Found: ...
    def write(self, item: Item, image: Image, labeling: Labeling) -> Labeling: ...
    def draw(self, item: Item, image: Image, labeling: Labeling) -> None: ...


@dataclass(frozen=True)
class _Loaded:
    """An image that has been read; image is None if its results are complete."""

    found: Found
    image: Image | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        return self.found.notes + (self.image.notes if self.image else ())


class Worker:
    """Labels images and writes the results.

    Args:
        settings: the run's.
        load_labeler: loads the models; called when the first image has to be labelled.
        results: where results are found and go to; None: files.

    Attributes:
        model_seconds: spent in `Labeler` so far.
    """

    def __init__(
        self,
        settings: Settings,
        load_labeler: Callable[[], Labeler] | None = None,
        results: Results | None = None,
    ) -> None:
        self.settings = settings
        self.model_seconds = 0.0
        self._results = results or ResultFiles(settings)
        self._load_labeler = load_labeler or settings.load_labeler
        self._batch: BatchLabeler | None = None
        self._notes: list[str] = []  # about the run; they go with the next image

    def run(
        self,
        items: Iterable[Item],
        done: Callable[[Outcome], None],
        *,
        stop: threading.Event | None = None,
    ) -> None:
        """Do every item; `done` is told what became of each, from one thread at a time.

        stop: once it is set, what is in the networks is finished and written, the rest left.

        Raises OutputError if results can't be written, UsageError and WeightsError for settings
        that don't work, DeviceError if the device has failed, and what `items` and `done` raise.
        What had been labelled before is written all the same.
        """
        stop = stop or threading.Event()
        ahead = ahead_of(self.settings.batch_size, self.settings.threads)
        with (
            Background(ahead["threads"], ahead=ahead["ahead"], done=done) as background,
            contextlib.closing(prefetch(items, self._load, **ahead)) as windows,
        ):
            for window in windows:
                if stop.is_set():
                    return
                to_label: list[tuple[Item, Image, tuple[str, ...]]] = []
                for item, loaded in window:
                    if isinstance(loaded, Exception):
                        background.submit(partial(_failed, item, loaded))
                    elif loaded.image is None or loaded.found.labeling is not None:
                        background.submit(partial(self._keep, item, loaded))
                    else:
                        to_label.append((item, loaded.image, loaded.notes))
                for index, result in self._label([image for _, image, _ in to_label]):
                    item, image, notes = to_label[index]
                    notes += tuple(self._notes)
                    self._notes.clear()
                    background.submit(partial(self._write, item, image, result, notes))
                    if stop.is_set():
                        return

    @property
    def has_loaded(self) -> bool:
        """Whether the models are there: what fails from now on may be an image's fault."""
        return self._batch is not None

    def _load(self, item: Item) -> _Loaded:
        """Read, and decode unless the results are complete already."""
        data = item.read()
        found = self._results.find(item, hashlib.sha256(data).hexdigest())
        if found.is_complete:
            return _Loaded(found)
        # A member of an archive or a row of a table has its file name in the key only.
        name = PurePosixPath(item.key).name
        image = read_image(data, item.name, self.settings.recipe.image.value_range)
        return _Loaded(found, replace(image, file_name=name))

    def _label(self, images: list[Image]) -> Iterator[tuple[int, Labeling | Exception]]:
        if not images:
            return
        if self._batch is None:
            labeler = self._load_labeler()
            self._batch = BatchLabeler(labeler, self.settings.batch_size, self._notes.append)
        results = self._batch(images)
        while True:
            start = time.perf_counter()
            found = next(results, None)
            self.model_seconds += time.perf_counter() - start
            if found is None:
                return
            yield found

    def _keep(self, item: Item, loaded: _Loaded) -> Outcome:
        """An image that was labelled before, whose overlay may be missing."""
        labeling = loaded.found.labeling
        if loaded.image is not None and labeling is not None:
            try:
                self._results.draw(item, loaded.image, labeling)
            except OutputError:
                raise  # no other image would fare better
            except Exception as error:
                return _failed(item, error, loaded.notes)
        return Outcome(item, "kept", notes=loaded.notes, labeling=labeling)

    def _write(
        self, item: Item, image: Image, result: Labeling | Exception, notes: tuple[str, ...]
    ) -> Outcome:
        try:
            if isinstance(result, Exception):
                raise result
            labeling = self._results.write(item, image, result)
        except OutputError:
            raise  # no other image would fare better
        except Exception as error:  # whatever one image does must not cost the others
            return _failed(item, error, notes)
        return Outcome(item, "labelled", notes=notes, labeling=labeling)


def _failed(item: Item, error: Exception, notes: tuple[str, ...] = ()) -> Outcome:
    trace = "" if isinstance(error, ZeroguideError) else "".join(traceback.format_exception(error))
    return Outcome(item, "failed", sentence(error, item.name), trace, notes)
