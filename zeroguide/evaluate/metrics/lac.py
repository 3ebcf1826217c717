"""Free names judged by what words mean: the lexical alignment curve.

Cosines of sentence embeddings agree poorly with people's judgement of names. The lexical alignment
curve ("Benchmarking Open-ended Segmentation", ICLR 2026) accepts a label by its relation to the
class name instead, and scores again with one relation more at a time:

    exact  <  synonym  <  hyponym (a kind of it)  <  meronym (a part of it)

A label takes the class it is most closely related to, and any metric that works on assigned classes
gives a point of the curve. Relations come from a function of two texts, such as
`wordnet.WordNet.relation`. Differences: the source's handling of phrases isn't published in a form
we could check; ours is in `wordnet`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from functools import lru_cache

import numpy as np


class Level(IntEnum):
    """How a label is related to a class name; a lower level is closer."""

    EXACT = 0
    SYNONYM = 1
    HYPONYM = 2
    MERONYM = 3
    NONE = 4


LADDER = (Level.EXACT, Level.SYNONYM, Level.HYPONYM, Level.MERONYM)
Relation = Callable[[str, str], Level]  # (label, class name)


def same_text(label: str, name: str) -> Level:
    """EXACT for equal texts but for case, spaces, hyphens and underscores, else NONE.

    A `Relation` that needs no data.
    """
    return Level.EXACT if plain(label) == plain(name) else Level.NONE


@lru_cache(maxsize=1 << 16)  # each label meets every class's names, on every image
def plain(text: str) -> str:
    """The text in lower case, hyphens and underscores as spaces, without an article."""
    words = text.casefold().replace("_", " ").replace("-", " ").split()
    return " ".join(words[1:] if len(words) > 1 and words[0] in ("a", "an", "the") else words)


def relation_levels(
    labels: Sequence[str], class_names: Sequence[Sequence[str]], relation: Relation
) -> np.ndarray:
    """(m, C) int Level of each label towards each class, that of its closest name.

    Args:
        labels: m texts; each distinct one is looked up once.
        class_names: C classes, each with its name and synonyms.
    """
    pairs = [(c, name) for c, names in enumerate(class_names) for name in names]
    owners = np.array([c for c, _ in pairs], dtype=np.int64)
    rows = {}
    for label in dict.fromkeys(labels):
        row = np.full(len(class_names), int(Level.NONE))
        found = np.array([relation(label, name) for _, name in pairs], dtype=np.int64)
        np.minimum.at(row, owners, found)
        rows[label] = row
    table = np.array([rows[label] for label in labels], dtype=np.int64)
    return table.reshape(len(labels), len(class_names))


def assign_up_to(levels: np.ndarray, level: Level) -> np.ndarray:
    """(m,) int class each label is most closely related to, -1 if not at least by `level`.

    Of classes equally close the first one is taken.
    """
    if not levels.shape[1]:
        return np.full(len(levels), -1)
    best = levels.argmin(axis=1)
    return np.where(levels[np.arange(len(levels)), best] <= level, best, -1)


def ladder(
    levels: np.ndarray, true_classes: np.ndarray, *, weights: np.ndarray | None = None
) -> np.ndarray:
    """(4,) float64 share of the labels related to their true class by at most each of LADDER.

    The curve for naming alone, with true masks: accuracies that only grow. NaN without labels.

    Args:
        levels: (n, C) from `relation_levels`.
        true_classes: (n,) int.
        weights: (n,) such as areas; None: all alike.
    """
    n = len(levels)
    own = levels[np.arange(n), true_classes]
    shares = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    if not shares.sum():
        return np.full(len(LADDER), np.nan)
    return np.array([shares[own <= level].sum() / shares.sum() for level in LADDER])
