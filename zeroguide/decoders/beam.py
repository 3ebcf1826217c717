"""Labels by search: a language model proposes words, CLIP scores the whole text.

A gradient-free relative of ZeroCap in the manner of MAGIC (Su et al., "Language models can see",
2022): the score of a text is CLIP's logit for it and the segment, plus the language model's mean
log-probability per token. Unlike MAGIC it keeps several beams, and a text ends where its noun
phrase ends.

What makes it quick: beams of all segments (and of all calls before) that share a context share
one language-model step and one text embedding, and CLIP reads only as many tokens as there are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from zeroguide.decoders.phrases import clean_phrase
from zeroguide.models import LanguageModel
from zeroguide.prompts_folder import read_prompts
from zeroguide.region import Region
from zeroguide.texts import TextEncoder

_BATCH = 64
# Tokens less likely than this aren't proposed: after a whole noun phrase nothing but its end is
# likely, and CLIP would read hundreds of texts that no one would say.
_LOG_LEAST = math.log(1e-3)
# Contexts kept from call to call, about; the first steps recur in every picture.
_KEPT = 20_000

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class _Proposals:
    """What the language model says after a context: tokens with their log-probabilities, and the
    log-probability that the noun phrase ends here."""

    tokens: list[int]
    log_probs: list[float]
    end: float


@dataclass
class _Search:
    """One segment's state: open beams with their summed log-probability, and finished labels."""

    beams: dict[Tokens, float] = field(default_factory=lambda: {(): 0.0})
    finished: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Label -> (search score, cosine)."""

    def finish(self, label: str, score: float, cosine: float) -> None:
        if label and score > self.finished.get(label, (float("-inf"),))[0]:
            self.finished[label] = (score, cosine)


class BeamDecoder:
    """Beam search over a causal language model's noun phrases, guided by CLIP.

    Args:
        texts: the encoder of the CLIP that made the segments' embeddings.
        language_model: any transformers causal language model.
        prompt: the text that is continued, such as ``"a photo of"``; not part of a label.
        beam_size: texts kept per segment and step.
        n_candidates: the language model's most likely tokens that are scored, per beam.
        max_tokens: longest continuation.
        lm_weight: weight of the mean log-probability per token beside CLIP's logit; 1 takes both
            at face value, in nats.
        n_alternatives: labels returned beside the best.
    """

    def __init__(
        self,
        texts: TextEncoder,
        language_model: LanguageModel,
        *,
        prompt: str,
        beam_size: int,
        n_candidates: int,
        max_tokens: int,
        lm_weight: float,
        n_alternatives: int,
    ) -> None:
        self.texts = texts
        self.lm = language_model
        self.beam_size, self.n_candidates, self.max_tokens = beam_size, n_candidates, max_tokens
        self.lm_weight = lm_weight
        self.n_labels = 1 + n_alternatives
        self.prompt = prompt
        ids = language_model.tokenizer(prompt)["input_ids"] if prompt else []
        # Without a prompt, a text begins after the token that separates texts.
        self._prompt_ids: list[int] = ids or [language_model.tokenizer.eos_token_id]
        self._scale = float(texts.clip.network.logit_scale.exp())
        self._device = next(language_model.network.parameters()).device
        self._ends = _phrase_ends(language_model).to(self._device)  # (vocabulary,) bool
        self._known: dict[Tokens, _Proposals] = {}

    @torch.inference_mode()
    def __call__(
        self, embeddings: torch.Tensor, _regions: Sequence[Region] = (), /
    ) -> list[list[tuple[str, float]]]:
        """(n, e) -> for each segment its labels and cosines, best first."""
        unit = F.normalize(embeddings.float(), dim=-1)
        searches = [_Search() for _ in range(len(unit))]
        if len(self._known) > _KEPT:
            self._known.clear()
        self._propose({()})
        for _ in range(self.max_tokens):
            if any(self._known[c].tokens for search in searches for c in search.beams):
                self._advance(unit, searches)
        return [self._ranked(search) for search in searches]

    def _advance(self, unit: torch.Tensor, searches: list[_Search]) -> None:
        """Extend every segment's beams by one token, keep the best and note where they may end."""
        contexts = {context for search in searches for context in search.beams}
        extended = [(*c, token) for c in contexts for token in self._known[c].tokens]
        column, cosines = self._cosines(unit, extended)
        rows = cosines.tolist()
        for search, row in zip(searches, rows, strict=True):
            options: dict[Tokens, tuple[float, float]] = {}  # tokens -> score, log-probability
            for context, log_prob in search.beams.items():
                proposals = self._known[context]
                for token, step in zip(proposals.tokens, proposals.log_probs, strict=True):
                    tokens = (*context, token)
                    total = log_prob + step
                    options[tokens] = (self._score(row[column[tokens]], total, len(tokens)), total)
            best = sorted(options, key=lambda o: options[o][0], reverse=True)[: self.beam_size]
            search.beams = {tokens: options[tokens][1] for tokens in best}
        self._propose({context for search in searches for context in search.beams})
        for search, row in zip(searches, rows, strict=True):
            for tokens, log_prob in search.beams.items():
                cosine = row[column[tokens]]
                total = log_prob + self._known[tokens].end
                score = self._score(cosine, total, len(tokens) + 1)
                search.finish(clean_phrase(self._text(tokens)), score, cosine)

    def _cosines(
        self, unit: torch.Tensor, sequences: list[Tokens]
    ) -> tuple[dict[Tokens, int], torch.Tensor]:
        """Cosines of segments with the texts of token sequences: (n, texts), and their columns."""
        texts = {sequence: self._whole_text(sequence) for sequence in sequences}
        unique = {text: i for i, text in enumerate(dict.fromkeys(texts.values()))}
        embedded = self.texts.embed(list(unique)).to(unit.device)  # (texts, e)
        return {s: unique[text] for s, text in texts.items()}, unit @ embedded.T

    def _score(self, cosine: float, log_prob: float, length: int) -> float:
        return self._scale * cosine + self.lm_weight * log_prob / length

    def _ranked(self, search: _Search) -> list[tuple[str, float]]:
        labels = sorted(search.finished, key=lambda t: search.finished[t][0], reverse=True)
        ranked = [(label, search.finished[label][1]) for label in labels[: self.n_labels]]
        return ranked or [("unnamed", 0.0)]  # the language model proposed only punctuation

    def _text(self, tokens: Tokens) -> str:
        return self.lm.tokenizer.decode(list(tokens), skip_special_tokens=True)

    def _whole_text(self, tokens: Tokens) -> str:
        """Prompt and continuation, as CLIP is to read it."""
        return (self.prompt + self._text(tokens)).strip()

    def _propose(self, contexts: set[Tokens]) -> None:
        """Run the language model on the contexts it hasn't seen, all of them equally long."""
        new = sorted(context for context in contexts if context not in self._known)
        for start in range(0, len(new), _BATCH):
            batch = new[start : start + _BATCH]
            rows = [[*self._prompt_ids, *context] for context in batch]
            logits = self.lm.network(torch.tensor(rows, device=self._device)).logits[:, -1]
            log_probs = logits.float().log_softmax(-1)  # (batch, vocabulary)
            ends = log_probs.masked_fill(~self._ends, float("-inf")).logsumexp(-1)
            inside = log_probs.masked_fill(self._ends, float("-inf"))
            best = inside.topk(min(self.n_candidates, int((~self._ends).sum())), dim=-1)
            for context, ids, values, end in zip(
                batch, best.indices.tolist(), best.values.tolist(), ends.tolist(), strict=True
            ):
                n = sum(value > _LOG_LEAST for value in values)  # they are sorted
                self._known[context] = _Proposals(ids[:n], values[:n], end)


def _phrase_ends(language_model: LanguageModel) -> torch.Tensor:
    """Which of a language model's tokens end a noun phrase: (vocabulary,) bool.

    The special tokens, whatever begins with punctuation or a line break, and whole words, with
    their space, that ``prompts/phrase_ends.txt`` lists.
    """
    tokenizer = language_model.tokenizer
    words = set(read_prompts("phrase_ends"))
    ends = torch.zeros(language_model.network.config.vocab_size, dtype=torch.bool)
    ends[len(tokenizer) :] = True  # rows that only pad the matrix
    ends[list(tokenizer.all_special_ids)] = True
    for piece, i in tokenizer.get_vocab().items():
        # Byte-level tokenizers write a space as Ġ and a line break as Ċ, SentencePiece ▁.
        text = piece.replace("Ġ", " ").replace("▁", " ").replace("Ċ", "\n")
        first = text.lstrip(" ")[:1]
        inner = first.isalnum() or (text == piece and first in "-'’")
        if not inner or (text.startswith(" ") and text[1:].lower() in words):
            ends[i] = True
    return ends
