"""Linear algebra on one thread, whoever else computes at the same time."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

_lock = threading.Lock()
_inside = 0  # entered and not yet left, by all threads
_before: dict[str, int] = {}
"""A BLAS library's file -> its number of threads before the first thread came in."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Around a function or a block whose linear algebra is to run on one thread.

    Products of a matrix with a few vectors wait for memory, and gain nothing from more threads;
    threads waiting for each other on a busy machine make them up to ten times slower; and sums
    taken in another order may end in other segments.

    How many threads a BLAS library takes is one number for the whole process: the last Python
    thread that leaves sets it back. A library that is imported inside is limited by entering again.
    """
    openmp, blas = _libraries(len(sys.modules))
    with openmp.limit(limits=1):  # its number is each thread's own
        _enter(blas)
        try:
            yield
        finally:
            _leave(blas)


@lru_cache(maxsize=1)  # looking for them takes milliseconds, and only imports load new ones
def _libraries(n_modules: int) -> tuple[Any, Any]:
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    found = ThreadpoolController()
    return found.select(user_api="openmp"), found.select(user_api="blas")


def _enter(blas: Any) -> None:
    global _inside
    with _lock:
        _inside += 1
        for library in blas.lib_controllers:
            _before.setdefault(library.filepath, library.num_threads)
            library.set_num_threads(1)


def _leave(blas: Any) -> None:
    global _inside
    with _lock:
        _inside -= 1
        if _inside:
            return
        for library in blas.lib_controllers:
            if library.filepath in _before:
                library.set_num_threads(_before[library.filepath])
        _before.clear()
