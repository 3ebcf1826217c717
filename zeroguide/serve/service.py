"""What can be asked for, as functions of bytes: no HTTP here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, TypeVar

from zeroguide.image import Image
from zeroguide.result import names
from zeroguide.result.formats import json_
from zeroguide.result.provenance import provenance
from zeroguide.runs.masks.sent import read_masks
from zeroguide.serve.worker import Worker
from zeroguide.system.files import png_bytes
from zeroguide.system.prefetch import available_cores
from zeroguide.web.uploads import MAX_PIXELS, read_photo

if TYPE_CHECKING:
    from zeroguide.labeler import Labeler
    from zeroguide.result import Labeling, Segment
    from zeroguide.runs.masks.drawn import Mask

T = TypeVar("T")


@dataclass(frozen=True)
class Upload:
    """A file that was sent. name: without folders."""

    name: str
    content: bytes


class Full(Exception):
    """As many requests as may wait are there already."""


class Service:
    """Labels and names; its methods belong to one event loop.

    Args:
        labeler: what does the work.
        queue: requests that are worked on or wait, at most.
        broken: told that the device has failed, in another thread.

    Attributes:
        n_accepted: requests that are worked on or wait.
        is_stopping: set by whoever stops it.

    Methods raise ZeroguideError, one sentence, for what whoever asks can mend; `Full`; DeviceError.
    """

    def __init__(
        self, labeler: Labeler, *, queue: int, broken: Callable[[], None] = lambda: None
    ) -> None:
        self.recipe = labeler.recipe
        self.n_accepted = 0
        self.is_stopping = False
        self.worker = Worker(labeler, broken)
        self._most = queue
        # Pictures are read and written beside the networks.
        self._threads = ThreadPoolExecutor(available_cores(), thread_name_prefix="pictures")

    async def label(self, upload: Upload, *, overlay: bool) -> bytes:
        """What `zeroguide label` writes for an image file: JSON (zeroguide/1), or its overlay."""
        with self._accepted():
            image = await self._beside(lambda: self._open(upload))
            labeling = await asyncio.wrap_future(self.worker.label(image))
            return await self._beside(lambda: _labels(image, labeling, overlay))

    async def name(self, upload: Upload, masks: Upload, *, overlay: bool) -> bytes:
        """What `zeroguide name` writes for an image file and a file of masks: likewise."""
        with self._accepted():
            image = await self._beside(lambda: self._open(upload))
            found = await self._beside(
                lambda: read_masks(masks.content, masks.name, image, max_pixels=MAX_PIXELS)
            )
            named = await asyncio.wrap_future(
                self.worker.name(image, [mask.code for mask in found])
            )
            return await self._beside(lambda: self._names(image, named, found, overlay))

    def health(self) -> dict[str, object]:
        """What there is to know of it."""
        recipe = self.recipe
        return {
            "ready": not (self.worker.error or self.is_stopping),
            "preset": recipe.name,
            "knows": recipe.knows or recipe.description,
            "version": version("zeroguide"),
            "queue": self.n_accepted,
        }

    def close(self) -> None:
        """End its threads, when all that was asked for is done."""
        self.worker.close()
        self._threads.shutdown(cancel_futures=True)

    def check(self) -> None:
        """Raise Full or DeviceError now, for who would meet them later."""
        if self.worker.error is not None:
            raise self.worker.error
        if self.n_accepted >= self._most:
            raise Full

    @contextmanager
    def _accepted(self) -> Iterator[None]:
        self.check()
        self.n_accepted += 1
        try:
            yield
        finally:
            self.n_accepted -= 1

    async def _beside(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)

    def _open(self, upload: Upload) -> Image:
        value_range = self.recipe.image.value_range
        return read_photo(upload.content, upload.name, value_range, taker="this service")

    def _names(self, image: Image, named: list[Segment], masks: list[Mask], overlay: bool) -> bytes:
        segments = [replace(s, id=mask.id) for s, mask in zip(named, masks, strict=True)]
        codes, made = [mask.code for mask in masks], provenance(self.recipe)
        if overlay:
            from zeroguide.result.overlay import draw

            seen = names.flattened(image, segments, codes, made)
            return png_bytes(draw(seen, image.pixels, legend="never"))
        return json_.to_bytes(names.to_dict(image, segments, codes, made))


def _labels(image: Image, labeling: Labeling, overlay: bool) -> bytes:
    if overlay:
        from zeroguide.result.overlay import draw

        return png_bytes(draw(labeling, image.pixels))
    return json_.to_bytes(labeling.to_dict())
