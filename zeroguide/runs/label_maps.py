"""CSV files that say what labels become: a user's, and the one that a run keeps.

    OUT/renamed-labels.csv     what the models wrote -> label, of all results, also those to come
    OUT/.renamed-labels.csv    the same while results are being changed to it, some of both

The first line is `old,new`; further columns are passed over, so that the list of a run's labels can
be edited into a map. Columns may be parted by semicolons or tabs, as spreadsheets do.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.result.renames import Renames
from zeroguide.system.files import write_atomically

KEPT, UNFINISHED = "renamed-labels.csv", ".renamed-labels.csv"
HEADER = ("old", "new")


def read_map(path: str | PathLike[str]) -> dict[str, str]:
    """Old label -> new label. Raises UsageError, which names the line, for what isn't such a file.

    Old labels count to the letter; of new ones, spaces at the ends are cut and others made single.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: can't be read ({error.strerror}); check the path") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: isn't UTF-8; save it as CSV in UTF-8") from None
    renames: dict[str, str] = {}
    first = text.partition("\n")[0]
    start = first.replace('"', "").lower()
    comma = next((mark for mark in ",;\t" if start.startswith(f"old{mark}new")), None)
    if comma is None:
        raise UsageError(
            f"{path}: its first line is {first.strip()[:40]!r}, not old,new; put that above the "
            "rows, one label a row"
        )
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=comma, strict=True)
    try:
        for row in rows:
            place = f"{path}, line {rows.line_num}"
            if rows.line_num == 1 or not any(cell.strip() for cell in row[:2]):
                continue
            old, new = (*row, "")[:2] if row else ("", "")
            new = " ".join(new.split())
            if not old or not new:
                which = "old" if not old else "new"
                raise UsageError(f"{place}: has no {which} label beside {old or new!r}; add it")
            if renames.setdefault(old, new) != new:
                raise UsageError(
                    f"{place}: {old!r} is to become {new!r}, but {renames[old]!r} further up; "
                    "keep one of them"
                )
    except csv.Error as error:
        raise UsageError(f"{path}, line {rows.line_num}: isn't CSV ({error}); mend it") from None
    if not renames:
        raise UsageError(f"{path}: holds no row but its first; add the labels to rename")
    return renames


def as_csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """CSV as `read_map` reads it."""
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerows([header, *rows])
    return file.getvalue()


def kept(folder: str | PathLike[str]) -> dict[str, str]:
    """What a run's labels were renamed to, by what the models wrote; empty if they weren't.

    Raises UsageError for a damaged file.
    """
    return _read(Path(folder, KEPT)) or {}


def unfinished(folder: str | PathLike[str]) -> dict[str, str] | None:
    """What a run's labels were being renamed to when that was interrupted; None if it wasn't."""
    return _read(Path(folder, UNFINISHED))


def check_finished(folder: str | PathLike[str]) -> None:
    """Raises UsageError if only some of a run's results have their new labels."""
    if os.path.lexists(Path(folder, UNFINISHED)):
        raise UsageError(
            f"{folder}: renaming its labels was interrupted; finish it with the same `zeroguide "
            "relabel`, or take it back with --undo"
        )


def begin(folder: str | PathLike[str], renames: Renames) -> None:
    """Say that a run's results are being changed. Raises ZeroguideError if it can't be written."""
    rows = sorted(renames.items())
    write_atomically(
        Path(folder, UNFINISHED), as_csv(HEADER, rows).encode("utf-8", "surrogatepass")
    )


def finish(folder: str | PathLike[str]) -> None:
    """All are changed: what was unfinished is kept. Raises ZeroguideError if it can't be."""
    folder = Path(folder)
    try:
        is_empty = not unfinished(folder)
        (folder / UNFINISHED).replace(folder / KEPT)
        if is_empty:
            (folder / KEPT).unlink()
    except OSError as error:
        raise ZeroguideError(f"{folder / KEPT}: can't be written ({error.strerror})") from None


def _read(path: Path) -> dict[str, str] | None:
    try:
        text = path.read_bytes().decode("utf-8", "surrogatepass")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"{path}: can't be read ({error.strerror})") from None
    except UnicodeDecodeError:
        text = ""
    with contextlib.suppress(csv.Error, ValueError):
        header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
        if tuple(header) == HEADER:
            return {old: new for old, new in rows}
    raise UsageError(
        f"{path}: is damaged; put an earlier copy there, or take all renaming back with "
        "`zeroguide relabel --undo`"
    )
