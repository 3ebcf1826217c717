"""Embeddings of a list of phrases on disk, in parts: what is done survives an interruption.

A list's folder holds a file per part, ``000.npy``, ``001.npy``, ...: the (rows, e) embeddings of
some phrases, memory-mapped when read. Each is written under another name and renamed, so it is
there whole or not at all. Two processes that make one list at the same time take over each other's
parts. Long lists are kept in half precision, which moves a cosine by about 1e-5.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from zeroguide.errors import ZeroguideError
from zeroguide.system.files import remove_leftovers, write_atomically


def cache_folder(digest: str) -> Path:
    """Where the list of this digest is kept: below XDG_CACHE_HOME, or ~/.cache."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "zeroguide" / "texts" / digest


def embed_in_parts(
    folder: Path,
    sizes: Sequence[int],
    make: Callable[[int], np.ndarray],
    *,
    dtype: type[np.floating] = np.float16,
    about_to_make: Callable[[int], None] = lambda _: None,
) -> list[np.ndarray]:
    """The (size, e) rows of each part in `dtype`: those on disk, memory-mapped, the others made.

    A folder that can't be written to costs time at the next start, nothing else.

    Args:
        folder: of this list and no other.
        sizes: rows of each part.
        make: number of a part -> its (size, e) embeddings.
        dtype: what is kept.
        about_to_make: is told how many parts are missing, if any.
    """
    parts = [_read(folder, i, size) for i, size in enumerate(sizes)]
    missing = [i for i, part in enumerate(parts) if part is None]
    if missing:
        about_to_make(len(missing))
        remove_leftovers(folder)
        # Another process that makes the same list begins elsewhere.
        first = os.getpid() % len(missing)
        for i in missing[first:] + missing[:first]:
            part = _read(folder, i, sizes[i])
            if part is None:
                part = make(i).astype(dtype)
                _write(folder, i, part)
            parts[i] = part
    return [part for part in parts if part is not None]


def _path(folder: Path, part: int) -> Path:
    return folder / f"{part:03}.npy"


def _read(folder: Path, part: int, n_rows: int) -> np.ndarray | None:
    """A part on disk, memory-mapped; None if there is none, or a broken one."""
    try:
        rows = np.lib.format.open_memmap(_path(folder, part), mode="r")  # reads nothing else
    except (OSError, ValueError, EOFError):
        return None
    return rows if rows.ndim == 2 and len(rows) == n_rows else None


def _write(folder: Path, part: int, rows: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.save(buffer, rows, allow_pickle=False)
    with contextlib.suppress(OSError, ZeroguideError):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(_path(folder, part), buffer.getvalue())
