"""Results of a cluster: Parquet files of many images each, instead of a JSON file for every one.

    OUT/parts/00002-5f0c8a51b1a3e0d7.parquet    columns key, sha256, json; sorted by key

The first number counts the runs that have written into the folder: of two rows with one key that of
the later run counts. The second is a hash of the keys, so that a task that is done twice replaces
its own file. Other names are allowed (Spark's); they count as older than all numbered ones.

Failure mode: parts whose ranges of keys overlap are read side by side, a row group of each in
memory; for images that were listed in random order these are all parts.
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.result.provenance import made_alike
from zeroguide.runs.layout import PARTS
from zeroguide.system.files import write_atomically

ROWS = 64  # in a row group, which is what is in memory of a part that is being read
_NAME = re.compile(r"(\d+)-[0-9a-f]{16}\.parquet")


class Row(NamedTuple):
    """The result of one image: its key, the hash of its file, and its labels as JSON text."""

    key: str
    sha256: str
    json: str


def write_part(folder: Path, rows: Iterable[Row], number: int) -> Path:
    """Write a part of the run `number` into OUT/parts, whole or not at all; returns its path.

    The same keys give the same name. Raises ZeroguideError if it can't be written.
    """
    pa, _ = _pyarrow()
    rows = sorted(rows)
    digest = hashlib.sha256("\n".join(row.key for row in rows).encode()).hexdigest()
    path = folder / f"{number:05d}-{digest[:16]}.parquet"
    columns = {name: [getattr(row, name) for row in rows] for name in Row._fields}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ZeroguideError(f"{folder}: can't be made ({error.strerror})") from error
    _write(path, pa.table(columns))
    return path


def rewrite_part(path: Path, change: Callable[[str, str], str | None]) -> None:
    """Change the JSON texts of a part, whole or not at all; other columns stay.

    change: a row's key and text -> its new text, None if it stays. Raises ZeroguideError for a
    damaged part, and if it can't be written.
    """
    pa, _ = _pyarrow()
    with _opened(path) as file:
        table = file.read()
    old = table.column("json").to_pylist()
    new = [change(*row) for row in zip(table.column("key").to_pylist(), old, strict=True)]
    if all(text is None for text in new):
        return
    texts = [before if text is None else text for before, text in zip(old, new, strict=True)]
    column = pa.array(texts, table.schema.field("json").type)
    _write(path, table.set_column(table.schema.get_field_index("json"), "json", column))


def _write(path: Path, table: Any) -> None:
    _, pq = _pyarrow()
    data = io.BytesIO()
    pq.write_table(table, data, row_group_size=ROWS, compression="zstd")
    write_atomically(path, data.getvalue())


def read_keys(paths: Sequence[Path]) -> Iterator[str]:
    """The keys in the parts, sorted, each once. Raises ZeroguideError for a damaged part."""
    return (key for (key,) in _merged(paths, ["key"]))


def read_parts(paths: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Key and JSON text of each image, in order of the keys, of each key the latest.

    Raises ZeroguideError for a damaged part and for one that isn't sorted.
    """
    return ((key, text) for key, text in _merged(paths, ["key", "json"]))


def next_number(paths: Iterable[Path]) -> int:
    """The number of the next run that writes parts."""
    return 1 + max((_number(path) for path in paths), default=0)


class Known:
    """Which images the parts have, and of what content: 16 bytes of memory an image.

    Hashes of keys are kept instead of keys. If two keys have one hash, one of the images is
    labelled again.

    Args:
        paths: the parts.
        recipe: `provenance` of the run; results that weren't `made_alike` don't count.

    Attributes:
        has_others: there are results of another recipe.

    Raises ZeroguideError for a damaged part.
    """

    def __init__(self, paths: Sequence[Path], recipe: dict[str, Any]) -> None:
        self.has_others = False
        keys, contents = [np.empty(0, np.int64)], [np.empty(0, np.uint64)]
        for path in sorted(paths, key=_age):
            found = _recipe(path)
            if found is None:
                continue
            alike = made_alike(found, recipe)
            self.has_others |= not alike
            for hash_, sha256 in _hashes(path):
                keys.append(hash_)
                contents.append(sha256 if alike else np.zeros_like(sha256))
        every = np.concatenate(keys)
        order = np.argsort(every, kind="stable")
        every = every[order]
        is_last = np.append(every[1:] != every[:-1], True)[: len(every)]
        self._keys = every[is_last]
        self._contents = np.concatenate(contents)[order][is_last]

    def sha256(self, key: str) -> str:
        """The first 16 digits of the image's hash; "" if there is no result."""
        place = int(np.searchsorted(self._keys, hash(key)))
        if place == len(self._keys) or self._keys[place] != hash(key) or not self._contents[place]:
            return ""
        return f"{int(self._contents[place]):016x}"


def _merged(paths: Sequence[Path], columns: list[str]) -> Iterator[tuple[str, ...]]:
    """Rows of all parts in order of the keys; a part is opened when its first key is reached."""
    by_age = sorted(paths, key=_age)
    starts = [(key, -i) for i, path in enumerate(by_age) if (key := _first(path)) is not None]
    heapq.heapify(starts)
    heads: list[tuple[str, int, tuple[str, ...], Iterator[tuple[str, ...]]]] = []
    last = None
    while starts or heads:
        while starts and (not heads or starts[0] <= heads[0][:2]):
            _, age = heapq.heappop(starts)
            rows = _rows(by_age[-age], columns)
            row = next(rows)
            heapq.heappush(heads, (row[0], age, row, rows))
        _, age, row, rows = heads[0]
        following = next(rows, None)
        if following is None:
            heapq.heappop(heads)
        else:
            heapq.heapreplace(heads, (following[0], age, following, rows))
        if row[0] != last:  # of equal keys the latest comes first
            last = row[0]
            yield row


def _rows(path: Path, columns: list[str]) -> Iterator[tuple[str, ...]]:
    """Rows of a part. Between row groups it is closed: there may be more than files may be open."""
    before: str | None = None
    group = 0
    while True:
        with _opened(path) as file:
            if group == file.num_row_groups:
                return
            table = file.read_row_group(group, columns=columns)
        group += 1
        for row in zip(*(table.column(name).to_pylist() for name in columns), strict=True):
            if before is not None and row[0] <= before:
                raise ZeroguideError(f"{path}: isn't sorted by its column key; sort it")
            before = row[0]
            yield row


def _first(path: Path) -> str | None:
    with _opened(path) as file:
        for batch in file.iter_batches(1, columns=["key"]):
            return str(batch.column("key")[0].as_py())
    return None


def _recipe(path: Path) -> dict[str, Any] | None:
    """The recipe that the first row names: a run's parts have one recipe. None if it is empty."""
    with _opened(path) as file:
        for batch in file.iter_batches(1, columns=["json"]):
            return dict(json.loads(batch.column("json")[0].as_py())["recipe"])
    return None


def _hashes(path: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    with _opened(path) as file:
        for batch in file.iter_batches(4096, columns=["key", "sha256"]):
            keys = [hash(key) for key in batch.column("key").to_pylist()]
            contents = [int(text[:16], 16) for text in batch.column("sha256").to_pylist()]
            yield np.array(keys, np.int64), np.array(contents, np.uint64)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    pa, pq = _pyarrow()
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ZeroguideError(
            f"{path}: is damaged ({reason}); delete it and run the same command again"
        ) from error


def _age(path: Path) -> tuple[int, str]:
    return _number(path), path.name


def _number(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    return int(match[1]) if match else 0


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(
            f"the results of a cluster ({PARTS}/) need pyarrow; run `pip install 'zeroguide[ray]'`"
        ) from error
    return pyarrow, pyarrow.parquet
