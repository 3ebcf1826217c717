"""Which of a user's fixed classes a segment is of, whatever its label.

Every phrase of the list counts for the class that it means, is a kind of or has as its head noun: a
"taxi" and a "parked car" for "car". A class is as probable as its phrases together. An own name
that means no class, such as "Rex", counts for what its segment would be called without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F

from zeroguide.name.hypernyms import Hypernyms
from zeroguide.name.phrases.own import OwnNames
from zeroguide.name.phrases.retrieval import PhraseList
from zeroguide.recipe.class_files import OTHER, with_other

# Segments at a time, as in `phrases.decoder`.
_BATCH = 64


class ClassOf(NamedTuple):
    """The class of a segment. probability: 0 to 1; of "other", that it is none of the classes."""

    number: int
    name: str
    probability: float


class Classifier:
    """Chooses the likeliest class, or `OTHER` where none is likely enough.

    Args:
        phrases: a list that holds the names of all classes.
        classes: numbers and names, at least one.
        least: the least probability of a class, 0 to 1.
    """

    def __init__(self, phrases: PhraseList, classes: Mapping[int, str], *, least: float) -> None:
        self.phrases = phrases
        self.least = least
        self.numbers = {name: number for number, name in with_other(classes).items()}
        self.names = [name for name in classes.values() if name != OTHER]
        device = phrases.embeddings.device
        # (p,) the class that a phrase counts for, by its place; one past the last: none.
        self._class_of = torch.tensor(_classes_of(phrases.phrases, self.names), device=device)
        self._own = torch.zeros(0, dtype=torch.long, device=device)  # names that mean no class
        if isinstance(phrases, OwnNames):
            own = phrases.columns
            self._own = own[self._class_of[own] == len(self.names)]

    @torch.inference_mode()
    def __call__(self, embeddings: torch.Tensor) -> list[ClassOf]:
        """Embeddings (n, e), normalised or not -> the class of each."""
        unit = F.normalize(embeddings.float(), dim=-1)
        return [found for part in unit.split(_BATCH) for found in self._choose(part)]

    def _choose(self, unit: torch.Tensor) -> list[ClassOf]:
        if not self.names:
            return [ClassOf(self.numbers[OTHER], OTHER, 1.0)] * len(unit)
        posterior = self.phrases.posterior(unit)
        mass = self._sum_up(posterior)
        if isinstance(self.phrases, OwnNames):
            known = posterior[:, self._own].sum(1, keepdim=True)
            mass += known * self._sum_up(self.phrases.in_words(unit))
        best, place = mass[:, :-1].max(dim=1)
        return [
            self._named(self.names[i], min(p, 1.0))
            if p >= self.least
            else self._named(OTHER, 1 - p)
            for p, i in zip(best.tolist(), place.tolist(), strict=True)
        ]

    def _sum_up(self, posterior: torch.Tensor) -> torch.Tensor:
        """(n, p) -> (n, classes + 1): the probability of each class, and of none."""
        mass = posterior.new_zeros(len(posterior), len(self.names) + 1)
        return mass.index_add_(1, self._class_of, posterior)

    def _named(self, name: str, probability: float) -> ClassOf:
        return ClassOf(self.numbers[name], name, probability)


def _classes_of(phrases: tuple[str, ...], names: list[str]) -> list[int]:
    """For each phrase the place of its class; len(names) where it has none.

    A phrase that is spelled like a class is of that class; of several above it, it counts for the
    nearest.
    """
    hypernyms = Hypernyms.load()
    spelled = {name: i for i, name in enumerate(names)}
    node_class: dict[int, int] = {}
    for i, name in enumerate(names):
        node = hypernyms.whole_node_of(name)
        if node is not None:
            node_class.setdefault(node, i)
    found = []
    for phrase in phrases:
        node = hypernyms.node_of(phrase)
        above = hypernyms.ancestors(node) if node is not None else {}
        nearest = next((node_class[up] for up in above if up in node_class), len(names))
        found.append(spelled.get(phrase, nearest))
    return found
