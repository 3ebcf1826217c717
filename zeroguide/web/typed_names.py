"""Names that somebody types."""

from __future__ import annotations

from zeroguide.errors import UsageError

LONGEST_NAME = 80  # characters


def clean_name(text: str) -> str:
    """The name without what can't be seen. Raises UsageError if it is blank or too long."""
    name = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if not name:
        raise UsageError("a name needs at least one character")
    if len(name) > LONGEST_NAME:
        raise UsageError(f"the name has {len(name)} characters; at most {LONGEST_NAME} fit")
    return name
