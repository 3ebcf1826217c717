"""Labels by retrieval: the nearest phrases of a list, as CLIP classifies (Radford et al., 2021)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from zeroguide.clip import Region, TextEncoder
from zeroguide.name.decoder import Decoder, Ranked
from zeroguide.system.memo import Memo


class VocabularyDecoder(Decoder):
    """Ranks a list of phrases by the cosine of their text and the segment's embedding.

    Args:
        texts: the encoder of the CLIP that made the segments' embeddings.
        phrases: the possible labels.
        templates: prompt templates with ``{}`` for the phrase; embeddings are averaged over them.
        n_alternatives: labels returned beside the best.
    """

    def __init__(
        self,
        texts: TextEncoder,
        *,
        phrases: Sequence[str],
        templates: Sequence[str],
        n_alternatives: int,
    ) -> None:
        self.phrases = list(phrases)
        self.n_labels = min(1 + n_alternatives, len(self.phrases))
        self.embeddings = texts.embed_phrases(self.phrases, templates)  # (p, e), unit

    def rank(self, unit: torch.Tensor, _regions: Sequence[Region], memo: Memo) -> Sequence[Ranked]:
        """(n, e) -> for each segment its labels and cosines, best first."""
        cosines = unit @ self.embeddings.T  # (n, p)
        best = cosines.topk(self.n_labels, dim=1)
        return [
            [(self.phrases[i], score) for i, score in zip(ids, scores, strict=True)]
            for ids, scores in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]
