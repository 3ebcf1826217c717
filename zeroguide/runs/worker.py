"""One worker of a run: reads images, labels them, and writes what `run_folder` describes.

Reading, networks and writing overlap in threads. The order in which an image's files are written
makes a worker safe to kill at any moment: an old overlay goes first, then the JSON is replaced
whole, then the overlay is written. So a JSON with the image's hash and the run's recipe is a
finished result of which at most the overlay has to be drawn.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from zeroguide.batch import OutputError, is_own_png, write_png
from zeroguide.console import sentence
from zeroguide.errors import ImageError, ZeroguideError
from zeroguide.labeling import SCHEMA, Labeling
from zeroguide.provenance import made_alike, provenance
from zeroguide.recipe import Recipe
from zeroguide.run_folder import overlay_path, result_path
from zeroguide.sources import Item
from zeroguide.streaming import WINDOW, Background, BatchLabeler, prefetch

if TYPE_CHECKING:
    from zeroguide.image import Image
    from zeroguide.labeler import Labeler

State = Literal["labelled", "kept", "failed"]


@dataclass(frozen=True)
class Settings:
    """What all workers of a run are told; picklable.

    output: the run's folder, which exists. overlay: whether to draw one. legend: "auto", "always"
    or "never". embeddings: whether results keep them. overwrite: label again what is labelled.
    replace: results of other recipes aren't in the way. batch_size: images in the networks at
    once, at most; 0 isn't decided yet. threads: of torch; None: torch's choice.
    """

    recipe: Recipe
    output: Path
    device: str = "auto"
    offline: bool = False
    overlay: bool = True
    legend: Literal["auto", "always", "never"] = "auto"
    embeddings: bool = True
    overwrite: bool = False
    replace: bool = False
    batch_size: int = 0
    threads: int | None = None

    @property
    def ahead(self) -> int:
        """Decoded images that wait for the networks, and results that wait to be written."""
        return 2 if self.batch_size == 1 else WINDOW * self.batch_size

    def files(self, key: str) -> list[Path]:
        """The files of an image's results."""
        overlays = [overlay_path(self.output, key)] if self.overlay else []
        return [*overlays, result_path(self.output, key)]

    def load_labeler(self) -> Labeler:
        """Load the models."""
        import torch

        from zeroguide.labeler import Labeler

        if self.threads is not None:
            torch.set_num_threads(self.threads)
        return Labeler(self.recipe, device=self.device, offline=self.offline)


@dataclass(frozen=True)
class Outcome:
    """What became of an image.

    error: one sentence if it failed. trace: Python's traceback if that was a fault of the program.
    notes: what its user may want to know. labeling: of an image that was labelled; None where it
    would have to cross processes.
    """

    item: Item
    state: State
    error: str = ""
    trace: str = ""
    notes: tuple[str, ...] = ()
    labeling: Labeling | None = None


@dataclass(frozen=True)
class _Loaded:
    """An image that has been read. done: its result, where there is one; image: None if that is
    complete."""

    image: Image | None
    done: dict[str, Any] | None
    notes: tuple[str, ...]


class Worker:
    """Labels images and writes the results.

    Args:
        settings: the run's.
        load_labeler: loads the models; called when the first image has to be labelled.

    Attributes:
        model_seconds: spent in `Labeler` so far.
    """

    def __init__(
        self, settings: Settings, load_labeler: Callable[[], Labeler] | None = None
    ) -> None:
        self.settings = settings
        self.model_seconds = 0.0
        self._provenance = provenance(settings.recipe)
        self._load_labeler = load_labeler or settings.load_labeler
        self._batch: BatchLabeler | None = None
        self._notes: list[str] = []  # about the run; they go with the next image

    def run(
        self,
        items: Iterable[Item],
        done: Callable[[Outcome], None],
        *,
        begin: Callable[[list[Item]], None] = lambda items: None,
        stop: threading.Event | None = None,
    ) -> None:
        """Do every item; `done` is told what became of each, from one thread at a time.

        begin: told which items go into the networks next. stop: once it is set, what is in the
        networks is finished and written, the rest left.

        Raises OutputError if results can't be written, UsageError and WeightsError for settings
        that don't work, and what `items` and `done` raise.
        """
        stop = stop or threading.Event()
        settings = self.settings
        threads = 1 if settings.batch_size == 1 else min(8, os.cpu_count() or 1)
        with (
            Background(threads, ahead=settings.ahead, done=done) as background,
            contextlib.closing(
                prefetch(
                    items,
                    self._load,
                    threads=threads,
                    ahead=settings.ahead,
                    window=1 if settings.batch_size == 1 else WINDOW * settings.batch_size,
                )
            ) as windows,
        ):
            for window in windows:
                if stop.is_set():
                    return
                to_label: list[tuple[Item, Image, tuple[str, ...]]] = []
                for item, loaded in window:
                    if isinstance(loaded, Exception):
                        background.submit(partial(_failed, item, loaded))
                    elif loaded.done is not None:
                        background.submit(partial(self._keep, item, loaded))
                    else:
                        assert loaded.image is not None
                        to_label.append((item, loaded.image, loaded.notes))
                for index, result in self._label(to_label, begin):
                    item, image, notes = to_label[index]
                    if isinstance(result, Exception):
                        background.submit(partial(_failed, item, result, notes))
                    else:
                        notes += tuple(self._notes)
                        self._notes.clear()
                        background.submit(partial(self._write, item, image, result, notes))
                    if stop.is_set():
                        return

    def _load(self, item: Item) -> _Loaded:
        """Read, and decode unless the result is complete already."""
        from zeroguide.image import read_image

        data = item.read()
        done, notes = self._result(item, hashlib.sha256(data).hexdigest())
        complete = done is not None and (
            not self.settings.overlay or overlay_path(self.settings.output, item.key).exists()
        )
        if complete:
            return _Loaded(None, done, notes)
        # A member of an archive or a row of a table has its file name in the key only.
        image = replace(read_image(data, item.name), file_name=PurePosixPath(item.key).name)
        return _Loaded(image, done, notes + image.notes)

    def _result(self, item: Item, sha256: str) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
        """The image's result by the same recipe, if there is one; notes about one that is damaged.

        Raises ZeroguideError for files in its place that are no results: they aren't replaced.
        """
        path = result_path(self.settings.output, item.key)
        overlay = overlay_path(self.settings.output, item.key)
        if self.settings.overlay and overlay.exists() and not is_own_png(overlay):
            raise _not_ours(overlay)
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return None, ()
        except OSError as error:
            raise ZeroguideError(f"{path}: can't be read ({error.strerror})") from error
        try:
            content = json.loads(text)
            schema, image, recipe = (content[key] for key in ("schema", "image", "recipe"))
            ours = schema == SCHEMA
            alike = made_alike(recipe, self._provenance)
            image = {"sha256": image["sha256"]}
        except (ValueError, KeyError, TypeError):
            if text.strip(b"\0") and SCHEMA.encode() not in text[:200]:
                raise _not_ours(path) from None
            return None, (f"{path} was damaged: labelled again",)
        if not ours:
            raise _not_ours(path)
        if not (alike or self.settings.replace):
            raise ZeroguideError(
                f"{path}: is a result of another recipe; replace it with --overwrite or choose "
                "another folder with -o"
            )
        same = alike and image["sha256"] == sha256
        return (content if same and not self.settings.overwrite else None), ()

    def _label(
        self,
        images: list[tuple[Item, Image, tuple[str, ...]]],
        begin: Callable[[list[Item]], None],
    ) -> Iterator[tuple[int, Labeling | Exception]]:
        if not images:
            return
        if self._batch is None:
            labeler = self._load_labeler()
            self._batch = BatchLabeler(labeler, self.settings.batch_size, self._notes.append)
        begin([item for item, _, _ in images])
        results = self._batch([image for _, image, _ in images])
        while True:
            start = time.perf_counter()
            found = next(results, None)
            self.model_seconds += time.perf_counter() - start
            if found is None:
                return
            yield found

    def _keep(self, item: Item, loaded: _Loaded) -> Outcome:
        """An image that was labelled before, whose overlay may be missing."""
        assert loaded.done is not None
        if loaded.image is not None:
            try:
                labeling = Labeling.from_dict(loaded.done)
            except ValueError as error:
                path = result_path(self.settings.output, item.key)
                problem = f"{path}: is damaged ({error}); delete it and run the same command again"
                return Outcome(item, "failed", problem)
            with _writing(item):
                self._draw(item, loaded.image, labeling)
        return Outcome(item, "kept", notes=loaded.notes)

    def _write(
        self, item: Item, image: Image, labeling: Labeling, notes: tuple[str, ...]
    ) -> Outcome:
        path = result_path(self.settings.output, item.key)
        if not self.settings.embeddings:
            labeling = replace(labeling, embeddings=None)
        try:
            with _writing(item):
                path.parent.mkdir(parents=True, exist_ok=True)
                if self.settings.overlay:
                    overlay_path(self.settings.output, item.key).unlink(missing_ok=True)
                labeling.save(path)
                if self.settings.overlay:
                    self._draw(item, image, labeling)
        except ImageError as error:
            return _failed(item, error, notes)
        return Outcome(item, "labelled", notes=notes, labeling=labeling)

    def _draw(self, item: Item, image: Image, labeling: Labeling) -> None:
        from zeroguide.overlay import draw

        picture = draw(labeling, image.pixels, legend=self.settings.legend)
        write_png(picture, overlay_path(self.settings.output, item.key))


def _failed(item: Item, error: Exception, notes: tuple[str, ...] = ()) -> Outcome:
    trace = "" if isinstance(error, ZeroguideError) else "".join(traceback.format_exception(error))
    return Outcome(item, "failed", sentence(error, item.name), trace, notes)


def _not_ours(path: Path) -> ZeroguideError:
    return ZeroguideError(
        f"{path}: already exists and isn't a result of this program; move it away or choose "
        "another folder with -o"
    )


@contextlib.contextmanager
def _writing(item: Item) -> Iterator[None]:
    """Around the writing of an image's files: ImageError for a name that is too long for a file,
    OutputError, which ends the run, for all else."""
    try:
        yield
    except (OSError, ZeroguideError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        if not isinstance(cause, OSError):
            raise
        if cause.errno == errno.ENAMETOOLONG:
            raise ImageError(
                f"{item.name}: its name is too long for the names of its results; rename it"
            ) from error
        raise OutputError(
            f"{item.name}: its results can't be written ({cause.strerror or cause}); make room or "
            "choose another folder with -o: what is written is kept"
        ) from error
