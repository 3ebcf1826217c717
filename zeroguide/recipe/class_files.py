"""A user's own classes with their numbers: a text file, YOLO's data.yaml, COCO's JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from zeroguide.errors import UsageError

OTHER = "other"
"""The class of what fits none; its number is one more than the largest, unless the user has it."""

LARGEST = 65_534
"""The largest number of a class: label maps of 16 bits hold it and one more."""


def read_classes(path: str | PathLike[str]) -> dict[int, str]:
    """Numbers and names, in the order of their numbers.

    Of a text file (UTF-8, a name on each line; empty ones and those that begin with # don't count)
    the numbers run from 1; those of ``names`` in a YAML file, a list from 0 or a mapping, and of
    ``categories`` in a JSON file are kept.

    Raises UsageError for a file that can't be read or has no classes, a name or a number that
    comes twice, a name without a letter or digit, a number below 0 or above `LARGEST`.
    """
    path = Path(path)
    try:
        text = path.expanduser().read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        raise UsageError(f"{path} can't be read as a text file in UTF-8: {e}") from None
    kind = path.suffix.lower()
    pairs = _coco(path, text) if kind == ".json" else None
    if kind in (".yaml", ".yml"):
        pairs = _yaml(path, text)
    if pairs is None:
        lines = [line.strip() for line in text.splitlines()]
        named = [line for line in lines if line and not line.startswith("#")]
        pairs = list(enumerate(named, start=1))
    return _checked(path, pairs)


def with_other(classes: Mapping[int, str]) -> dict[int, str]:
    """The classes, at least one, and `OTHER`, by number."""
    if OTHER in classes.values():
        return dict(classes)
    return {**classes, max(classes) + 1: OTHER}


def _coco(path: Path, text: str) -> list[tuple[Any, Any]]:
    try:
        found = json.loads(text)
        return [(each["id"], each["name"]) for each in found["categories"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise UsageError(
            f'{path}: has no "categories" with "id" and "name", as COCO\'s JSON has them'
        ) from None


def _yaml(path: Path, text: str) -> list[tuple[Any, Any]]:
    import yaml

    try:
        names = yaml.safe_load(text)["names"]
    except (yaml.YAMLError, TypeError, KeyError, RecursionError):
        names = None
    if isinstance(names, list):
        return list(enumerate(names))
    if isinstance(names, dict):
        return list(names.items())
    raise UsageError(f'{path}: has no "names", a list or numbers with names, as YOLO\'s data.yaml')


def _checked(path: Path, pairs: list[tuple[Any, Any]]) -> dict[int, str]:
    if not pairs:
        raise UsageError(f"{path}: has no classes; write a name on each line")
    for number, name in pairs:
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= LARGEST:
            raise UsageError(
                f"{path}: {number!r} is no number of a class; use whole numbers from 0 to {LARGEST}"
            )
        if not isinstance(name, str) or not any(map(str.isalnum, name)):
            raise UsageError(f"{path}: class {number} is called {name!r}; give it a name of words")
    classes = [(number, " ".join(name.split())) for number, name in pairs]
    for what, found in (("number", [n for n, _ in classes]), ("name", [t for _, t in classes])):
        value, times = Counter(found).most_common(1)[0]
        if times > 1:
            raise UsageError(f"{path}: the {what} {value!r} comes {times} times; once is right")
    return dict(sorted(classes))
