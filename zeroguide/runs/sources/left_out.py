"""What is left out of folders and archives: counted while they are read, said once at the end."""

from __future__ import annotations

from collections import Counter
from typing import TypeAlias

from zeroguide.image.kinds import Kind, told

LeftOut: TypeAlias = Counter[str | Kind]
"""How many files, by what they are called in a sentence, or by a kind that can't be read."""

RESULTS = "files named like results (photo.jpg.png)"
ANNOTATIONS = "files named like annotations (17.seg.png)"
LINKS = "links in the archive"
LOOPS = "linked folders that lead back to a folder around them"


def named(given: str, left_out: LeftOut) -> list[str]:
    """A sentence for each of what is left out of an input on purpose."""
    return [
        f"{given}: {count} {what} are left out"
        for what, count in left_out.items()
        if isinstance(what, str)
    ]


def unread(left_out: LeftOut) -> str | None:
    """One sentence for all that can't be read, with what to do; None if all can."""
    kinds = Counter({kind: n for kind, n in left_out.items() if isinstance(kind, Kind)})
    return told(kinds) if kinds else None


def nothing_but(left_out: LeftOut) -> str:
    """For the sentence that there is no image: what there is instead, ", only ..." or ""."""
    parts = [what for what in left_out if isinstance(what, str)]
    sentence = unread(left_out)
    if sentence:
        parts.append(sentence.partition(": ")[2])
    return f", only {' and '.join(parts)}" if parts else ""
