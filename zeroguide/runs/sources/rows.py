"""The rows of Parquet and Arrow files: a column's values, a few at a time. Needs pyarrow."""

from __future__ import annotations

import bisect
import itertools
import os
from collections.abc import Iterator
from typing import Any

from zeroguide.errors import UsageError
from zeroguide.runs.sources.files import IMAGE
from zeroguide.runs.sources.replay import Value
from zeroguide.runs.sources.sniff import suffix_of

_AT_ONCE = 16  # rows: images may have megabytes


def open_rows(path: str) -> Parquet | Arrow:
    """Open a table. Raises UsageError without pyarrow; else what pyarrow raises."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise UsageError(
            f"{os.path.basename(path)}: tables need pyarrow; run `pip install 'zeroguide[parquet]'`"
        ) from None
    return Arrow(path) if path.lower().endswith(".arrow") else Parquet(path)


class Parquet:
    """The rows of a Parquet file. Its blocks are its row groups."""

    def __init__(self, path: str) -> None:
        import pyarrow.parquet

        # A buffer, or each column of a row group would be in memory as a whole.
        self._file = pyarrow.parquet.ParquetFile(path, buffer_size=2**20, pre_buffer=False)
        self.schema = self._file.schema_arrow
        metadata = self._file.metadata
        self._starts = [0]
        for i in range(metadata.num_row_groups):
            self._starts.append(self._starts[-1] + metadata.row_group(i).num_rows)

    def blocks(self) -> Iterator[tuple[int, int]]:
        """First row, and the row after the last."""
        pairs = itertools.pairwise(self._starts)
        return ((first, after) for first, after in pairs if first < after)

    def start_of(self, row: int) -> int:
        """The first row of the block that a row is in."""
        return self._starts[max(0, bisect.bisect_right(self._starts, row) - 1)]

    def values(self, first: int, column: str) -> Iterator[tuple[int, Value]]:
        """Rows from a block's first one on."""
        for block, _ in self.blocks():
            if block >= first:
                arrays = self._arrays(block, column, _AT_ONCE)
                values = itertools.chain.from_iterable(map(_values, arrays))
                yield from enumerate(values, start=block)

    def described(
        self, first: int, after: int, column: str
    ) -> Iterator[tuple[int, str, str | None]]:
        """Row, suffix of its format, and path of its file if the table holds no bytes."""
        paths = list(self._paths(first, column))
        if paths and all(path and IMAGE.fullmatch(path) for path in paths):
            for row, path in enumerate(paths, start=first):
                yield row, *_described(b"", path)
            return
        for row, (data, path) in itertools.islice(self.values(first, column), after - first):
            yield row, *_described(data, path)

    def _paths(self, first: int, column: str) -> Iterator[str | None]:
        """What each row's image is called, if that is known; its bytes are left in the file."""
        import pyarrow as pa

        kind = self.schema.field(column).type
        if not (pa.types.is_struct(kind) and "path" in [field.name for field in kind]):
            return
        for array in self._arrays(first, f"{column}.path", 1000):
            for value in array.to_pylist():
                yield (value or {}).get("path")

    def _arrays(self, first: int, column: str, at_once: int) -> Iterator[Any]:
        group = bisect.bisect_right(self._starts, first) - 1
        for batch in self._file.iter_batches(at_once, row_groups=[group], columns=[column]):
            yield batch.column(0)


class Arrow:
    """The rows of an Arrow file or stream, mapped into memory; a block is a record batch."""

    def __init__(self, path: str) -> None:
        import pyarrow as pa

        source = pa.memory_map(path)
        try:
            self._table = pa.ipc.open_stream(source).read_all()
        except pa.ArrowInvalid:
            source.seek(0)
            self._table = pa.ipc.open_file(source).read_all()
        self.schema = self._table.schema

    def blocks(self) -> Iterator[tuple[int, int]]:
        step = 1000
        for first in range(0, self._table.num_rows, step):
            yield first, min(first + step, self._table.num_rows)

    def start_of(self, row: int) -> int:
        return row

    def values(self, first: int, column: str) -> Iterator[tuple[int, Value]]:
        start = 0
        for array in self._table.column(column).chunks:
            if first < start + len(array):
                rows = range(max(first, start), start + len(array))
                yield from zip(rows, _values(array.slice(rows[0] - start)), strict=True)
            start += len(array)

    def described(
        self, first: int, after: int, column: str
    ) -> Iterator[tuple[int, str, str | None]]:
        for row, (data, path) in itertools.islice(self.values(first, column), after - first):
            yield row, *_described(data, path)


def _values(array: Any) -> Iterator[Value]:
    """A column's values, one after the other: bytes, path, or both."""
    import pyarrow as pa

    kind = array.type
    if pa.types.is_struct(kind):
        has_path = "path" in [field.name for field in kind]
        for value in array:
            value = value.as_py() or {}
            yield value.get("bytes"), value.get("path") if has_path else None
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        for value in array:
            yield None, value.as_py()
    else:
        for value in array:
            yield value.as_py(), None


def _described(data: bytes | None, path: str | None) -> tuple[str, str | None]:
    """Suffix of the format, and the path of the row's file if it holds no bytes."""
    known = path and IMAGE.fullmatch(path)
    suffix = os.path.splitext(path)[1] if path and known else suffix_of(data or b"")
    return suffix, path if data is None else None
