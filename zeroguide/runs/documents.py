"""A run's results as JSON content, with masks and embeddings as they are: quick to read and change.

A file is replaced whole: at any moment every result is the old one or the new one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any

from zeroguide.errors import ZeroguideError
from zeroguide.result.formats.json_ import to_bytes
from zeroguide.runs.layout import key_of, part_files, results
from zeroguide.system.files import write_atomically

Document = dict[str, Any]
Change = Callable[[str, Document], Document | None]
"""A key and its result -> what it becomes, None if it stays as it is."""


def documents(folder: str | PathLike[str]) -> Iterator[tuple[str, Document]]:
    """Key and content of every result; of parts, of each key the latest.

    Has image.sha256, and a label in each of its segments. Raises ZeroguideError for a damaged one.
    """
    folder = Path(folder)
    if parts := part_files(folder):
        from zeroguide.runs.parts import read_parts

        for key, text in read_parts(parts):
            yield key, _checked(f"{parts[0].parent}: the result of {key}", text)
        return
    for path in results(folder):
        yield key_of(path.relative_to(folder).as_posix()), _read(path)


def rewrite(folder: str | PathLike[str], change: Change) -> None:
    """Replace the results that change; those of older parts, too.

    Raises ZeroguideError for a damaged one, and if one can't be written: those before it are.
    """
    folder = Path(folder)
    if parts := part_files(folder):
        from zeroguide.runs.parts import rewrite_part

        def changed(key: str, text: str) -> str | None:
            content = change(key, _checked(f"{parts[0].parent}: the result of {key}", text))
            return None if content is None else json.dumps(content, allow_nan=False)

        for path in parts:
            rewrite_part(path, changed)
        return
    for path in list(results(folder)):  # files that are replaced may come twice in a walk
        content = change(key_of(path.relative_to(folder).as_posix()), _read(path))
        if content is not None:
            write_atomically(path, to_bytes(content))


def _read(path: Path) -> Document:
    try:
        return _checked(str(path), path.read_bytes())
    except OSError as error:
        raise ZeroguideError(f"{path}: can't be read ({error.strerror})") from None


def _checked(name: str, text: str | bytes) -> Document:
    try:
        content: Document = json.loads(text)
        texts = [content["image"]["sha256"]]
        for entry in content["segments"]:
            texts += [entry["label"], entry.get("original", "")]
        if not all(isinstance(each, str) for each in texts):
            raise TypeError("a field has the wrong type")
        return content
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ZeroguideError(
            f"{name}: is damaged ({type(error).__name__}: {error}); delete it and label again"
        ) from None
