"""Many images through one labeler: read ahead in threads, in batches that fit the memory.

Networks take images of like size together; a batch that doesn't fit into memory is halved, and so
are all that follow. What one image does costs no other: a batch that fails goes through again
image by image.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from zeroguide.errors import DeviceError, ImageError, UsageError
from zeroguide.system.device_errors import is_out_of_memory
from zeroguide.system.prefetch import ahead_of, prefetch

if TYPE_CHECKING:
    from zeroguide.image import Image
    from zeroguide.result import Labeling

BATCH_SIZE = 8  # what an accelerator is given at once; a CPU gains nothing by more than 1

S = TypeVar("S")


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


class BatchLabeler:
    """Labels batches; learns what fits into memory.

    Args:
        labeler: does the work.
        batch_size: images at a time, at most.
        note: told when the batch size had to be halved.
    """

    def __init__(
        self,
        labeler: LabelsBatches,
        batch_size: int,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"the batch size must be at least 1, not {batch_size}")
        self.labeler = labeler
        self.batch_size = batch_size
        self._note = note

    def __call__(self, images: Sequence[Image]) -> Iterator[tuple[int, Labeling | Exception]]:
        """Each image's index with its labels or what it raised, batch by batch.

        UsageError, which is about settings, and DeviceError are raised: no other image would fare
        better.
        """
        todo = batches(images, self.batch_size)
        while todo:
            batch = todo.pop(0)
            if len(batch) > self.batch_size:  # made before the size was halved
                half = len(batch) // 2
                todo[:0] = [batch[:half], batch[half:]]
                continue
            try:
                done = self.labeler.label_batch([images[i] for i in batch])
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

    Read ahead and labelled as `prefetch` and `BatchLabeler` do, which see to memory and errors; at
    most two windows of images are held.
    """
    label = BatchLabeler(labeler, batch_size)
    with contextlib.closing(prefetch(sources, load, **ahead_of(batch_size))) as windows:
        for loaded in windows:
            results: dict[int, Labeling | Exception] = {}
            images: list[Image] = []
            places: list[int] = []
            for place, (_, image) in enumerate(loaded):
                if isinstance(image, Exception):
                    results[place] = image
                else:
                    images.append(image)
                    places.append(place)
            for index, result in label(images):
                results[places[index]] = result
            yield from ((source, results[place]) for place, (source, _) in enumerate(loaded))


def _release_memory() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
