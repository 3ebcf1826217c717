"""What is wrong with a recipe, in one sentence that names the nearest right word."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from zeroguide.errors import nearest


def unknown_key(key: str, keys: Sequence[str]) -> str:
    """The sentence about an unknown key: near keys, also where the section was left out."""
    section, _, name = key.rpartition(".")
    by_name = {k.rpartition(".")[2]: k for k in keys}
    match = difflib.get_close_matches(key, keys, n=1, cutoff=0.6)
    match = match or [by_name[n] for n in difflib.get_close_matches(name, by_name, n=1)]
    hint = f"did you mean {match[0]!r}? " if match else ""
    known = [k for k in keys if k.startswith((section or key) + ".")]
    if not known:
        known = list(dict.fromkeys(k.partition(".")[0] + (".*" if "." in k else "") for k in keys))
    return f"unknown key {key!r}: {hint}Keys: {', '.join(known)}"


def explain(error: ValidationError, fields: Mapping[str, FieldInfo], keys: Sequence[str]) -> str:
    """The first of pydantic's complaints as one sentence.

    Args:
        fields: a recipe's, by dotted key.
        keys: those that can be set.
    """
    first, *others = error.errors()
    where = [part for part in first["loc"] if isinstance(part, str)]
    key = next((".".join(where[:n]) for n in (2, 1) if ".".join(where[:n]) in fields), "")
    if first["type"] == "extra_forbidden":
        return unknown_key(".".join(where), keys)
    if first["type"] == "contradiction":
        return str(first["msg"])
    if first["type"] == "missing":
        return f"the recipe has no {'.'.join(where)}"
    choices = get_args(fields[key].annotation) if key else ()
    if first["type"] == "literal_error":
        return f"unknown {key} {first['input']!r}: {nearest(str(first['input']), choices)}"
    reason = first["msg"].removeprefix("Input should be ")
    if first["type"] == "too_short":
        reason = "a list with at least one number"
    for other in others:  # a key that takes values of several kinds complains for each
        if other["loc"][: len(where) - 1] == first["loc"][: len(where) - 1] and key:
            reason += " or " + other["msg"].removeprefix("Input should be ")
    return f"{key or '.'.join(where)}={first['input']!r} is wrong: it must be {reason}"
