"""Class lists as data: ``classes/*.tsv``, one class per line in the order of its index.

Columns: id (what the data set's masks hold), name, kind (thing or stuff), synonyms (separated by
``;``), official (the data set's spelling, if it isn't the name); ``-`` for none. Lines with ``#``
are notes.
The names are those of the data sets' published lists, spelled naturally; the synonyms are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from zeroguide.evaluate.datasets.base import VOID, ClassName
from zeroguide.evaluate.datasets.lookup import Lookup


@dataclass(frozen=True)
class ClassList:
    """A data set's classes and the ids that stand for them in its masks, in the same order."""

    classes: tuple[ClassName, ...]
    ids: tuple[int, ...]

    def lookup(self, *void: int, others_void: bool = False) -> Lookup:
        """Ids of masks -> class indices; the ids in `void` become -1."""
        indices = {value: index for index, value in enumerate(self.ids)}
        return Lookup(indices | dict.fromkeys(void, VOID), others_void)


def read_table(name: str) -> list[list[str]]:
    """The cells of ``classes/{name}.tsv``, notes left out."""
    path = files("zeroguide.evaluate.datasets") / "classes" / f"{name}.tsv"
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines if line and not line.startswith("#")]


@cache
def read_classes(name: str) -> ClassList:
    """The class list ``classes/{name}.tsv``; each file is read once."""
    rows = read_table(name)
    kinds: dict[str, Literal["thing", "stuff"]] = {"thing": "thing", "stuff": "stuff"}
    classes = tuple(
        ClassName(
            title,
            () if synonyms == "-" else tuple(synonyms.split(";")),
            kinds.get(kind),
            title if official == "-" else official,
        )
        for _, title, kind, synonyms, official in rows
    )
    return ClassList(classes, tuple(int(row[0]) for row in rows))
