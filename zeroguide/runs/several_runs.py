"""Several runs read as one: their images in order of their keys, each key once."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

from zeroguide.errors import UsageError
from zeroguide.result import Labeling
from zeroguide.result.entry import Entry
from zeroguide.runs.run_folder import RunFolder


class SeveralRuns:
    """The results of one or several runs; see `RunFolder`.

    Args:
        folders: the runs', each once.
        prefix: put the run's name before each key (``run/a/x.jpg``): its path below the folder
            that holds all runs.
        photos_at: a folder to which the photos of all these runs have moved.

    Raises what `RunFolder` raises, and UsageError for a run that is named twice, and for runs that
    have an image of the same key unless `prefix` is set.
    """

    def __init__(
        self,
        folders: Sequence[str | PathLike[str]],
        *,
        prefix: bool = False,
        photos_at: str | PathLike[str] | None = None,
    ) -> None:
        places = [Path(os.path.realpath(folder)) for folder in folders]
        for i, place in enumerate(places):
            if place in places[:i]:
                raise UsageError(f"{folders[i]}: is named twice; name each run once")
        self._runs = [RunFolder(folder, photos_at=photos_at) for folder in folders]
        self._prefixes = [""] * len(places)
        if prefix:
            parent = os.path.commonpath([place.parent for place in places])
            self._prefixes = [f"{place.relative_to(parent).as_posix()}/" for place in places]
        else:
            self._check_keys()

    def keys(self) -> list[str]:
        """Of all labelled images, sorted."""
        names: list[str] = []
        for run, prefix in zip(self._runs, self._prefixes, strict=True):
            keys = run.keys()
            names += [prefix + key for key in keys]
        return sorted(names)

    def __iter__(self) -> Iterator[Entry[Labeling]]:
        """In the order of `keys`. Raises what `RunFolder` raises."""
        runs = zip(self._runs, self._prefixes, strict=True)
        return heapq.merge(*(_named(run, prefix) for run, prefix in runs), key=lambda e: e.key)

    def _check_keys(self) -> None:
        owner: dict[str, Path] = {}
        twice: list[tuple[str, Path, Path]] = []
        for run in self._runs if len(self._runs) > 1 else []:
            keys = run.keys()
            for key in keys:
                if owner.setdefault(key, run.path) is not run.path:
                    twice.append((key, owner[key], run.path))
        if twice:
            key, one, other = twice[0]
            more = f", as are {len(twice) - 1} more" if len(twice) > 1 else ""
            raise UsageError(
                f"{key}: is in {one} and in {other}{more}; --prefix puts the runs' names before "
                "the images', or leave one of the runs out"
            )


def _named(run: RunFolder, prefix: str) -> Iterator[Entry[Labeling]]:
    for entry in run:
        yield replace(entry, key=prefix + entry.key) if prefix else entry
