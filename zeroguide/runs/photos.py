"""Where a run's photos are: files of their own, found by their key below the folders it names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from os import PathLike
from pathlib import Path

from zeroguide.errors import UsageError
from zeroguide.runs.sources.keys import Places


class Photos:
    """The photos of a run.

    Args:
        roots: folders; a photo's file is a root and its key.
        moved_to: a folder where they are looked for first, and count only if their bytes are those
            that were labelled.

    Raises UsageError if `moved_to` isn't a folder.
    """

    def __init__(
        self, roots: Iterable[str | PathLike[str]], moved_to: str | PathLike[str] | None = None
    ) -> None:
        self.places = Places()
        self._roots = [Path(root) for root in roots]
        self._moved_to = None if moved_to is None else Path(moved_to)
        if self._moved_to is not None and not self._moved_to.is_dir():
            raise UsageError(f"--photos-at {moved_to}: is not a folder")

    def find(self, key: str, sha256: str) -> Path | None:
        """The file of an image; if it may be one of several, that with its content."""
        if self._moved_to is not None:
            moved = self._path(self._moved_to, key)
            if moved.is_file() and _sha256(moved) == sha256:
                return moved
        files = [path for path in (self._path(root, key) for root in self._roots) if path.is_file()]
        if len(files) > 1:
            files = [file for file in files if _sha256(file) == sha256]
        return files[0] if files else None

    def check_moved(self, keys: Iterable[str]) -> None:
        """Raises UsageError if no image is called like one of these keys where they moved to."""
        if self._moved_to is None:
            return
        missing = ""
        for key in keys:
            path = self._path(self._moved_to, key)
            if path.is_file():
                return
            missing = missing or str(path)
        raise UsageError(
            f"--photos-at {self._moved_to}: no photo of the run is there, the first would be "
            f"{missing}; name the folder that holds this path"
        )

    def _path(self, root: Path, key: str) -> Path:
        return Path(self.places.path(root, key))


def _sha256(path: Path) -> str | None:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:  # it has gone meanwhile
        return None
