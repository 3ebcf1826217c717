"""Many images through one labeler: read ahead in threads, in batches that fit the memory.

Networks take images of like size together. A batch that doesn't fit into memory is halved, and so
are all that follow. What one image does costs no other: a batch that fails goes through again image
by image.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

from zeroguide.errors import DeviceError, ImageError, UsageError
from zeroguide.image import Image
from zeroguide.system.device_errors import is_out_of_memory
from zeroguide.system.prefetch import ahead_of, prefetch

if TYPE_CHECKING:
    from zeroguide.result import Labeling

BATCH_SIZE = 8  # what an accelerator is given at once; a CPU gains nothing by more than 1

S = TypeVar("S")
T = TypeVar("T")


def batches(images: Sequence[Image], size: int) -> list[list[int]]:
    """Indices of images in batches of at most `size`, those of like shape together.

    The order is that of aspect ratio and area; size 1 keeps the images' own order.
    """
    order = list(range(len(images)))
    if size > 1:
        shapes = [image.pixels.shape[:2] for image in images]
        order.sort(key=lambda i: (shapes[i][0] / shapes[i][1], shapes[i]))
    return [order[i : i + size] for i in range(0, len(order), size)]


class LabelsBatches(Protocol):
    """What labels several images at once; a `Labeler` does. device: where it computes."""

    @property
    def device(self) -> Any: ...
    def label_batch(self, images: Sequence[Image], /) -> Sequence[Labeling]: ...


class Done(NamedTuple, Generic[S, T]):
    """What came of a source.

    place: in the series, from 0. image: what was labelled, or failed to be. result: the labels,
    what was raised, or what was loaded instead of an image.
    """

    place: int
    source: S
    image: Image | None
    result: Labeling | T | Exception


class BatchLabeler:
    """Labels batches; learns what fits into memory.

    Args:
        load_labeler: loads what does the work; called when the first image has to be labelled.
        batch_size: images at a time, at most.
        note: told when the batch size had to be halved.

    Attributes:
        labeler: what does the work; None until it is loaded.
        seconds: spent in the labeler so far.
    """

    def __init__(
        self,
        load_labeler: Callable[[], LabelsBatches],
        batch_size: int,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"the batch size must be at least 1, not {batch_size}")
        self.labeler: LabelsBatches | None = None
        self.batch_size = batch_size
        self.seconds = 0.0
        self._load_labeler = load_labeler
        self._note = note

    def stream(
        self,
        sources: Iterable[S],
        load: Callable[[S], Image | T],
        *,
        threads: int | None = None,
        stop: threading.Event | None = None,
    ) -> Generator[Done[S, T], None, None]:
        """What came of each source, as soon as it is known; `label_in_order` sorts.

        Sources are loaded ahead in threads; at most two windows of images are held. What `load`
        gives instead of an image, or raises, is passed on.

        threads: that load, at most; None: one for each core. stop: once it is set, what is in the
        networks is finished, the rest left.

        Raises what `sources` and `load_labeler` raise, and what a call raises.
        """
        stop = stop or threading.Event()
        n_before = 0  # sources of earlier windows
        ahead = ahead_of(self.batch_size, threads)
        with contextlib.closing(prefetch(sources, load, **ahead)) as windows:
            for window in windows:
                if stop.is_set():
                    return
                images: list[Image] = []
                waiting: list[tuple[int, S]] = []
                for place, (source, loaded) in enumerate(window, n_before):
                    if isinstance(loaded, Image):
                        images.append(loaded)
                        waiting.append((place, source))
                    else:
                        yield Done(place, source, None, loaded)
                n_before += len(window)
                for i, result in self(images, stop):
                    yield Done(*waiting[i], images[i], result)

    def __call__(
        self, images: Sequence[Image], stop: threading.Event | None = None
    ) -> Iterator[tuple[int, Labeling | Exception]]:
        """Each image's index with its labels or what it raised, batch by batch, until `stop`.

        UsageError, which is about settings, and DeviceError are raised: no other image would fare
        better.
        """
        todo = batches(images, self.batch_size)
        while todo and not (stop and stop.is_set()):
            batch = todo.pop(0)
            if len(batch) > self.batch_size:  # made before the size was halved
                half = len(batch) // 2
                todo[:0] = [batch[:half], batch[half:]]
                continue
            if self.labeler is None:
                self.labeler = self._load_labeler()
            try:
                start = time.perf_counter()
                try:
                    done = self.labeler.label_batch([images[i] for i in batch])
                finally:
                    self.seconds += time.perf_counter() - start
                yield from zip(batch, done, strict=True)
            except UsageError:
                raise
            except DeviceError as error:
                more = f" and {len(batch) - 1} more" if len(batch) > 1 else ""
                names = images[batch[0]].file_name + more
                raise DeviceError(error.device, error.reason, names) from error
            except Exception as error:
                if is_out_of_memory(error):
                    error = self._shrink(len(batch), images[batch[0]], error)
                if len(batch) == 1:
                    yield batch[0], error
                elif is_out_of_memory(error):
                    todo.insert(0, batch)  # too large now
                else:
                    todo[:0] = [[i] for i in batch]

    def _shrink(self, size: int, image: Image, error: Exception) -> Exception:
        """Halve the batch size; for a single image, the error that its user is to read."""
        _release_memory()
        if size == 1:
            height, width = image.pixels.shape[:2]
            assert self.labeler is not None  # it has just failed
            return ImageError(
                f"{image.file_name}: {width} x {height} px need more memory than "
                f"{self.labeler.device} has free; lower features.shorter_side or use another device"
            )
        if self.batch_size >= size:
            self.batch_size = max(1, size // 2)
            self._note(f"out of memory with {size} images at a time: now {self.batch_size}")
        return error


def label_in_order(
    labeler: LabelsBatches, sources: Iterable[S], load: Callable[[S], Image], batch_size: int
) -> Generator[tuple[S, Labeling | Exception], None, None]:
    """Each source with its labels or what it raised, in the order of the sources.

    Loaded, labelled and held in memory as `BatchLabeler.stream` does.
    """
    waiting: dict[int, tuple[S, Labeling | Exception]] = {}
    n_given = 0
    batched = BatchLabeler(lambda: labeler, batch_size)
    results: Generator[Done[S, Labeling], None, None] = batched.stream(sources, load)
    with contextlib.closing(results):
        for done in results:
            waiting[done.place] = done.source, done.result
            while n_given in waiting:
                yield waiting.pop(n_given)
                n_given += 1


def _release_memory() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
