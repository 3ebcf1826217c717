"""A process that was forked after torch had computed on several threads: told, not left to hang.

A fork copies one thread. What torch's OpenMP library notes of its others is copied, too, so that
the next computation on several threads waits forever for threads that aren't there.
"""

from __future__ import annotations

import os

from zeroguide.errors import ZeroguideError

_has_threads = False  # torch has computed on several threads, in this process
_lost_threads = False  # or in one that this was forked from


def check() -> None:
    """ZeroguideError where torch would wait forever for threads that a fork has left behind."""
    if not _lost_threads:
        return
    import torch

    if torch.get_num_threads() > 1:
        raise ZeroguideError(
            "this process was forked after models had been used, and torch would hang in it: start "
            'processes by multiprocessing.get_context("spawn"), or call torch.set_num_threads(1) '
            "first in each of them"
        )


def computing() -> None:
    """Called before a network runs; raises what `check` raises."""
    global _has_threads
    check()
    if not _has_threads:
        import torch

        _has_threads = torch.get_num_threads() > 1


def _after_fork() -> None:
    global _has_threads, _lost_threads
    _lost_threads = _lost_threads or _has_threads
    _has_threads = False


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_after_fork)
