"""Ctrl-C: the first ends a run after the image in hand, the second at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def interruptible(note: Callable[[str], None]) -> Iterator[threading.Event]:
    """An event that Ctrl-C sets; the second Ctrl-C is a KeyboardInterrupt.

    Outside the main thread, which alone gets signals, nobody sets it.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    over = threading.Event()

    def handle(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    def tell() -> None:  # not in the handler, which may interrupt another sentence
        while not over.wait(0.05):
            if stop.is_set():
                note("interrupted: finishing the image in hand; once more to stop at once")
                return

    before = signal.signal(signal.SIGINT, handle)
    teller = threading.Thread(target=tell)
    teller.start()
    try:
        yield stop
    finally:
        over.set()
        signal.signal(signal.SIGINT, before)
        teller.join()
