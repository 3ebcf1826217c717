"""The tables of COCO's formats, `images` and `categories`, from one file or several."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.result.rle import whole
from zeroguide.runs.masks.names import plain, without_ending

T = TypeVar("T")
Id = int | str


@dataclass(frozen=True)
class Image:
    """A row of `images`: its file's name, and height and width in pixels; None: it doesn't say."""

    file_name: str | None = None
    height: int | None = None
    width: int | None = None


def read_json(path: Path) -> Any:
    """The content of a JSON file; ZeroguideError if it can't be read."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as e:
        raise ZeroguideError(
            f"{path}: can't be read as JSON ({e}); write it again or take it away."
        ) from None


def read_images(documents: Mapping[Path, Any]) -> dict[Id, Image]:
    """The images by id; errors as `_table`."""
    return _table(documents, "images", _image)


def read_categories(documents: Mapping[Path, Any]) -> dict[Id, str]:
    """The names of the categories by id; errors as `_table`."""
    return _table(documents, "categories", lambda row: str(row["name"]))


def check_categories(path: Path, used: Iterable[Id], names: Mapping[Id, str]) -> None:
    """UsageError for a category that a file uses and that has no name."""
    unknown = set(used) - names.keys()
    if unknown:
        raise UsageError(
            f"{path}: has the category {min(unknown, key=str)} without a name; put a JSON file "
            'with {"categories": [{"id": ..., "name": ...}]} beside it.'
        )


def group_by_name(
    path: Path, images: Mapping[Id, Image], entries: Iterable[tuple[Id, T]]
) -> dict[str, tuple[Image, list[T]]]:
    """Entries, each with its image's id, by the image's name without ending.

    An image that has no row is called by its id. Raises UsageError for two images of one name.
    """
    own: dict[Id, list[T]] = {key: [] for key in images}
    for key, entry in entries:
        own.setdefault(key, []).append(entry)
    found: dict[str, tuple[Image, list[T]]] = {}
    for key, mine in own.items():
        image = images.get(key, Image())
        name = plain(without_ending(image.file_name or str(key)))
        if name in found:
            raise UsageError(f"{path}: has two images named {name}; keep one of them.")
        found[name] = image, mine
    return found


def identity(row: Mapping[str, Any], key: str) -> Id:
    """The id in a field, 5 where somebody wrote 5.0. KeyError, or ValueError for another type."""
    value = row[key]
    number = whole(value)
    if number is not None:
        return number
    if not isinstance(value, str):
        raise ValueError(f"{key} {value!r}")
    return value


def length(row: Mapping[str, Any], key: str) -> int | None:
    """A height or width in pixels; None if it isn't there. ValueError for anything else."""
    if row.get(key) is None:
        return None
    value = whole(row[key])
    if value is None or value < 1:
        raise ValueError(f"{key} {row[key]!r}")
    return value


def _table(
    documents: Mapping[Path, Any], name: str, read: Callable[[Mapping[str, Any]], T]
) -> dict[Id, T]:
    """A table's rows by id.

    Raises UsageError for an id that a file has twice, or that two files use for different things:
    one of them would take the other's segments. KeyError, TypeError, ValueError or AttributeError
    for rows of another kind.
    """
    found: dict[Id, tuple[Path, T]] = {}
    for path, document in documents.items():
        rows = document.get(name, ()) if isinstance(document, dict) else ()
        own: set[Id] = set()
        for row in rows:
            key, value = identity(row, "id"), read(row)
            if key in own:
                raise UsageError(
                    f"{path}: has the id {key!r} twice in its {name}; give each an id of its own."
                )
            own.add(key)
            before, other = found.setdefault(key, (path, value))
            if other != value:
                raise UsageError(
                    f"{path}: its {name} use the id {key!r} for something else than those of "
                    f"{before.name}; let both agree."
                )
    return {key: value for key, (_, value) in found.items()}


def _image(row: Mapping[str, Any]) -> Image:
    file_name = row.get("file_name")
    if file_name is not None and not isinstance(file_name, str):
        raise ValueError(f"file_name {file_name!r}")
    return Image(file_name, length(row, "height"), length(row, "width"))
