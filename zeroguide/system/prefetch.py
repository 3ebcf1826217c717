"""Series read and loaded ahead in threads, and work done behind, never more than fits."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypedDict, TypeVar

S = TypeVar("S")
T = TypeVar("T")

WINDOW = 2  # batches' worth of images among which like sizes are looked for
PATIENCE = 0.5  # seconds that a window waits for images that don't come


class Feed(Generic[S]):
    """A series that is read in a thread: what it is waiting for holds nothing else up.

    ahead: elements that are read before they are asked for, at most; 0: all.
    """

    def __init__(self, series: Iterable[S], ahead: int = 256) -> None:
        self._queue: queue.Queue[S | _End] = queue.Queue(ahead)
        self.is_over = False
        # Its thread can't be told to end while the series waits for standard input, say.
        threading.Thread(target=self._read, args=(series,), daemon=True).start()

    def _read(self, series: Iterable[S]) -> None:
        try:
            for element in series:
                self._queue.put(element)
            self._queue.put(_End(None))
        except BaseException as error:
            self._queue.put(_End(error))

    def get(self, seconds: float = 0.0) -> S | None:
        """The next element, if it comes in time. Raises what the series raises."""
        if self.is_over:
            return None
        try:
            found = self._queue.get(timeout=seconds) if seconds else self._queue.get_nowait()
        except queue.Empty:
            return None
        if isinstance(found, _End):
            self.is_over = True
            if found.error is not None:
                raise found.error
            return None
        return found

    def until(self, stop: threading.Event) -> Iterator[S]:
        """The elements to the end, or until the event is set."""
        while not (self.is_over or stop.is_set()):
            found = self.get(0.1)
            if found is not None:
                yield found


@dataclass(frozen=True)
class _End:
    error: BaseException | None


def prefetch(
    sources: Iterable[S], load: Callable[[S], T], *, threads: int, ahead: int, window: int = 1
) -> Generator[list[tuple[S, T | Exception]], None, None]:
    """Load in threads, at most `ahead` at a time: lists of what is there, in order.

    A list has 1 to `window` elements: fewer if PATIENCE seconds bring no more. What `load` raises
    stands in place of its result; what `sources` raises is raised here. Ends early and tidily when
    it is closed.
    """
    pending: queue.Queue[tuple[S, Future[T]] | BaseException | None] = queue.Queue(ahead)
    closed = threading.Event()

    def put(element: tuple[S, Future[T]] | BaseException | None) -> None:
        while not closed.is_set():
            try:
                return pending.put(element, timeout=0.1)
            except queue.Full:
                continue

    def feed() -> None:
        try:
            for source in sources:
                put((source, pool.submit(load, source)))
                if closed.is_set():
                    return
            put(None)
        except BaseException as error:
            put(error)

    with ThreadPoolExecutor(threads) as pool:
        feeder = threading.Thread(target=feed, daemon=True)  # its source may never answer
        feeder.start()
        try:
            ended = False
            while not ended:
                found: list[tuple[S, T | Exception]] = []
                while len(found) < window:
                    try:
                        element = pending.get(timeout=PATIENCE if found else None)
                    except queue.Empty:
                        break
                    if element is None or isinstance(element, BaseException):
                        if found:
                            yield found
                        if element is not None:
                            raise element
                        ended, found = True, []
                        break
                    source, future = element
                    try:
                        found.append((source, future.result()))
                    except Exception as error:
                        found.append((source, error))
                if found:
                    yield found
        finally:
            closed.set()
            pool.shutdown(wait=True, cancel_futures=True)


class Background(contextlib.AbstractContextManager["Background[T]"], Generic[T]):
    """Functions run in threads; `done` is told their results, from one thread at a time.

    At most `ahead` of them wait: then `submit` does, too. The first exception of a function or of
    `done` is raised by the next `submit`, or at the end; what was submitted later is dropped.
    """

    def __init__(self, threads: int, *, ahead: int, done: Callable[[T], None]) -> None:
        self._pool = ThreadPoolExecutor(threads)
        self._room = threading.Semaphore(ahead)
        self._one = threading.Lock()
        self._done = done
        self._error: BaseException | None = None

    def submit(self, function: Callable[[], T]) -> None:
        """Run a function in the background, when there is room."""
        self._room.acquire()
        if self._error is not None:
            raise self._error
        self._pool.submit(self._run, function)

    def _run(self, function: Callable[[], T]) -> None:
        try:
            if self._error is None:
                result = function()
                with self._one:
                    self._done(result)
        except BaseException as error:
            self._error = self._error or error
        finally:
            self._room.release()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._pool.shutdown(wait=True)
        if self._error is not None and kind is None:
            raise self._error


def ahead_of(batch_size: int, cores: int | None = None) -> Ahead:
    """How far ahead to read for batches of this size.

    cores: at most one thread for each; None: those that this process may use.
    """
    if batch_size == 1:
        return {"threads": 1, "ahead": 2, "window": 1}
    window = WINDOW * batch_size
    return {"threads": min(8, cores or available_cores()), "ahead": window, "window": window}


def available_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Ahead(TypedDict):
    """Arguments of `prefetch`."""

    threads: int
    ahead: int
    window: int
