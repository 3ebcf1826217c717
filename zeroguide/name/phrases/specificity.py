"""How specific a label may be: the probabilities of a list, summed up the hypernyms.

Deng et al., "Hedging your bets: optimizing accuracy-specificity trade-offs in large scale visual
recognition" (CVPR 2012): a classifier that isn't sure of "beagle" may be sure of "dog". The label
is the node that says most among those sure enough; what a node says is its information gain, which
falls with the share of the list that lies below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from scipy import sparse

from zeroguide.name.hypernyms import Hypernyms


@dataclass(frozen=True)
class Choice:
    """The label of one segment, by the phrases' numbers in the list.

    phrase: the label. certainty: its node's probability, 0 to 1. finer: the likeliest phrases
    below it, best first; others: the likeliest of the rest.
    """

    phrase: int
    certainty: float
    finer: list[int]
    others: list[int]


class Specificity:
    """Chooses the most specific phrase whose node is certain enough.

    A phrase that WordNet doesn't have is a node of its own below its head noun. Only what has a
    phrase of the list can be a label: a list of one's own is all that is ever said.

    Args:
        phrases: the list.
        log_prior: (p,) how likely each phrase is beforehand.
        certainty: the least probability of a label, 0 to 1.
    """

    def __init__(
        self, phrases: Sequence[str], log_prior: torch.Tensor, *, certainty: float
    ) -> None:
        hypernyms = Hypernyms.load()
        self.certainty = certainty
        columns: dict[int | str, int] = {}
        # (phrase, node) for all nodes that a phrase lies in, and each phrase's own node.
        pairs: list[tuple[int, int]] = []
        self._node = np.empty(len(phrases), np.int64)
        for i, phrase in enumerate(phrases):
            own = hypernyms.whole_node_of(phrase)
            head = hypernyms.node_of(phrase) if own is None else own
            above = list(hypernyms.ancestors(head)) if head is not None else []
            nodes: list[int | str] = [*above] if own is not None else [phrase, *above]
            numbers = [columns.setdefault(node, len(columns)) for node in nodes]
            self._node[i] = numbers[0]
            pairs += [(i, number) for number in numbers]
        # A node without a phrase of its own in the list is none to choose.
        named = np.unique(self._node)
        place = np.full(len(columns), -1)
        place[named] = np.arange(len(named))
        self._node = place[self._node]
        kept = np.array([(place[node], i) for i, node in pairs if place[node] >= 0])
        # (nodes, p) float32: 1 for the phrases that lie in a node.
        self._sum = sparse.csr_array(
            (np.ones(len(kept), np.float32), tuple(kept.T)), shape=(len(named), len(phrases))
        )
        self._below = [self._sum.indices[a:b] for a, b in pairwise(self._sum.indptr)]
        share = self._sum_up(log_prior.exp()[None].cpu().numpy())[0]
        self._gain = -np.log(share.clip(1e-12))  # (nodes,)

    def __call__(self, posterior: torch.Tensor, n_others: int) -> list[Choice]:
        """The phrases' probabilities (n, p) -> the choice for each segment.

        Args:
            posterior: (n, p) float32, rows that add up to 1.
            n_others: how many finer phrases and others there are at most, each.
        """
        rows = posterior.cpu().numpy()
        mass = self._sum_up(rows)  # (n, nodes)
        # Where nothing is sure enough, what is surest: a wide name rather than a wrong one.
        sure = mass >= np.minimum(self.certainty, mass.max(axis=1, keepdims=True))
        chosen = np.where(sure, self._gain + 1e-3 * mass, -1.0).argmax(axis=1)
        return [
            self._choice(row, int(node), float(own[node]), n_others)
            for row, own, node in zip(rows, mass, chosen, strict=True)
        ]

    def _sum_up(self, rows: np.ndarray) -> np.ndarray:
        """(n, p) -> (n, nodes): the probability that a segment is a kind of each node."""
        return (self._sum @ rows.T).T

    def _choice(self, row: np.ndarray, node: int, certainty: float, n: int) -> Choice:
        """row: (p,) the phrases' probabilities."""
        below = self._below[node]
        own = below[self._node[below] == node]
        # The likeliest ones that lie elsewhere are among the first n and as many as lie below.
        first = np.argpartition(-row, min(n + len(below), len(row)) - 1)[: n + len(below)]
        return Choice(
            phrase=int(own[row[own].argmax()]),
            certainty=min(certainty, 1.0),
            finer=_likeliest(row, below[self._node[below] != node], n),
            others=_likeliest(row, np.setdiff1d(first, below), n),
        )


def _likeliest(row: np.ndarray, among: np.ndarray, n: int) -> list[int]:
    """The n likeliest phrases among some, best first."""
    order = np.argsort(-row[among], kind="stable")
    return [int(i) for i in among[order[:n]]]
