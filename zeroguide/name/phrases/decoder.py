"""The decoder "phrases": from a list to a label that is no more specific than CLIP is sure."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Self

import torch

from zeroguide.clip import Region
from zeroguide.name.decoder import Decoder, Ranked
from zeroguide.name.name import Name
from zeroguide.name.phrases.modifiers import Modifiers
from zeroguide.name.phrases.retrieval import PhraseList
from zeroguide.name.phrases.specificity import Choice, Specificity
from zeroguide.system.memo import Memo

# Segments at a time: 64 rows of probabilities for 22,000 phrases are 6 MB.
_BATCH = 64


class PhrasesDecoder(Decoder):
    """Retrieves phrases, chooses how specific the label is and puts a modifier before it.

    Args:
        phrases: the list, with a prior.
        certainty: the least probability of a label, 0 to 1.
        modifiers: what composes; None: labels are phrases of the list.
        n_alternatives: labels returned beside the best: finer ones first, then others.
    """

    def __init__(
        self,
        phrases: PhraseList,
        *,
        certainty: float,
        modifiers: Modifiers | None,
        n_alternatives: int,
    ) -> None:
        self.list = phrases
        self.certainty = certainty
        self.modifiers = modifiers
        self.n_alternatives = n_alternatives
        self.specificity = Specificity(phrases.phrases, phrases.log_prior, certainty=certainty)

    def with_certainty(self, certainty: float) -> Self:
        """The same with another least probability of a label, 0 to 1; nothing is read anew."""
        other = copy.copy(self)
        other.specificity = copy.copy(self.specificity)
        other.certainty = other.specificity.certainty = certainty
        return other

    def rank(self, unit: torch.Tensor, _regions: Sequence[Region], memo: Memo) -> Sequence[Ranked]:
        """(n, e) -> for each segment its label, then finer names, then others."""
        named = [names for part in unit.split(_BATCH) for names in self._retrieve(part)]
        if self.modifiers is not None:
            sure = [i for i, own in enumerate(named) if (own[0].certainty or 0) >= self.certainty]
            longer = self.modifiers(unit[sure], [named[i][0].text for i in sure], memo)
            for i, text in zip(sure, longer, strict=True):
                if text is not None:
                    named[i] = self._composed(named[i], *text)
        return named

    def _retrieve(self, unit: torch.Tensor) -> list[list[Name]]:
        posterior = self.list.posterior(unit)
        cosines = unit @ self.list.embeddings.T
        choices = self.specificity(posterior, self.n_alternatives)
        return [
            self._names(choice, p, c)
            for choice, p, c in zip(choices, posterior, cosines, strict=True)
        ]

    def _names(self, choice: Choice, p: torch.Tensor, cosines: torch.Tensor) -> list[Name]:
        rest = [*choice.finer, *choice.others][: self.n_alternatives]
        return [
            Name(self.list.phrases[i], float(cosines[i]), certainty=certainty)
            for i, certainty in [
                (choice.phrase, choice.certainty),
                *((i, float(p[i])) for i in rest),
            ]
        ]

    def _composed(self, names: list[Name], text: str, cosine: float) -> list[Name]:
        """The longer text first; the plain name becomes the first alternative."""
        label = Name(text, cosine, certainty=names[0].certainty, composed=True)
        return [label, *names][: 1 + self.n_alternatives]
