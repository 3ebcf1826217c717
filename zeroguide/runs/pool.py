"""Several worker processes for one run, any of which may die.

Each worker has a pipe of its own, so that none can leave a lock behind, and a few items in hand. If
it dies, another takes its place and does what it had not finished; an image that was in the
networks of three workers when they died is given up. A worker whose parent dies ends itself.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from typing import Any

from zeroguide.errors import ZeroguideError
from zeroguide.runs.settings import Outcome, Settings
from zeroguide.runs.worker import Worker
from zeroguide.sources import Item

ATTEMPTS = 3
_END, _STOP = "end", "stop"


class WorkersError(ZeroguideError):
    """Worker processes die before they have done anything."""


@dataclass
class _Process:
    """A worker process: what it was given and hasn't finished, and what is in its networks."""

    number: int
    process: multiprocessing.process.BaseProcess
    pipe: Connection
    given: dict[str, Item] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    has_worked: bool = False


class Pool:
    """Runs `Worker`s in processes.

    Args:
        settings: of each worker.

    Attributes:
        model_seconds: of all workers together, known when `run` has ended.
        deaths: of workers.
    """

    def __init__(self, settings: Sequence[Settings]) -> None:
        self._settings = list(settings)
        self._context = multiprocessing.get_context("spawn")  # a fork of torch's threads may hang
        self._workers: list[_Process] = []
        self._again: deque[Item] = deque()  # what dead workers had not finished
        self._attempts: Counter[str] = Counter()
        self._fruitless = 0
        self.model_seconds = 0.0
        self.deaths = 0

    def run(
        self,
        items: Iterable[Item],
        done: Callable[[Outcome], None],
        *,
        stop: threading.Event | None = None,
    ) -> None:
        """Do every item, as `Worker.run` does; outcomes come without labelings.

        Raises what that raises, and WorkersError if three workers in a row die at once.
        """
        stop = stop or threading.Event()
        source = _Feed(items)
        at_once = 2 * self._settings[0].ahead + 2
        try:
            for number in range(len(self._settings)):
                self._start(number)
            told = None
            while self._workers:
                if told is None:
                    for worker in self._workers:
                        while len(worker.given) < at_once and (item := self._next(source)):
                            worker.given[item.key] = item
                            _send(worker.pipe, item)
                    if stop.is_set():
                        told = _STOP
                    elif source.is_over and not any(w.given for w in self._workers):
                        told = _END
                    for worker in self._workers if told else []:
                        _send(worker.pipe, told)
                pipes: dict[object, _Process] = {worker.pipe: worker for worker in self._workers}
                for pipe in wait([worker.pipe for worker in self._workers], timeout=0.05):
                    self._receive(pipes[pipe], done, ending=told is not None)
        finally:
            for worker in self._workers:
                worker.process.kill()
            for worker in self._workers:
                worker.process.join()

    def _next(self, source: _Feed) -> Item | None:
        return self._again.popleft() if self._again else source.get()

    def _start(self, number: int) -> None:
        mine, its = self._context.Pipe()
        settings = self._settings[number]
        process = self._context.Process(target=_serve, args=(its, settings), daemon=True)
        with _for_children(settings.threads):
            process.start()
        its.close()  # so that the pipe ends with the process
        self._workers.append(_Process(number, process, mine))

    def _receive(self, worker: _Process, done: Callable[[Outcome], None], *, ending: bool) -> None:
        try:
            kind, content = worker.pipe.recv()
        except (EOFError, OSError):
            self._bury(worker, done, ending=ending)
            return
        if kind == "begun":
            worker.begun = set(content)
        elif kind == "done":
            worker.has_worked, self._fruitless = True, 0
            worker.begun.discard(content.item.key)
            worker.given.pop(content.item.key, None)
            done(content)
        elif kind == "ended":
            self.model_seconds += content
            self._workers.remove(worker)
            worker.process.join()
        else:
            raise content

    def _bury(self, worker: _Process, done: Callable[[Outcome], None], *, ending: bool) -> None:
        """Take a dead worker's items back, and start another in its place."""
        self._workers.remove(worker)
        worker.process.join()
        self.deaths += 1
        how = _how_it_ended(worker.process.exitcode)
        if not worker.has_worked:
            self._fruitless += 1
            if self._fruitless >= ATTEMPTS:
                raise WorkersError(
                    f"worker processes end before they have labelled anything ({how}); if memory "
                    "is short, use fewer: --workers 1"
                )
        for item in reversed(worker.given.values()):
            if item.key in worker.begun:
                self._attempts[item.key] += 1
                if self._attempts[item.key] >= ATTEMPTS:
                    problem = (
                        f"{item.name}: {ATTEMPTS} processes ended while they labelled it ({how}); "
                        "make it smaller, or lower features.shorter_side"
                    )
                    done(Outcome(item, "failed", problem))
                    continue
            self._again.appendleft(item)
        if not ending:
            # One image at a time, so that the next death tells which one it is.
            self._settings[worker.number] = replace(self._settings[worker.number], batch_size=1)
            self._start(worker.number)


class _Feed:
    """An iterable read in a thread: what it is waiting for can't hold up anything else."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._queue: queue.Queue[Item | BaseException | None] = queue.Queue(maxsize=256)
        self.is_over = False
        threading.Thread(target=self._read, args=(items,), daemon=True).start()

    def _read(self, items: Iterable[Item]) -> None:
        try:
            for item in items:
                self._queue.put(item)
            self._queue.put(None)
        except BaseException as error:
            self._queue.put(error)

    def get(self) -> Item | None:
        """The next item, if there is one now. Raises what the iterable raises."""
        if self.is_over:
            return None
        try:
            found = self._queue.get_nowait()
        except queue.Empty:
            return None
        if isinstance(found, BaseException):
            raise found
        self.is_over = found is None
        return found


def _serve(pipe: Connection, settings: Settings) -> None:
    """A worker process, from its start to its end."""
    warnings.simplefilter("ignore")
    one = threading.Lock()
    stop = threading.Event()

    def tell(kind: str, content: Any) -> None:
        with one:
            pipe.send((kind, content))

    def items() -> Iterator[Item]:
        while True:
            try:
                message = pipe.recv()
            except EOFError:  # the parent is dead
                message = _STOP
            if message == _STOP:
                stop.set()
            if message in (_STOP, _END):
                return
            yield message

    worker = Worker(settings)
    try:
        worker.run(
            items(),
            done=lambda outcome: tell("done", replace(outcome, labeling=None)),
            begin=lambda begun: tell("begun", [item.key for item in begun]),
            stop=stop,
        )
        tell("ended", worker.model_seconds)
    except BrokenPipeError:
        return
    except Exception as error:
        with contextlib.suppress(BrokenPipeError):
            tell("raised", error)


@contextlib.contextmanager
def _for_children(threads: int | None) -> Iterator[None]:
    """What processes that are started here inherit: SIGINT ignored, the number of threads."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS") if threads else ()
    before = {name: os.environ.get(name) for name in names}
    os.environ.update({name: str(threads) for name in names})
    in_main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if in_main else None
    try:
        yield
    finally:
        if in_main:
            signal.signal(signal.SIGINT, handler)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _send(pipe: Connection, message: object) -> None:
    with contextlib.suppress(OSError):  # it is dead: `wait` says so, too
        pipe.send(message)


def _how_it_ended(code: int | None) -> str:
    if code is not None and code < 0:
        try:
            return f"signal {signal.Signals(-code).name}"
        except ValueError:
            return f"signal {-code}"
    return f"exit code {code}"
