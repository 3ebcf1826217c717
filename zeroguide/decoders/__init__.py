"""Decoders: segment embeddings -> ranked noun phrases. One file per method.

A decoder is called with embeddings (n, e), normalised or not, and returns for each of the n
segments its labels with scores, best first, at least one. A score is the cosine of the segment's
embedding and the label's text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from zeroguide.decoders.beam import BeamDecoder
from zeroguide.decoders.vocabulary import VocabularyDecoder
from zeroguide.models import LanguageModel
from zeroguide.prompts_folder import read_prompts
from zeroguide.recipe import Decoder as DecoderRecipe
from zeroguide.texts import TextEncoder

if TYPE_CHECKING:
    import torch

Ranked = list[tuple[str, float]]
"""A segment's labels with their scores, best first."""


class Decoder(Protocol):
    """Segment embeddings (n, e) -> n ranked lists of labels."""

    def __call__(self, embeddings: torch.Tensor) -> list[Ranked]: ...


def make_decoder(
    recipe: DecoderRecipe, texts: TextEncoder, language_model: LanguageModel | None
) -> Decoder:
    """The decoder a recipe names; `language_model` is needed by "beam" only."""
    if recipe.method == "vocabulary":
        return VocabularyDecoder(
            texts,
            phrases=read_prompts(recipe.vocabulary),
            templates=read_prompts(recipe.templates),
            n_alternatives=recipe.n_alternatives,
        )
    assert language_model is not None
    return BeamDecoder(
        texts,
        language_model,
        prompt=recipe.prompt,
        beam_size=recipe.beam_size,
        n_candidates=recipe.n_candidates,
        max_tokens=recipe.max_tokens,
        lm_weight=recipe.lm_weight,
        n_alternatives=recipe.n_alternatives,
    )
