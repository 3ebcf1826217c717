"""What is a kind of what, for any noun phrase: WordNet's hypernyms (Fellbaum, 1998) as data.

``prompts/hypernyms.tsv`` holds a node for each sense that a phrase of ``prompts/labels.txt`` has,
and all above it up to "entity". A line is

    id <TAB> ids of its hypernyms, spaces between <TAB> labels, commas between <TAB> other names

Parents stand before their children. An id is the offset of the sense in WordNet 3.0, as in
ImageNet's ids without their n; a phrase that WordNet doesn't have ("stop sign") has itself with
underscores as id, and its head noun's sense as hypernym. Labels are the phrases of labels.txt that
mean this, the commonest first; a node without any is one that nobody would write on a picture
("instrumentality"). Other names are further words that WordNet has for it.

A phrase belongs to one node: of its senses the one that is meant most often by what can be seen.
Lines that begin with # are left out. `scripts/labels/build.py` makes both files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Self

from zeroguide.errors import ZeroguideError
from zeroguide.name.noun_forms import base_forms, squeezed
from zeroguide.name.phrase_files import FOLDER

# "stack of books" is books: what is counted or held together by the first word is what one sees.
_PARTITIVES = frozenset({
    "array", "assortment", "batch", "bit", "body", "bunch", "bundle", "clump", "cluster",
    "collection", "couple", "crowd", "dozen", "flock", "group", "handful", "heap", "herd", "kind",
    "line", "lot", "lots", "mound", "pack", "pair", "patch", "piece", "pile", "row", "set", "sheet",
    "slice", "sort", "stack", "swarm", "type", "variety",
})  # fmt: skip
# What a noun phrase's head stands before.
_PREPOSITIONS = frozenset({
    "of", "in", "on", "with", "without", "at", "by", "from", "for", "near", "under", "over",
    "behind", "beside", "above", "below", "between", "against", "inside", "into", "onto", "next",
    "to", "that", "who", "which", "and", "or", "full", "made", "covered", "filled",
})  # fmt: skip
_ARTICLES = frozenset({"a", "an", "the", "some", "his", "her", "its", "their"})


@dataclass(frozen=True, eq=False, repr=False)
class Hypernyms:
    """Nodes 0..n-1, parents before children.

    parents: for each node its hypernyms, none for a root; most nodes have one.
    labels: for each node the phrases of labels.txt that mean it, the commonest first; empty for
        one that isn't fit to be a label.
    other_names: further words for it.
    ids: see the module.
    """

    ids: tuple[str, ...]
    parents: tuple[tuple[int, ...], ...]
    labels: tuple[tuple[str, ...], ...]
    other_names: tuple[tuple[str, ...], ...]
    _exact: dict[str, int]
    _squeezed: dict[str, int]

    @classmethod
    @cache
    def load(cls) -> Self:
        """The data that comes with the package, read once.

        Raises ZeroguideError if the installation lacks the file.
        """
        path = FOLDER / "hypernyms.tsv" if FOLDER else None
        if path is None or not path.is_file():
            raise ZeroguideError(
                "prompts/hypernyms.tsv, which comes with zeroguide, is missing: install it again"
            )
        return cls.parse(path.read_text(encoding="utf-8"))

    @classmethod
    def parse(cls, text: str) -> Self:
        """The nodes in a text of the format above; raises ValueError where it isn't."""
        place: dict[str, int] = {}
        parents, labels, others = [], [], []
        for line in text.splitlines():
            if not line or line.startswith("#"):
                continue
            own, above, own_labels, further = line.split("\t")
            try:
                parents.append(tuple(place[up] for up in above.split()))
            except KeyError as e:
                raise ValueError(f"{own} stands before its hypernym {e}") from e
            labels.append(tuple(own_labels.split(",")) if own_labels else ())
            others.append(tuple(further.split(",")) if further else ())
            place[own] = len(place)
        exact: dict[str, int] = {}
        loose: dict[str, int] = {}
        for names in (labels, others):  # a label goes before another name
            for node, mine in enumerate(names):
                for name in mine:
                    exact.setdefault(name, node)
                    loose.setdefault(squeezed(name), node)
        return cls(tuple(place), tuple(parents), tuple(labels), tuple(others), exact, loose)

    def __len__(self) -> int:
        return len(self.ids)

    def node_of(self, phrase: str) -> int | None:
        """The node a phrase means; None if not even its head noun is known.

        By its exact words, else without regard to case, hyphens, number and British spelling, else
        by its head noun: ``"rusty brick wall"`` is a brick wall, ``"man in a red shirt"`` a man,
        ``"stack of books"`` a book.
        """
        whole = self.whole_node_of(phrase)
        if whole is not None:
            return whole
        nodes = map(self.whole_node_of, head_forms(phrase))
        return next((node for node in nodes if node is not None), None)

    def whole_node_of(self, phrase: str) -> int | None:
        """Like `node_of`, but None where only the phrase's head noun is known."""
        if phrase in self._exact:
            return self._exact[phrase]
        keys = (squeezed(form) for form in base_forms(phrase))
        return next((self._squeezed[key] for key in keys if key in self._squeezed), None)

    def is_label(self, node: int) -> bool:
        """Whether one would write it on a picture: "dog" yes, "instrumentality" no."""
        return bool(self.labels[node])

    def name(self, node: int) -> str:
        """What it is called: its commonest label, else WordNet's first word for it."""
        return (self.labels[node] or self.other_names[node] or (self.ids[node],))[0]

    def ancestors(self, node: int) -> dict[int, int]:
        """All nodes above it, nearest first, and how many links each is away on its shortest way.

        The node itself is among them, with 0.
        """
        distances = {node: 0}
        for current in (reached := [node]):
            for up in self.parents[current]:
                if up not in distances:
                    distances[up] = distances[current] + 1
                    reached.append(up)
        return distances

    def broader(self, node: int) -> list[int]:
        """The nodes above it that are fit to be a label, nearest first: beagle -> dog, animal."""
        return [up for up in self.ancestors(node) if up != node and self.is_label(up)]


def head_forms(phrase: str) -> Iterator[str]:
    """What a phrase could be short for, the longest first: its ends, and its head noun.

    ``"rusty brick wall"`` gives "brick wall", "wall"; ``"man in a red shirt"`` "man"; ``"stack of
    books"`` "books" before "stack"; ``"man riding"`` "riding" before "man".
    """
    words = phrase.replace("_", " ").split()
    while words and words[0].casefold() in _ARTICLES:
        words.pop(0)
    lower = [word.casefold() for word in words]
    cut = next((i for i in range(1, len(words)) if lower[i] in _PREPOSITIONS), len(words))
    if lower[cut : cut + 1] == ["of"] and not _PARTITIVES.isdisjoint(base_forms(lower[cut - 1])):
        inner = " ".join(words[cut + 1 :])
        yield inner
        yield from head_forms(inner)
    for end in range(cut, 0, -1):
        for start in range(end):
            form = " ".join(words[start:end])
            if form != phrase:
                yield form
