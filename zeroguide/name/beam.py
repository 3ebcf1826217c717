"""Labels by search: a language model proposes words, CLIP scores the whole text.

A gradient-free relative of ZeroCap in the manner of MAGIC (Su et al., "Language models can see",
2022): the score of a text is CLIP's logit for it and the segment, plus the language model's mean
log-probability per token. Unlike MAGIC it keeps several beams, and a text ends where its noun
phrase ends. A language model alone begins every picture's names with the same few words; a list's
phrases that are nearest to a segment give it words of its own to begin with, as in CaSED (Conti et
al., "Vocabulary-free image classification", 2023).

What makes it quick: beams of all segments that share a context share one language-model step of
one token, and CLIP reads of a text only what no other text has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from zeroguide.clip import Region, TextEncoder
from zeroguide.models import LanguageModel
from zeroguide.name.decoder import Decoder, Ranked
from zeroguide.name.name import UNNAMED
from zeroguide.name.noun_phrases import ARTICLES, clean_phrase
from zeroguide.name.proposals import LOG_LEAST, KnownContexts, Proposer, Tokens, start_ids
from zeroguide.system.memo import Memo


@dataclass
class _Search:
    """One segment's state: open beams with their summed log-probability, and finished labels.

    first_tokens: what a label may begin with beside the language model's proposals, with their
    log-probabilities.
    """

    first_tokens: dict[int, float]
    beams: dict[Tokens, float] = field(default_factory=lambda: {(): 0.0})
    finished: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Label -> (search score, cosine)."""

    def finish(self, label: str, score: float, cosine: float) -> None:
        if label and score > self.finished.get(label, (float("-inf"),))[0]:
            self.finished[label] = (score, cosine)

    def options(self, known: KnownContexts) -> dict[Tokens, float]:
        """The beams with one token more, and their log-probabilities."""
        return {
            (*context, token): log_prob + step
            for context, log_prob in self.beams.items()
            for token, step in {
                **dict(known[context].steps),
                **(self.first_tokens if not context else {}),
            }.items()
        }


def name_is_next(prompt: str) -> bool:
    """Whether a prompt ends where names begin: it is empty, or its last word is an article.

    There any word may follow, so that none is likely, and a list's first words help. Where the
    article is still to come, as after "a photo of", a name's first word is no beginning.
    """
    return not prompt or prompt.split()[-1].lower() in ARTICLES


class BeamDecoder(Decoder):
    """Beam search over a causal language model's noun phrases, guided by CLIP.

    Args:
        texts: the encoder of the CLIP that made the segments' embeddings.
        language_model: any transformers causal language model.
        phrases: a list to begin from where the prompt ends with an article: each segment's nearest
            n_candidates give first tokens.
        templates: that the list is read in.
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
        phrases: Sequence[str] = (),
        templates: Sequence[str] = ("{}",),
        prompt: str,
        beam_size: int,
        n_candidates: int,
        max_tokens: int,
        lm_weight: float,
        n_alternatives: int,
    ) -> None:
        self.texts = texts
        self.lm = language_model
        self.beam_size, self.max_tokens = beam_size, max_tokens
        self.lm_weight = lm_weight
        self.n_labels = 1 + n_alternatives
        self.prompt = prompt
        ids = start_ids(language_model, prompt)
        begins = bool(phrases) and name_is_next(prompt)
        self.proposals = Proposer(
            language_model, ids, n_candidates, least_first=-math.inf if begins else LOG_LEAST
        )
        self._before = ids[-1:]
        self._n_nearest = min(n_candidates, len(phrases))
        self._list: torch.Tensor | None = None
        if begins:
            self._list = texts.embed_phrases(phrases, templates)  # (p, e), unit
            space = " " if prompt else ""
            spelled = language_model.tokenizer(
                [space + phrase for phrase in phrases], add_special_tokens=False
            )
            # Each phrase's first token; a tokenizer may know none of a phrase's characters.
            self._first = [ids[:1] for ids in spelled["input_ids"]]
        self._scale = float(texts.clip.network.logit_scale.exp())

    def rank(self, unit: torch.Tensor, _regions: Sequence[Region], memo: Memo) -> Sequence[Ranked]:
        """(n, e) -> for each segment its labels and cosines, best first."""
        known = self.proposals.known(memo)
        searches = [_Search(tokens) for tokens in self._first_tokens(unit)]
        for _ in range(self.max_tokens):
            if any(known[c].steps for search in searches for c in search.beams):
                self._advance(unit, searches, known, memo)
        return [self._ranked(search) for search in searches]

    def _first_tokens(self, unit: torch.Tensor) -> list[dict[int, float]]:
        """What each segment's nearest phrases begin with, with the language model's judgement."""
        if self._list is None:
            return [{} for _ in unit]
        nearest = (unit @ self._list.T).topk(self._n_nearest, dim=1).indices.tolist()
        log_probs = self.proposals.start.log_probs.tolist()
        return [
            {token: log_probs[token] for i in row for token in self._first[i]} for row in nearest
        ]

    def _advance(
        self, unit: torch.Tensor, searches: list[_Search], known: KnownContexts, memo: Memo
    ) -> None:
        """Extend every segment's beams by one token, keep the best and note where they may end."""
        options = [search.options(known) for search in searches]
        texts = {
            tokens: self._whole_text(tokens) for tokens in sorted({t for o in options for t in o})
        }
        embedded = self.texts.embed(list(texts.values()), memo).to(unit.device)  # (texts, e)
        place = {tokens: i for i, tokens in enumerate(texts)}
        cosines: list[dict[Tokens, float]] = []  # of each search's new beams
        for search, totals, row in zip(searches, options, unit, strict=True):
            own = embedded[[place[tokens] for tokens in totals]] @ row  # (options,)
            cosine = dict(zip(totals, own.tolist(), strict=True))
            score = {t: self._score(cosine[t], total, len(t)) for t, total in totals.items()}
            best = sorted(score, key=score.__getitem__, reverse=True)[: self.beam_size]
            search.beams = {tokens: totals[tokens] for tokens in best}
            cosines.append({tokens: cosine[tokens] for tokens in best})
        known.learn(tokens for search in searches for tokens in search.beams)
        for search, cosine in zip(searches, cosines, strict=True):
            for tokens, log_prob in search.beams.items():
                total = log_prob + known[tokens].end
                score_at_end = self._score(cosine[tokens], total, len(tokens) + 1)
                label = clean_phrase(self._text(tokens), self.prompt)
                search.finish(label, score_at_end, cosine[tokens])

    def _score(self, cosine: float, log_prob: float, length: int) -> float:
        return self._scale * cosine + self.lm_weight * log_prob / length

    def _ranked(self, search: _Search) -> list[tuple[str, float]]:
        labels = sorted(search.finished, key=lambda t: search.finished[t][0], reverse=True)
        ranked = [(label, search.finished[label][1]) for label in labels[: self.n_labels]]
        return ranked or [(UNNAMED, 0.0)]  # the language model proposed only punctuation

    def _text(self, tokens: Tokens) -> str:
        """A continuation with the space it begins with, which some tokenizers drop at the start."""
        before, whole = (
            self.lm.tokenizer.decode([*self._before, *own], skip_special_tokens=True)
            for own in ((), tokens)
        )
        return str(whole[len(before) :])

    def _whole_text(self, tokens: Tokens) -> str:
        """Prompt and continuation, as CLIP is to read it."""
        return (self.prompt + self._text(tokens)).strip()
