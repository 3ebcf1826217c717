"""Several worker processes for one run, any of which may die.

Each worker has a pipe of its own, so that none can leave a lock behind, and a few items in hand. If
it dies, another takes its place, and what it had not finished is suspect: each suspect is given to
a worker that has nothing else in hand. An image with which three workers have died, alone, is given
up. A worker whose GPU fails is as good as dead; if its successor can't even load the models there,
that GPU is left, and the others go on. A worker whose parent dies ends at once.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import warnings
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from typing import Any

from zeroguide.errors import DeviceError, ZeroguideError
from zeroguide.runs.settings import Outcome, Settings, Told
from zeroguide.runs.sources import Item
from zeroguide.runs.worker import Worker
from zeroguide.system.prefetch import Feed, ahead_of

ATTEMPTS = 3
_END, _STOP = "end", "stop"


class WorkersError(ZeroguideError):
    """Worker processes die before they have done anything."""


@dataclass
class _Process:
    """A worker process, and what it was given and hasn't finished."""

    number: int
    process: multiprocessing.process.BaseProcess
    pipe: Connection
    given: dict[str, Item] = field(default_factory=dict)
    is_alone_with_suspect: bool = False


class Pool:
    """Runs `Worker`s in processes.

    Args:
        settings: of each worker.

    Attributes:
        size: number of workers.
        model_seconds: of all workers together, known when `run` has ended.
        deaths: of workers.
        lost: what became of devices that are of no use any more, a sentence each.
    """

    def __init__(self, settings: Sequence[Settings]) -> None:
        self._settings = list(settings)
        self.size = len(self._settings)
        self._context = multiprocessing.get_context("spawn")  # a fork of torch's threads may hang
        self._workers: list[_Process] = []
        self._suspects: deque[Item] = deque()
        self._attempts: Counter[str] = Counter()
        self._has_labelled = False
        self.model_seconds = 0.0
        self.deaths = 0
        self.lost: list[str] = []

    def run(self, items: Iterable[Item], done: Told, stop: threading.Event | None = None) -> None:
        """Do every item, as `Worker.run` does; outcomes come without labelings.

        Raises what that raises, DeviceError only if no device is left, and WorkersError if three
        workers in a row die at once.
        """
        stop = stop or threading.Event()
        source = items if isinstance(items, Feed) else Feed(items)
        ahead = ahead_of(self._settings[0].batch_size)
        at_once = ahead["ahead"] + 2 * ahead["window"] + 2
        try:
            for number in range(self.size):
                self._start(number)
            told = None
            while self._workers:
                if told is None:
                    for worker in self._workers:
                        self._give(worker, source, at_once)
                    is_over = source.is_over and not self._suspects
                    if stop.is_set():
                        told = _STOP
                    elif is_over and not any(w.given for w in self._workers):
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

    def _give(self, worker: _Process, source: Feed[Item], at_once: int) -> None:
        """Give a worker items, or a suspect if it has nothing else in hand."""
        if self._suspects and not worker.given:
            item = self._suspects.popleft()
            worker.is_alone_with_suspect = True
            worker.given[item.key] = item
            _send(worker.pipe, item)
        # A worker that could take a suspect is left to run dry.
        while not (worker.is_alone_with_suspect or self._suspects) and len(worker.given) < at_once:
            found = source.get()
            if found is None:
                return
            worker.given[found.key] = found
            _send(worker.pipe, found)

    def _start(self, number: int) -> None:
        mine, its = self._context.Pipe()
        settings = self._settings[number]
        process = self._context.Process(target=_serve, args=(its, settings), daemon=True)
        with _for_children(settings.threads):
            process.start()
        its.close()  # so that the pipe ends with the process
        self._workers.append(_Process(number, process, mine))

    def _receive(self, worker: _Process, done: Told, *, ending: bool) -> None:
        try:
            kind, content = worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join()
            self._bury(worker, done, _how_it_ended(worker.process.exitcode), ending=ending)
            return
        if kind == "done":
            self._has_labelled |= content.state == "labelled"
            worker.is_alone_with_suspect = False
            worker.given.pop(content.item.key, None)
            done(content)
        elif kind == "ended":
            self.model_seconds += content
            self._workers.remove(worker)
            worker.process.join()
        elif kind == "lost":
            worker.process.kill()  # what has failed may hang when it is put away
            worker.process.join()
            error, is_useless = content
            if is_useless:
                self._leave(worker, error, ending=ending)
            else:
                self._bury(worker, done, f"{error.device}: {error.reason}", ending=ending)
        else:
            raise content

    def _leave(self, worker: _Process, error: DeviceError, *, ending: bool) -> None:
        """Give a worker's items to the others, and start none in its place."""
        self._workers.remove(worker)
        self.lost.append(f"the device {error.device} has failed ({error.reason}) and was left")
        self._suspects.extendleft(reversed(worker.given.values()))
        if not self._workers and not ending:
            raise error

    def _bury(self, worker: _Process, done: Told, how: str, *, ending: bool) -> None:
        """Take a dead worker's items back, and start another in its place."""
        self._workers.remove(worker)
        self.deaths += 1
        if not self._has_labelled and self.deaths >= ATTEMPTS + 1 + self.size:
            raise WorkersError(nothing_labelled(how))
        for item in reversed(worker.given.values()):
            self._attempts[item.key] += worker.is_alone_with_suspect
            if self._attempts[item.key] < ATTEMPTS:
                self._suspects.appendleft(item)
                continue
            done(Outcome(item, "failed", given_up(item, how)))
        if not ending:
            self._start(worker.number)


def _serve(pipe: Connection, settings: Settings) -> None:
    """A worker process, from its start to its end."""
    warnings.simplefilter("ignore")
    one = threading.Lock()
    stop = threading.Event()

    def tell(kind: str, content: Any) -> None:
        with one:
            pipe.send((kind, content))

    def received() -> Iterator[Item]:
        while True:
            try:
                message = pipe.recv()
            except (EOFError, OSError):
                os._exit(1)  # the parent is dead, and another run may have begun already
            if message == _STOP:
                stop.set()
            if message in (_STOP, _END):
                return
            yield message

    items = Feed(received(), ahead=0).until(stop)  # all, so that none holds a stop up
    worker = Worker(settings)
    try:
        worker.run(items, lambda outcome: tell("done", replace(outcome, labeling=None)), stop)
        tell("ended", worker.model_seconds)
    except BrokenPipeError:
        return
    except DeviceError as error:
        with contextlib.suppress(BrokenPipeError):
            tell("lost", (error, not worker.has_loaded))
    except Exception as error:
        with contextlib.suppress(BrokenPipeError):
            tell("raised", picklable(error))


def given_up(item: Item, how: str = "") -> str:
    """What is said of an image that has ended ATTEMPTS processes, alone; how: the last of them."""
    return (
        f"{item.name}: {ATTEMPTS} processes ended while they labelled it{_bracketed(how)}; make it "
        "smaller, or lower features.shorter_side"
    )


def nothing_labelled(how: str = "") -> str:
    """What is said where processes do nothing but end; how: the last of them."""
    return (
        f"worker processes end before they have labelled anything{_bracketed(how)}; if memory is "
        "short, use fewer: --workers 1"
    )


def _bracketed(how: str) -> str:
    return f" ({how})" if how else ""


def picklable(error: Exception) -> Exception:
    """The exception, or one that says the same and can go to another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


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
