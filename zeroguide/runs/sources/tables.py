"""Images in the rows of Parquet files and of data sets saved by Hugging Face `datasets`.

A column of images holds bytes, paths of files, or structs of both as `datasets` writes them. Rows
are read a few at a time, a row group after the other. Needs pyarrow.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zeroguide.errors import ImageError, UsageError
from zeroguide.runs.sources.files import IMAGE
from zeroguide.runs.sources.item import Item, Spot, Trouble, reason
from zeroguide.runs.sources.keys import joined
from zeroguide.runs.sources.replay import Replay
from zeroguide.runs.sources.rows import Arrow, Parquet, open_rows
from zeroguide.runs.sources.sniff import suffix_of

_PREFERRED = ("image", "img", "jpg", "picture", "photo")


@dataclass(frozen=True, slots=True)
class RowItem:
    """An image in a row of a table.

    table : the file's absolute path
    file : absolute path of the row's file, where the table holds no bytes
    """

    key: str
    name: str
    table: str
    column: str
    row: int
    file: str | None

    @property
    def origin(self) -> str:
        return f"{self.table}\0{self.column}\0{self.row}"

    @property
    def path(self) -> Path | None:
        return Path(self.file) if self.file else None

    def read(self) -> bytes:
        from zeroguide.image import read_file

        try:
            status = os.stat(self.table)
            rows = _replay(self.table, self.column, status.st_size, status.st_mtime_ns)
            data, path = rows.get(self.row)
        except IndexError:
            raise ImageError(f"{self.name}: the table has changed; start again.") from None
        except Exception as error:  # pyarrow's many kinds
            raise ImageError(
                f"{self.name}: can't be read ({reason(error)}); copy the table again."
            ) from None
        if data is None and path:
            return read_file(_file_of(self.table, path), f"{self.name}, {path}")
        if not data:
            kind = "is empty (0 bytes)" if data is not None else "has no image"
            raise ImageError(f"{self.name}: {kind}; fill or drop the row.")
        return data


def items_of(table: Spot, column: str | None) -> Iterator[Item]:
    """The images of a table, row by row.

    A Trouble for each row group that can't be read, and one for a table that can't be read at all,
    where it isn't clear which column holds images, or without pyarrow.
    """
    try:
        rows = open_rows(table.path)
        column = _chosen(rows, column, table.name)
    except (FileNotFoundError, NotADirectoryError, PermissionError, IsADirectoryError) as error:
        yield Trouble(table.key, table.name, table.reason(error))
        return
    except UsageError as error:
        yield Trouble(table.key, table.name, str(error))
        return
    except Exception as error:  # what pyarrow raises on damaged files is of many kinds
        text = f"{table.name}: is no readable table ({reason(error)}); copy or export it again"
        yield Trouble(table.key, table.name, text)
        return
    for first, after in rows.blocks():
        row = first  # the next one
        try:
            for at, suffix, path in rows.described(first, after, column):
                yield RowItem(
                    joined(table.key, f"{at:06d}{suffix}"),
                    f"{table.name} row {at}",
                    table.path,
                    column,
                    at,
                    _file_of(table.path, path) if path else None,
                )
                row = at + 1
        except Exception as error:
            text = f"{table.name}: rows {row} to {after - 1} can't be read ({reason(error)})"
            key = joined(table.key, f"{row:06d}-{after - 1:06d}")
            yield Trouble(key, table.name, f"{text}; copy the table again")


@functools.lru_cache(maxsize=4)
def _replay(path: str, column: str, size: int, changed: int) -> Replay:
    """A table's rows; size and time make a changed file another one."""
    rows = open_rows(path)
    return Replay(lambda first: rows.values(first, column), rows.start_of)


def _chosen(rows: Parquet | Arrow, column: str | None, name: str) -> str:
    """The column with images: the given one, or the one whose first value looks like one."""
    import pyarrow as pa

    def holds(kind: Any) -> str | None:
        if pa.types.is_struct(kind):
            has = {field.name: field.type for field in kind}
            return "struct" if "bytes" in has and holds(has["bytes"]) == "bytes" else None
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            return "bytes"
        return "path" if pa.types.is_string(kind) or pa.types.is_large_string(kind) else None

    names = list(rows.schema.names)
    listed = ", ".join(names) or "none"
    if column is not None:
        if column not in names or holds(rows.schema.field(column).type) is None:
            what = "is no column of images" if column in names else "isn't a column"
            raise UsageError(f"{name}: {column!r} {what}; the columns are {listed}")
        return column
    likely: dict[str, list[str]] = {"struct": [], "bytes": [], "path": []}
    for field in rows.schema:
        kind = holds(field.type)
        if kind and names.count(field.name) == 1 and _looks_like_image(rows, field.name):
            likely[kind].append(field.name)
    found = likely["struct"] + likely["bytes"] or likely["path"]
    preferred = [n for n in found if n.lower() in _PREFERRED]
    if len(found) == 1 or len(preferred) == 1:
        return (preferred or found)[0]
    if found:
        raise UsageError(
            f"{name}: has images in the columns {', '.join(found)}; choose one with {name}#COLUMN"
        )
    raise UsageError(
        f"{name}: has no column that looks like images; name one with {name}#COLUMN, the columns "
        f"are {listed}"
    )


def _looks_like_image(rows: Parquet | Arrow, column: str) -> bool:
    """By the first row that has a value, among a few."""
    for row, (data, path) in rows.values(0, column):
        if data:
            return bool(suffix_of(data))
        if path:
            return IMAGE.fullmatch(path) is not None
        if row >= 1000:
            break
    return False


def _file_of(table: str, path: str) -> str:
    return os.path.abspath(os.path.join(os.path.dirname(table), path))
