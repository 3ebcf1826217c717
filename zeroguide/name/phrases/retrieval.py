"""How likely each phrase of a list is for a segment.

By Bayes: CLIP's softmax is the likelihood, and how often a phrase is said the prior. Of tens of
thousands of phrases, some rare ones lie near whatever noise or a wording adds to an embedding: they
are the hubs of nearest-neighbour search (Radovanovic et al., "Hubs in space", JMLR 2010). The
prior takes them back, because hardly anybody says them.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Self

import torch

from zeroguide.clip import TextEncoder

# A list in order of frequency follows Zipf's law, but for its first ranks, which are much alike
# (Mandelbrot's shift).
_SHIFT = 10


class PhraseList:
    """A list of phrases as CLIP reads it, with a prior.

    Args:
        texts: the encoder of the CLIP that made the segments' embeddings.
        phrases: p phrases.
        templates: with ``{}`` for the phrase; embeddings are averaged over them.
        ranks: each phrase's place by frequency, from 0 for the commonest; all alike: no prior.
        frequency_weight: exponent of the prior; 0: none.

    Attributes:
        phrases: (p,) the phrases.
        embeddings: (p, e) float32, unit.
        log_prior: (p,) float32.
    """

    def __init__(
        self,
        texts: TextEncoder,
        phrases: Sequence[str],
        templates: Sequence[str],
        *,
        ranks: Sequence[int],
        frequency_weight: float,
    ) -> None:
        self.phrases = tuple(phrases)
        self.embeddings = texts.embed_phrases(phrases, templates)
        places = torch.tensor(ranks, dtype=torch.float32, device=self.embeddings.device)
        self.log_prior = (-frequency_weight * (places + _SHIFT).log()).log_softmax(0)
        self._scale = float(texts.clip.network.logit_scale.exp())

    def with_names(self, names: Sequence[str], embeddings: torch.Tensor) -> Self:
        """The list and further names, of whatever isn't in it, as likely as its commonest phrase.

        embeddings: (len(names), e) float32, unit, as `TextEncoder.embed_phrases` makes them.
        """
        known = set(self.phrases)
        new = [i for i, name in enumerate(names) if name not in known]
        other = copy.copy(self)
        other.phrases = (*self.phrases, *(names[i] for i in new))
        other.embeddings = torch.cat([self.embeddings, embeddings[new]])
        prior = self.log_prior.max().expand(len(new))
        other.log_prior = torch.cat([self.log_prior, prior]).log_softmax(0)
        return other

    def posterior(self, unit: torch.Tensor) -> torch.Tensor:
        """Unit embeddings of segments (n, e) -> the phrases' probabilities (n, p) float32."""
        logits = self._scale * (unit @ self.embeddings.T) + self.log_prior
        return logits.softmax(dim=-1)
