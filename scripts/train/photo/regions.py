"""Regions of training photographs that were named by hand, in photo_regions.tsv.

Captions, keywords and object lists leave out what most of a photograph is: nobody mentions the wall
behind a couch. So 1,414 photographs of `captioned` were cut into eight regions and looked at, and
every region that is one thing got its name. A row says that at a point of a photograph there is
that thing: x and y are shares of width and height.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from zeroguide.name.hypernyms import Hypernyms

FILE = Path(__file__).with_suffix(".tsv")


@dataclass(frozen=True)
class NamedPoint:
    """At (x, y) of a set's photograph is what a node of `Hypernyms` means."""

    set: str
    stem: str
    x: float
    y: float
    node: int

    def cell(self, rows: int, columns: int) -> int:
        """The cell of a grid that it is in, row by row."""
        row, column = min(int(self.y * rows), rows - 1), min(int(self.x * columns), columns - 1)
        return row * columns + column


def named_points(hypernyms: Hypernyms) -> list[NamedPoint]:
    """All rows; a name that isn't a node as a whole stands for its head noun."""
    found = []
    with FILE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            node = hypernyms.whole_node_of(row["name"])
            node = hypernyms.node_of(row["name"]) if node is None else node
            if node is None:
                raise ValueError(f"{FILE.name}: {row['name']!r} is no name that WordNet has")
            x, y = float(row["x"]), float(row["y"])
            found.append(NamedPoint(row["set"], row["stem"], x, y, node))
    return found
