"""One image of a run: where it goes, what it is called, and its bytes when they are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from zeroguide.errors import ImageError


class Item(Protocol):
    """Small and picklable; `read` may be called in any thread or process, in any order."""

    @property
    def key(self) -> str:
        """The place in the results: a relative POSIX path, unique in the run."""

    @property
    def name(self) -> str:
        """What sentences call it: "p/x.jpg", "photos.tar:17.jpg", "table.parquet row 17"."""

    @property
    def origin(self) -> str:
        """What it is, whatever it is called: equal for the same image found twice."""

    @property
    def path(self) -> Path | None:
        """The absolute path of the local file, if it is one."""

    def read(self) -> bytes:
        """The encoded image, not empty. Raises ImageError in one sentence if it can't be had."""


@dataclass(frozen=True, slots=True)
class FileItem:
    """A local file. place : its absolute path"""

    key: str
    name: str
    place: str

    @property
    def origin(self) -> str:
        return self.place

    @property
    def path(self) -> Path:
        return Path(self.place)

    def read(self) -> bytes:
        from zeroguide.image import read_file  # numpy and Pillow: not at start-up

        return read_file(self.place, self.name)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What can't be listed: a folder without permission, a damaged archive's rest.

    It stands in the series of images as one that can't be read, so that it is reported and doesn't
    end the run.
    """

    key: str
    name: str
    error: str

    @property
    def origin(self) -> str:
        return f"{self.name}\0{self.error}"

    @property
    def path(self) -> None:
        return None

    def read(self) -> bytes:
        raise ImageError(self.error)


@dataclass(frozen=True, slots=True)
class Spot:
    """A local file or folder on the way to items.

    path : absolute
    key : its key, "" for the folder that keys are relative to
    name : what sentences call it, "" for the working directory
    """

    path: str
    key: str
    name: str

    def reason(self, error: OSError) -> str:
        """The sentence for what can't be opened."""
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            return f"{self.name or '.'}: no such file or folder; check the path"
        why = (error.strerror or str(error)).lower()
        return f"{self.name or '.'}: can't be read ({why}); make it readable"


def reason(error: Exception) -> str:
    """An exception's own words as a phrase: one line without a full stop."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    lines = text.strip().splitlines() or [type(error).__name__]
    return lines[0][:200].rstrip(".")
