"""Labels renamed by a table; every segment keeps what the models wrote, so that it can be undone.

A table says what becomes of what the models wrote, so a label is renamed once: ``{"a": "b", "b":
"a"}`` swaps two labels. What it doesn't hold stays as the models wrote it, or becomes that again:
the empty table undoes all. Alternatives and scores are the models' and stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from zeroguide.result.named_map import NamedMap
from zeroguide.result.segment import Segment

Renames = Mapping[str, str]
"""What the models wrote -> the label."""

Labels = TypeVar("Labels", bound=NamedMap)


def composed(first: Renames, then: Renames) -> dict[str, str]:
    """One table for two: `then` goes by the labels as `first` leaves them."""
    both = {wrote: then.get(label, label) for wrote, label in first.items()}
    both |= {wrote: label for wrote, label in then.items() if wrote not in first}
    return {wrote: label for wrote, label in both.items() if wrote != label}


def renamed(labeling: Labels, renames: Renames) -> Labels:
    """The labels by this table, whatever they were renamed to before."""
    segments = tuple(_renamed(segment, renames) for segment in labeling.segments)
    return labeling if segments == labeling.segments else replace(labeling, segments=segments)


def renamed_document(content: dict[str, Any], renames: Renames) -> dict[str, Any] | None:
    """The same for a dictionary of the schema zeroguide/1; None if nothing changes.

    Written, it is what `renamed` and then `to_dict` give, to the byte. Raises KeyError, TypeError
    or AttributeError for a dictionary that isn't of the schema.
    """
    segments = [_renamed_entry(entry, renames) for entry in content["segments"]]
    return None if segments == content["segments"] else {**content, "segments": segments}


def _renamed(segment: Segment, renames: Renames) -> Segment:
    label, original = _change(segment.label, segment.original, renames)
    return replace(segment, label=label, original=original)


def _renamed_entry(entry: dict[str, Any], renames: Renames) -> dict[str, Any]:
    label, original = _change(entry["label"], entry.get("original"), renames)
    changed: dict[str, Any] = {}
    for key, value in entry.items():  # the order of fields is that of `to_dict`
        if key == "label":
            changed |= {key: label} if original is None else {key: label, "original": original}
        elif key != "original":
            changed[key] = value
    return changed


def _change(label: str, original: str | None, renames: Renames) -> tuple[str, str | None]:
    """The new label, and what the models wrote if that is another."""
    wrote = label if original is None else original
    label = renames.get(wrote, wrote)
    return label, None if label == wrote else wrote
