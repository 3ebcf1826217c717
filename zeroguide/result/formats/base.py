"""What the writers of formats share: the images of a run, its labels as numbers, names of files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.recipe.class_files import with_other
from zeroguide.result.chosen import Chosen
from zeroguide.result.entry import Entry

if TYPE_CHECKING:
    from zeroguide.result.named_map import NamedMap
    from zeroguide.result.where import Where

T = TypeVar("T")


class Entries(Protocol):
    """Labelled images in order of their keys, as often as asked; a `RunFolder` is one."""

    def __iter__(self) -> Iterator[Entry[NamedMap]]: ...
    def keys(self) -> list[str]: ...


class Run:
    """Labelled images, read one at a time, with what is known only after all have been seen.

    Args:
        entries: the images.
        step: called with a number for every image that is read, for a progress line.
        where: which segments are meant; images without any are left out.

    Attributes:
        n_left_out: images that were left out, known after the first reading.
    """

    def __init__(
        self,
        entries: Entries,
        step: Callable[[int], None] = lambda done: None,
        where: Where | None = None,
    ) -> None:
        self._entries = entries
        self._step = step
        self._where = where
        self.n_left_out = 0
        self._recipe: Mapping[str, Any] = {}

    def __iter__(self) -> Iterator[Entry[Chosen]]:
        left_out = 0
        classes = None
        for done, entry in enumerate(self._entries, start=1):
            chosen = self._chosen(entry)
            self._recipe = entry.labeling.recipe
            if classes not in (None, own := _classes(self._recipe)):
                raise UsageError(
                    f"{entry.key}: has other classes than the images before it, or one has none; "
                    "export together what was labelled with the same --classes"
                )
            classes = own
            if chosen.segments:
                yield Entry(entry.key, chosen, entry.image)
            left_out += not chosen.segments
            self._step(done)
        self.n_left_out = left_out

    def _chosen(self, entry: Entry[NamedMap]) -> Chosen:
        labeling, where = entry.labeling, self._where
        if where is None:
            return Chosen.of(labeling)
        pixels = labeling.width * labeling.height
        return Chosen.of(labeling, lambda segment: where.fits(segment, entry.key, pixels))

    @cached_property
    def labels(self) -> list[str]:
        """All labels in the order of their numbers; the first use reads the whole run once."""
        return list(self._numbers)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        labels = {s.label for entry in self for s in entry.labeling.segments}
        return numbering(self._recipe, labels)

    def category(self, label: str) -> int:
        """The number of a label: a class's own; without classes 1 for the first in `labels`, as 0
        is for "no label"."""
        return _look_up(self._numbers, label)

    def place(self, label: str) -> int:
        """The place of a label in `labels`, from 0."""
        return _look_up(self._places, label)

    def colour(self, label: str) -> tuple[int, int, int]:
        """The colour of a label, as of class `place + 1` in Pascal VOC's palette."""
        return class_colour(self.place(label) + 1)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {label: place for place, label in enumerate(self.labels)}

    @cached_property
    def _stems(self) -> dict[str, str]:
        return stems(self._entries.keys())

    def stem(self, key: str) -> str:
        """How the files of one image are called, without their ending (see `stems`)."""
        return _look_up(self._stems, key)


def _classes(recipe: Mapping[str, Any]) -> tuple[tuple[int, str], ...]:
    """Numbers and names of the classes of a result's `provenance`, by number."""
    names = dict(dict(recipe.get("settings") or {}).get("classes") or {}).get("names") or ()
    return tuple(sorted((int(number), str(name)) for number, name in names))


def numbering(recipe: Mapping[str, Any], labels: Collection[str]) -> dict[str, int]:
    """The numbers of labels in all formats, in their order; 0 is for "no label".

    recipe: of any of the results. Where it has classes these are numbered as the user's table has
    them, whichever occur; else labels count from 1 by alphabet.
    """
    classes = _classes(recipe)
    if not classes:
        return {label: number for number, label in enumerate(sorted(labels), start=1)}
    return {name: number for number, name in with_other(dict(classes)).items()}


def _look_up(table: Mapping[str, T], item: str) -> T:
    if item not in table:
        raise ZeroguideError(
            f"the run has changed since the export began ({item!r} is new); wait for it to end "
            "and export again"
        )
    return table[item]


def stems(keys: Sequence[str]) -> dict[str, str]:
    """Key -> the key without its ending where that tells images apart, else the whole key.

    Tools find an image's annotations by its name without ending, but x.jpg and x.png are two
    images: of those, both keep their endings. No two keys get the same name, on file systems that
    don't tell X from x either.
    """
    short = {key: key[: len(key) - len(ending(key))] for key in keys}
    count = Counter(stem.casefold() for stem in short.values())
    count.update(key.casefold() for key, stem in short.items() if stem != key)
    return {key: stem if count[stem.casefold()] == 1 else key for key, stem in short.items()}


def ending(key: str) -> str:
    """The ending of a key's file name, with the dot; "" if there is none, as in ".hidden"."""
    name = key.rpartition("/")[2]
    return name[name.rfind(".") :] if name.rfind(".") > 0 else ""


def row_runs(mask: np.ndarray) -> list[int]:
    """Lengths of runs along the rows of a mask (h, w) bool, beginning with those that are False."""
    flat = mask.ravel()
    borders = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    lengths = np.diff(np.concatenate([[0], borders, [flat.size]])).tolist()
    return [0, *lengths] if flat[0] else lengths


def to_json(value: Any) -> str:
    """One line of JSON, readable in any script; names of files that aren't UTF-8 escaped."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    # As Python's own JSON writes and reads them, so that tools in Python open the file.
    return text.encode("utf-8", "backslashreplace").decode()


def one_line(label: str) -> str:
    """A label for files of lines: no line break, never blank."""
    return " ".join(label.split()) or "unnamed"


def class_colour(number: int) -> tuple[int, int, int]:
    """The colour that Pascal VOC's tools give to a number; black for 0, repeats after 256."""
    red = green = blue = 0
    for bit in range(8):
        red |= (number >> 0 & 1) << (7 - bit)
        green |= (number >> 1 & 1) << (7 - bit)
        blue |= (number >> 2 & 1) << (7 - bit)
        number >>= 3
    return red, green, blue
