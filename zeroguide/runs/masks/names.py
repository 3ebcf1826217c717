"""Which masks or prediction belong to which image, by their names.

Tools write an image's name with the folders that they found it in, of this machine or another. Both
sides' names are compared without what only says where to begin ("/", "C:\\", "..").
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from zeroguide.runs.sources.files import SUFFIXES

_SHOWN = 3
_ENDINGS = SUFFIXES.split()


@dataclass(frozen=True)
class Matches:
    """names: image -> prediction, each at most once. unclear: image -> those that it may have."""

    names: dict[str, str] = field(default_factory=dict)
    unclear: dict[str, list[str]] = field(default_factory=dict)


def plain(name: str) -> str:
    """A name with "/" between its folders, and without root, drive, "." and ".."."""
    parts = re.sub(r"^[A-Za-z]:(?=[\\/])", "", name).replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", ".", ".."))


def without_ending(name: str) -> str:
    """A name without an image's ending; what else follows a dot belongs to the name."""
    start, dot, ending = name.rpartition(".")
    return start if dot and ending.lower() in _ENDINGS else name


def match(images: Iterable[str], predictions: Iterable[str]) -> Matches:
    """Each image's prediction, if it has one.

    That is the one of the very same name; else the one of the same base name, or of several the one
    with which it shares most folders before that; else the one called by the image's number, as
    COCO's 42 for 000000000042. None is given away twice.

    Args:
        images: all images' names, without endings.
        predictions: names that are `plain`, without endings.
    """
    found = Matches()
    free = dict.fromkeys(predictions)
    left = []
    for image in images:
        if plain(image) in free:
            found.names[image] = plain(image)
        else:
            left.append(image)
    for name in found.names.values():
        free.pop(name, None)
    by_base: dict[str, list[str]] = {}
    for name in free:
        by_base.setdefault(_base(name), []).append(name)
    wishes: dict[str, list[str]] = {}  # prediction -> the images that it may be of
    for image in left:
        best = _nearest(image, by_base.get(_base(image), ()))
        if not best:
            base = _base(image)
            number = str(int(base)) if base.isascii() and base.isdigit() else ""
            best = [number] if number in free else []
        if len(best) == 1:
            wishes.setdefault(best[0], []).append(image)
        elif best:
            found.unclear[image] = best
    for name, wishing in wishes.items():
        nearest = _nearest(name, wishing)
        if len(nearest) == 1:
            found.names[nearest[0]] = name
        else:
            found.unclear.update({image: [name] for image in nearest})
    return found


def some(names: Collection[str]) -> str:
    """A few names for a sentence."""
    shown = ", ".join(sorted(names)[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown


def _base(name: str) -> str:
    return plain(name).rpartition("/")[2]


def _nearest(name: str, others: Collection[str]) -> list[str]:
    """Those that share most of a name's last components."""
    shared = {other: _shared(name, other) for other in others}
    most = max(shared.values(), default=0)
    return [other for other, count in shared.items() if count == most]


def _shared(a: str, b: str) -> int:
    """How many components two names share at their ends."""
    pairs = zip(reversed(plain(a).split("/")), reversed(plain(b).split("/")), strict=False)
    count = 0
    for one, other in pairs:
        if one != other:
            break
        count += 1
    return count
