"""The one thread that runs the networks; what waits for it together goes through together."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from zeroguide.errors import DeviceError, ZeroguideError
from zeroguide.image import Image
from zeroguide.result.rle import RLE, decode
from zeroguide.streaming import BATCH_SIZE, BatchLabeler
from zeroguide.system.device_errors import is_out_of_memory

if TYPE_CHECKING:
    from zeroguide.labeler import Labeler
    from zeroguide.result import Labeling, Segment


@dataclass(eq=False)
class _Job:
    """codes: of the masks to be named; None: the image is to be labelled."""

    image: Image
    codes: Sequence[RLE] | None = None
    future: Future[Any] = field(default_factory=Future)


class Worker:
    """Labels images and names masks, in the order in which they come.

    Args:
        labeler: used by this thread alone.
        broken: told, in this thread, that the device has failed: nothing more can be computed.
        batch_size: images in the networks at once, at most; it is halved where they don't fit into
            memory. None: 1 on a CPU, where more gain nothing and results are then the same to the
            last bit whoever else asks; else `zeroguide.streaming.BATCH_SIZE`.

    Attributes:
        error: the device's failure.
    """

    def __init__(
        self,
        labeler: Labeler,
        broken: Callable[[], None] = lambda: None,
        batch_size: int | None = None,
    ) -> None:
        if batch_size is None:
            batch_size = 1 if str(labeler.device) == "cpu" else BATCH_SIZE
        self.error: DeviceError | None = None
        self._labeler = labeler
        self._broken = broken
        self._batches = BatchLabeler(lambda: labeler, batch_size)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="networks", daemon=True)
        self._thread.start()

    def label(self, image: Image) -> Future[Labeling]:
        """Its `Labeler.label_batch`. Cancelled while it waits, the image isn't labelled."""
        return self._submit(_Job(image))

    def name(self, image: Image, codes: Sequence[RLE]) -> Future[list[Segment]]:
        """Its `Labeler.name_masks`, of masks as run-length codes; cancelled likewise."""
        return self._submit(_Job(image, codes))

    def close(self) -> None:
        """End the thread when all that was asked for is done."""
        self._jobs.put(None)
        self._thread.join()

    def _submit(self, job: _Job) -> Future[Any]:
        self._jobs.put(job)
        return job.future

    def _run(self) -> None:
        is_open = True
        while is_open:
            jobs, is_open = self._take()
            self._do(jobs)
            del jobs  # images are large, and the next may take long to come

    def _take(self) -> tuple[list[_Job], bool]:
        """At most a batch of what waits, at least one; and whether there may be more."""
        jobs: list[_Job] = []
        while len(jobs) < self._batches.batch_size:
            try:
                job = self._jobs.get(block=not jobs)
            except queue.Empty:
                break
            if job is None:
                return jobs, False
            if job.future.set_running_or_notify_cancel():
                jobs.append(job)
        return jobs, True

    def _do(self, jobs: list[_Job]) -> None:
        try:
            if self.error is not None:
                raise self.error
            self._label([job for job in jobs if job.codes is None])
            for job in jobs:
                if job.codes is not None:
                    self._name(job, job.codes)
        except DeviceError as error:
            # Without the names that it gives: they are other people's.
            told = DeviceError(error.device, error.reason)
            _fail(jobs, told)
            if self.error is None:
                self.error = told
                self._broken()
        except Exception as error:
            _fail(jobs, error)

    def _label(self, jobs: list[_Job]) -> None:
        for index, result in self._batches([job.image for job in jobs]):
            if isinstance(result, Exception):
                jobs[index].future.set_exception(result)
            else:
                jobs[index].future.set_result(result)

    def _name(self, job: _Job, codes: Sequence[RLE]) -> None:
        try:
            job.future.set_result(self._labeler.name_masks(job.image, map(decode, codes)))
        except DeviceError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                error = ZeroguideError(
                    f"{job.image.file_name}: with its {len(codes)} masks it needs more memory than "
                    f"{self._labeler.device} has free; send fewer, or a smaller picture"
                )
            job.future.set_exception(error)


def _fail(jobs: list[_Job], error: Exception) -> None:
    for job in jobs:
        if not job.future.done():
            job.future.set_exception(error)
