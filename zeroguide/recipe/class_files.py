"""A user's own classes with their numbers: a text file, YOLO's data.yaml, COCO's JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from zeroguide.errors import UsageError

OTHER = "other"
"""The class of what fits none; its number is one more than the largest, unless the user has it."""


def read_classes(path: str | PathLike[str]) -> dict[int, str]:
    """Numbers and names, in the order of their numbers.

    Of a text file (UTF-8, a name on each line; empty ones and those that begin with # don't count)
    the numbers run from 1; those of ``names`` in a YAML file, a list from 0 or a mapping, and of
    ``categories`` in a JSON file are kept.

    Raises UsageError for a file that can't be read or has no classes, a name or a number that
    comes twice, a name without a letter or digit, a number below 0.
    """
    path = Path(path)
    try:
        text = path.expanduser().read_text(encoding="utf-8-sig")
    except OSError as e:
        raise UsageError(f"{path}: can't be read ({e.strerror}); check the path") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: isn't text in UTF-8; save it so") from None
    kind = path.suffix.lower()
    pairs = _coco(path, text) if kind == ".json" else None
    if kind in (".yaml", ".yml"):
        pairs = _yaml(path, text)
    if pairs is None:
        lines = [line.strip() for line in text.splitlines()]
        named = [line for line in lines if line and not line.startswith("#")]
        pairs = list(enumerate(named, start=1))
    if not pairs:
        raise UsageError(f"{path}: has no classes; write a name on each line")
    classes = [(n, " ".join(t.split()) if isinstance(t, str) else t) for n, t in pairs]
    wrong = mistake(classes)
    if wrong is not None:
        raise UsageError(f"{path}: {wrong}")
    return dict(sorted(classes))


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
    except (yaml.YAMLError, ValueError, TypeError, KeyError, RecursionError):
        names = None
    if isinstance(names, list):
        return list(enumerate(names))
    if isinstance(names, dict):
        return list(names.items())
    raise UsageError(f'{path}: has no "names", a list or numbers with names, as YOLO\'s data.yaml')


def mistake(pairs: Sequence[tuple[object, object]]) -> str | None:
    """What is wrong with numbers and names of classes, as a sentence without its subject."""
    for number, name in pairs:
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            return f"{number!r} is no number of a class; use whole numbers from 0"
        if not isinstance(name, str) or not is_name(name):
            return f"class {number} is called {name!r}; give it a name of words"
    for what, found in (("number", [n for n, _ in pairs]), ("name", [t for _, t in pairs])):
        for value, times in Counter(found).most_common(1):
            if times > 1:
                return f"the {what} {value!r} comes {times} times; once is right"
    return None


def is_name(text: str) -> bool:
    """Whether a text can be a label: it has a letter or digit, and nothing that can't be shown."""
    return text.isprintable() and any(map(str.isalnum, text))
