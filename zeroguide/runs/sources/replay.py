"""Images by number out of a file that can only be read forward, not read again for each."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator

Value = tuple[bytes | None, str | None]
"""An image's bytes, or the path of its file."""

_LARGEST = 32 * 2**20  # bytes kept; what is still being decoded was read shortly before


class Replay:
    """Remembers what it has just read, so that readers may be a little out of order.

    read_from : yields (number, value), ascending, from a number on
    start_of : the last number up to a given one that reading can start at
    """

    def __init__(
        self,
        read_from: Callable[[int], Iterator[tuple[int, Value]]],
        start_of: Callable[[int], int],
    ) -> None:
        self._read_from = read_from
        self._start_of = start_of
        self._stream: Iterator[tuple[int, Value]] = iter(())
        self._next = -1  # the stream's next number; -1: there is no stream
        self._window: OrderedDict[int, Value] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, number: int) -> Value:
        """One value, from any thread. Raises IndexError past the end, and what reading raises."""
        with self._lock:
            while number not in self._window:
                self._read_on(number)
            return self._window[number]

    def _read_on(self, number: int) -> None:
        start = self._start_of(number)
        if self._next < 0 or not start <= self._next <= number:
            self._stream, self._next = self._read_from(start), start
        try:
            at, value = next(self._stream)
        except StopIteration:
            self._next = -1
            raise IndexError(number) from None
        except BaseException:
            self._next = -1
            raise
        self._next = at + 1
        self._size += len(value[0] or b"") - len(self._window.pop(at, (b"",))[0] or b"")
        self._window[at] = value
        while self._size > _LARGEST and len(self._window) > 1:
            self._size -= len(self._window.popitem(last=False)[1][0] or b"")
