"""One worker of a run: reads images, labels them and writes the results, all at the same time."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Protocol

from zeroguide.errors import OutputError, ZeroguideError
from zeroguide.image import Image, read_image
from zeroguide.result import Labeling
from zeroguide.runs.result_files import Found, ResultFiles
from zeroguide.runs.settings import Outcome, Settings, Told
from zeroguide.runs.sources import Item
from zeroguide.streaming import BatchLabeler, Done
from zeroguide.system.console import sentence
from zeroguide.system.prefetch import Background, ahead_of

if TYPE_CHECKING:
    from zeroguide.labeler import Labeler


class Results(Protocol):
    """Where results are found and go to; see `ResultFiles`."""

    def find(self, item: Item, sha256: str) -> Found: ...
    def write(self, item: Item, image: Image, labeling: Labeling) -> Labeling: ...
    def draw(self, item: Item, image: Image, labeling: Labeling) -> None: ...


class Worker:
    """Labels images and writes the results.

    Args:
        settings: the run's.
        load_labeler: loads the models; called when the first image has to be labelled.
        results: where results are found and go to; None: files.
    """

    size, deaths = 1, 0  # as of `Pool`
    lost: Sequence[str] = ()

    def __init__(
        self,
        settings: Settings,
        load_labeler: Callable[[], Labeler] | None = None,
        results: Results | None = None,
    ) -> None:
        self.settings = settings
        self._results = results or ResultFiles(settings)
        self._notes: list[str] = []  # about the run; they go with the next image
        self._batched = BatchLabeler(
            load_labeler or settings.load_labeler, settings.batch_size, self._notes.append
        )

    @property
    def model_seconds(self) -> float:
        """Spent in `Labeler` so far."""
        return self._batched.seconds

    @property
    def has_loaded(self) -> bool:
        """Whether the models are there: what fails from now on may be an image's fault."""
        return self._batched.labeler is not None

    def run(self, items: Iterable[Item], done: Told, stop: threading.Event | None = None) -> None:
        """Do every item; `done` is told what became of each, from one thread at a time.

        stop: once it is set, what is in the networks is finished and written, the rest left.

        Raises OutputError if results can't be written, UsageError and WeightsError for settings
        that don't work, DeviceError if the device has failed, and what `items` and `done` raise.
        What had been labelled before is written all the same.
        """
        ahead = ahead_of(self.settings.batch_size, self.settings.threads)
        series = self._batched.stream(items, self._load, threads=self.settings.threads, stop=stop)
        with (
            Background(ahead["threads"], ahead=ahead["ahead"], done=done) as background,
            contextlib.closing(series) as results,
        ):
            for result in results:
                notes: tuple[str, ...] = ()
                if result.image is not None:
                    notes = result.image.notes + tuple(self._notes)
                    self._notes.clear()
                background.submit(partial(self._finish, result, notes))

    def _load(self, item: Item) -> Image | Outcome:
        """Read and decode; an outcome if the results are there already."""
        data = item.read()
        found = self._results.find(item, hashlib.sha256(data).hexdigest())
        if found.is_complete:
            return Outcome(item, "kept", notes=found.notes)
        # A member of an archive or a row of a table has its file name in the key only.
        name = PurePosixPath(item.key).name
        image = read_image(data, item.name, self.settings.recipe.image.value_range)
        image = replace(image, file_name=name, notes=found.notes + image.notes)
        return image if found.labeling is None else self._draw(item, image, found.labeling)

    def _draw(self, item: Item, image: Image, labeling: Labeling) -> Outcome:
        """Draw the overlay that an earlier result lacks."""
        try:
            self._results.draw(item, image, labeling)
        except OutputError:
            raise  # no other image would fare better
        except Exception as error:
            return _failed(item, error, image.notes)
        return Outcome(item, "kept", notes=image.notes, labeling=labeling)

    def _finish(self, done: Done[Item, Outcome], notes: tuple[str, ...]) -> Outcome:
        """Write the labels of an image, if it has got any."""
        item, image, result = done.source, done.image, done.result
        if isinstance(result, Outcome):
            return result
        try:
            if isinstance(result, Exception):
                raise result
            assert image is not None  # it was labelled
            labeling = self._results.write(item, image, result)
        except OutputError:
            raise  # no other image would fare better
        except Exception as error:  # whatever one image does must not cost the others
            return _failed(item, error, notes)
        return Outcome(item, "labelled", notes=notes, labeling=labeling)


def _failed(item: Item, error: Exception, notes: tuple[str, ...] = ()) -> Outcome:
    trace = "" if isinstance(error, ZeroguideError) else "".join(traceback.format_exception(error))
    return Outcome(item, "failed", sentence(error, item.name), trace, notes)
