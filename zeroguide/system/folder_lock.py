"""One run at a time in a folder of results: rows of two would be lost or stand there twice.

The folder itself is locked (`flock`), not a file in it: a run may replace that, and with it would
go the lock. Nothing is left behind, whatever ends a run: the system lets go.

Failure modes: no lock on Windows, which has no `flock`, on a file system without locks, and on some
network drives between two machines.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike

from zeroguide.errors import OutputError


@contextmanager
def locked(
    folder: str | PathLike[str],
    *,
    shared: bool = False,
    remedy: str = ", or choose another folder with -o",
) -> Iterator[None]:
    """Keep other runs out of an existing folder; OutputError if one is there already.

    shared: let in those that share, too. remedy: what else can be done than wait.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(
                f"{folder}: another run is writing its results there; wait until it ends{remedy}"
            ) from None
        except OSError:  # a file system without locks: then as if there were none
            pass
        yield
    finally:
        os.close(descriptor)
