"""What is kept of one image, and the file that keeps it: OUT/rows.jsonl, one line per image.

The first line holds the settings that decide a row. A run that finds the file goes on with it if
the settings are its own: rows of two settings are never mixed. A line that was cut off by a kill is
dropped, and its image done again, as failed images are and those whose truth has changed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from zeroguide.errors import OutputError, UsageError
from zeroguide.evaluate.scoring.results import ImageRow, Number
from zeroguide.result.rle import checked

FILE = "rows.jsonl"


@dataclass(frozen=True)
class Counts:
    """Pixels by class, only those above 0."""

    index: tuple[int, ...]
    pixels: tuple[int, ...]

    @classmethod
    def of(cls, values: np.ndarray) -> Counts:
        """From (C,) counts."""
        index = np.flatnonzero(values)
        return cls(tuple(index.tolist()), tuple(np.asarray(values)[index].tolist()))

    def add_to(self, totals: np.ndarray) -> None:
        """Add the pixels to (C,) totals."""
        if self.index:
            totals[list(self.index)] += self.pixels


@dataclass(frozen=True)
class Masks:
    """An image's segments and true regions as COCO's run-length codes, for AP and for pictures.

    predicted: one per label, without void; empty ones too. Raises ValueError for a damaged code.
    """

    size: tuple[int, int]
    predicted: tuple[str, ...]
    scores: tuple[Number, ...]
    true: tuple[str, ...]
    crowd: tuple[bool, ...]

    def __post_init__(self) -> None:
        for counts in (*self.predicted, *self.true):
            checked({"size": self.size, "counts": counts}, self.size)


@dataclass(frozen=True)
class Row:
    """One image: its numbers, and what numbers of all images together are made from.

    Attributes:
        image: the row of results.json.
        labels: of its segments.
        counts: one per segment, its pixels by true class.
        rest: pixels of no segment, by true class.
        curves: y values of curves that are means over images.
        masks: segments and regions; None only for an image with an error.
        foreground: precision of everything, precision and recall of the foreground.
        peak_memory: MiB so far; NaN if not measured.
        truth: `Dataset.stamp`: the truth's files as they were; "" if there are none.
    """

    image: ImageRow
    labels: tuple[str, ...] = ()
    counts: tuple[Counts, ...] = ()
    rest: Counts = Counts((), ())
    curves: dict[str, tuple[Number, ...]] = field(default_factory=dict)
    masks: Masks | None = None
    foreground: tuple[Number, Number, Number] | None = None
    peak_memory: Number = float("nan")
    truth: str = ""


class RowFile:
    """The rows of a run, finished ones read at once, new ones appended and flushed.

    Args:
        folder: OUT; it exists.
        settings: everything that decides a row, only values that JSON has.
        truths: `Row.truth` as it is now, by image; rows made with another are dropped.
        restart: drop what is there.

    Raises UsageError if the file's settings are others, OutputError if it can't be written.
    """

    def __init__(
        self,
        folder: str | PathLike[str],
        settings: Mapping[str, Any],
        *,
        truths: Mapping[str, str] | None = None,
        restart: bool = False,
    ) -> None:
        folder = Path(folder)
        self._truths = truths or {}
        self.path = folder / FILE
        self.rows: dict[str, Row] = {}
        """Images done, by name."""
        header = json.dumps({"settings": settings}, sort_keys=True, ensure_ascii=False)
        try:
            lines = [] if restart or not self.path.exists() else self._read(header)
            kept = [header.encode(), *lines]
            temporary = self.path.with_name(self.path.name + ".tmp")
            temporary.write_bytes(b"".join(line + b"\n" for line in kept))
            os.replace(temporary, self.path)
            self._file = self.path.open("a", encoding="utf-8")
        except OSError as e:
            raise OutputError(
                f"{self.path}: can't be written ({e.strerror}); choose another folder with -o"
            ) from None

    def _read(self, header: str) -> list[bytes]:
        """Finished rows' lines; they are put into `rows`."""
        # As bytes: a kill may cut a line inside a character.
        first, *lines = self.path.read_bytes().split(b"\n")
        if first != header.encode():
            raise UsageError(
                f"{self.path}: holds rows made with other settings{_difference(first, header)}; "
                "choose another folder with -o, or start again with --overwrite"
            )
        kept = []
        for line in lines:
            try:
                row = _adapter().validate_json(line)
            except ValueError:  # cut off, or empty
                continue
            name = row.image.name
            stale = self._truths.get(name, row.truth) != row.truth
            if row.image.error is None and not stale and name not in self.rows:
                self.rows[name] = row
                kept.append(line)
        return kept

    def add(self, row: Row) -> None:
        """Append a row; it is on its way to the disk when this returns."""
        self.rows[row.image.name] = row
        try:
            self._file.write(_adapter().dump_json(row).decode() + "\n")
            self._file.flush()
        except OSError as e:
            raise OutputError(
                f"{self.path}: can't be written ({e.strerror}); run again to go on"
            ) from None

    def close(self) -> None:
        """No more rows."""
        self._file.close()


def read_rows(folder: str | PathLike[str]) -> dict[str, Row]:
    """The finished rows in a folder, by name; OSError if there is no such file."""
    folder = Path(folder)
    lines = (folder / FILE).read_bytes().split(b"\n")
    rows = (_adapter().validate_json(line) for line in lines[1:] if line)
    return {row.image.name: row for row in rows}


def _difference(first: bytes, second: str) -> str:
    """Which settings differ, in brackets; nothing if the first isn't settings at all."""
    try:
        a, b = (json.loads(text)["settings"] for text in (first, second))
    except (ValueError, KeyError, TypeError):
        return ""
    names = sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))
    return f" ({', '.join(names)})"


@cache
def _adapter() -> TypeAdapter[Row]:
    return TypeAdapter(Row)
