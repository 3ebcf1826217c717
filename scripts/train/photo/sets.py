"""What is said of the photographs that the photo model learns from, as nodes of the hypernyms.

Sets differ in what they tell. Captions and keywords name what somebody found worth a word; object
lists name all of eighty kinds and nothing else; single-label sets name one thing. So that a name is
absent says something only where its set could have said it: partial labels, each with its weight.
Whoever is a girl is a person, too.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zeroguide.name.hypernyms import Hypernyms
from zeroguide.name.noun_forms import base_forms

# How much it says that a name which the set uses is absent. Single-label sets say it of each
# other's names only, and rarely: a photograph of a dog may well show its collar.
WEIGHTS = {
    "coco_256px": 1.0,
    "corel5k": 0.6,
    "flickr8k": 0.6,
    "open_images_200": 0.25,
    "imagenet_1000x1": 0.25,
    "caltech101": 0.25,
}
UNSEEN = 0.25  # that a classifier doesn't see it
LONGEST_NAME = 4  # words
# Words of captions and keyword lists that are mostly something else than the noun they spell.
NOT_NAMES = frozenset({
    "white", "black", "red", "blue", "green", "orange", "pink", "purple", "brown", "gray",
    "grey", "gold", "silver", "tan", "yellow", "back", "front", "side", "top", "bottom", "left",
    "right", "middle", "end", "edge", "part", "air", "run", "jump", "play", "walk", "ride",
    "stand", "look", "watch", "sit", "fly", "swim", "climb", "race", "way", "something",
    "other", "others", "one", "two", "three", "four", "group", "lot", "pair", "set", "number",
    "couple", "bunch", "piece", "day", "time", "area", "place", "distance", "background",
    "foreground", "colors", "color", "picture", "photo", "photograph", "view", "closeup",
    "close-up", "dark", "light", "shallow", "hold", "catch", "splash", "kick", "throw", "turn",
    "sleep", "rest", "mid", "half", "game", "sport", "trick", "action", "move", "form", "style",
    "pattern", "line", "down", "patch",
})  # fmt: skip
# Persons that WordNet doesn't have below "person".
PEOPLE = frozenset({"people", "crowd", "group of people"})


@dataclass(frozen=True)
class Said:
    """What is said of one photograph: nodes of `Hypernyms`.

    present: named. unsure: named by one of five captions only. seen: what a
    classifier of everything says is there.
    """

    present: frozenset[int]
    unsure: frozenset[int] = frozenset()
    seen: frozenset[int] = frozenset()


def read_set(folder: Path, hypernyms: Hypernyms) -> dict[str, Said]:
    """What a set of `captioned` says of each image, by the image file's stem."""
    captions = folder / "captions.tsv"
    if captions.is_file():
        by_image: dict[str, list[set[int]]] = {}
        for row in _rows(captions):
            nodes = with_person(named_in(row["caption"], hypernyms), hypernyms)
            by_image.setdefault(Path(row["file"]).stem, []).append(nodes)
        return {stem: _agreed(mentions) for stem, mentions in by_image.items()}
    said = {}
    for row in _rows(folder / "labels.tsv"):
        names = (row.get("names") or row.get("name") or "").split(",")
        found = (node_of(name.strip(), hypernyms) for name in names)
        nodes = with_person((node for node in found if node is not None), hypernyms)
        said[Path(row["file"]).stem] = Said(frozenset(nodes))
    return said


def _agreed(mentions: list[set[int]]) -> Said:
    counts = Counter(node for nodes in mentions for node in nodes)
    needed = min(2, len(mentions))
    present = frozenset(node for node, n in counts.items() if n >= needed)
    return Said(present, frozenset(counts) - present)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)


def node_of(name: str, hypernyms: Hypernyms) -> int | None:
    """The node of a set's name, if one would write it on a picture."""
    name = name.casefold()
    node = None if name in NOT_NAMES else hypernyms.node_of(name)
    return node if node is not None and hypernyms.is_label(node) else None


def named_in(caption: str, hypernyms: Hypernyms) -> set[int]:
    """The nodes of the longest names in a sentence, from left to right."""
    words = re.findall(r"[a-z'-]+", caption.casefold())
    found, i = set(), 0
    while i < len(words):
        for length in range(min(LONGEST_NAME, len(words) - i), 0, -1):
            phrase = " ".join(words[i : i + length])
            node = hypernyms.whole_node_of(phrase)
            if node is not None and hypernyms.is_label(node):
                if not any(form in NOT_NAMES for form in base_forms(phrase)):
                    found.add(node)
                break
        i += length
    return found


def with_person(nodes: Iterable[int], hypernyms: Hypernyms) -> set[int]:
    """The nodes, and "person" where one of them is one, or several.

    Other names above a name aren't added: measured, "animal" beside every dog helps neither.
    """
    found = set(nodes)
    person = hypernyms.node_of("person")
    assert person is not None
    for node in list(found):
        if person in hypernyms.ancestors(node) or hypernyms.name(node) in PEOPLE:
            found.add(person)
    return found


@dataclass(frozen=True)
class Targets:
    """What all images say of all names that are learned.

    nodes: (n,) nodes of `Hypernyms`. present, weight: (images, n) bool and float16; a weight is 0
    where the image doesn't tell.
    """

    nodes: np.ndarray
    present: np.ndarray
    weight: np.ndarray


def targets(images: list[tuple[str, Said]], named: Collection[int] = (), least: int = 3) -> Targets:
    """Of (set, said) for each image.

    Names that are learned are `named`, and those of `least` images or of a single-label set.
    """
    counts: Counter[int] = Counter()
    sayable: dict[str, set[int]] = {}
    everything: set[int] = set()
    for name, said in images:
        counts.update(said.present | said.seen)
        everything |= said.seen
        sayable.setdefault(name, set()).update(said.present)
    single = sayable.get("imagenet_1000x1", set()) | sayable.get("caltech101", set())
    common = {n for n, count in counts.items() if count >= least or n in single}
    nodes = np.array(sorted(common.union(named)))
    column = {int(node): i for i, node in enumerate(nodes)}
    present = np.zeros((len(images), len(nodes)), bool)
    weight = np.zeros((len(images), len(nodes)), np.float16)
    rows = {
        name: np.array(
            [
                WEIGHTS[name] if int(n) in words else UNSEEN if int(n) in everything else 0
                for n in nodes
            ],
            np.float16,
        )
        for name, words in sayable.items()
    }
    for i, (name, said) in enumerate(images):
        weight[i] = rows[name]
        weight[i, [column[n] for n in said.unsure if n in column]] = 0
        own = [column[n] for n in said.present | said.seen if n in column]
        present[i, own] = True
        weight[i, own] = 1
    return Targets(nodes, present, weight)
