"""ZeroCap's beam search, all segments and beams at once.

What makes it quick, and changes nothing: a text is encoded once, whichever segment, beam or
iteration proposes it; all rows share one pass
of the language model per iteration; the pass before the first shift is also the one without shift,
and leaves keys and values for the next token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from zeroguide.clip import Region, TextEncoder
from zeroguide.errors import UsageError, WeightsError
from zeroguide.models import LanguageModel
from zeroguide.name.cache import KeysAndValues, read
from zeroguide.name.decoder import Decoder, Ranked
from zeroguide.name.name import UNNAMED
from zeroguide.name.noun_phrases import clean_phrase
from zeroguide.name.zerocap.candidates import Candidates
from zeroguide.name.zerocap.shift import Shifted, shift
from zeroguide.name.zerocap.tokens import Tokens
from zeroguide.system.memo import Memo

_FUSION = 0.99
_END_FACTOR = 1.01
_START_FACTOR = 1.6
_FORBIDDEN_FACTOR = 20.0

# Segments searched together, and rows (segments x beams) per pass of the language model: enough to
# fill matrix products. They bound memory, which for a row is that of its keys and values.
_SEGMENTS = 32
_ROWS = 64


@dataclass
class _Beams:
    """Texts of n segments, b each: the segments' indices (n,), the tokens written (n, b, t), summed
    log-probabilities, lengths up to the full stop, and whether it has come (n, b)."""

    segments: torch.Tensor
    tokens: torch.Tensor
    scores: torch.Tensor
    lengths: torch.Tensor
    stopped: torch.Tensor

    def only(self, segments: torch.Tensor) -> _Beams:
        """Those of some of the segments: (n,) bool."""
        return _Beams(*(x[segments] for x in vars(self).values()))


class ZeroCapDecoder(Decoder):
    """Beam search over a causal language model whose context is shifted towards each segment.

    Args:
        texts: the encoder of the CLIP that made the segments' embeddings.
        language_model: any transformers causal language model with keys and values; its weights
            are frozen.
        prompt: the text that is continued, such as ``"Image of a"``; not part of a label.
        beam_size: texts kept per segment and step.
        n_candidates: the most likely tokens that CLIP scores, per beam and iteration.
        max_tokens: longest continuation.
        iterations: gradient steps on the context per token.
        n_alternatives: labels returned beside the best.
        forbidden: ids (m,) int64 of tokens made unlikely; None: what no noun phrase needs.

    Raises UsageError if the prompt is empty.
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
        iterations: int,
        n_alternatives: int,
        forbidden: torch.Tensor | None = None,
    ) -> None:
        if not prompt:
            raise UsageError(
                "decoder.prompt is empty, but zerocap works by what a language model makes of it: "
                "write one, such as 'Image of a'"
            )
        self.texts, self.prompt = texts, prompt
        self._network = language_model.network.requires_grad_(False)
        self._device = next(self._network.parameters()).device
        self._tokens = Tokens(language_model, prompt)
        forbidden = self._tokens.forbidden() if forbidden is None else forbidden
        self._forbidden = forbidden.to(self._device)
        self.beam_size, self.max_tokens = beam_size, max_tokens
        self.n_candidates, self.iterations = n_candidates, iterations
        self.n_labels = 1 + n_alternatives

    def rank(self, unit: torch.Tensor, _regions: Sequence[Region], memo: Memo) -> Sequence[Ranked]:
        """(n, e) -> for each segment its labels and cosines, best first."""
        # With the prompt, because a text may go on with its last word: "a" and "n apple".
        cleaned = [
            dict.fromkeys(clean_phrase(self.prompt + text, self.prompt) for text in texts)
            for texts in self.generate(unit, memo)
        ]
        labels = list(dict.fromkeys(label for row in cleaned for label in row if label))
        embedded = self.texts.embed([f"{self.prompt} {label}" for label in labels], memo)
        ranked = []
        rows = (unit.to(embedded.device) @ embedded.T).tolist()  # (n, labels)
        for of_segment, row in zip(cleaned, rows, strict=True):
            cosines = dict(zip(labels, row, strict=True))
            scores = [(label, cosines[label]) for label in of_segment if label]
            scores = scores or [(UNNAMED, 0.0)]
            ranked.append(sorted(scores, key=lambda item: -item[1])[: self.n_labels])
        return ranked

    def generate(self, unit: torch.Tensor, memo: Memo) -> list[list[str]]:
        """Unit embeddings (n, e) -> each one's texts, by mean log-probability per token."""
        # Gradients are needed, whatever mode the caller is in.
        with torch.inference_mode(False), torch.no_grad():
            parts = unit.to(self._device).split(_SEGMENTS)
            return [text for part in parts for text in self._search(part, memo)]

    def _search(self, unit: torch.Tensor, memo: Memo) -> list[list[str]]:
        n = len(unit)
        zeros = torch.zeros(n, 1, device=self._device)
        beams = _Beams(
            segments=torch.arange(n, device=self._device),
            tokens=torch.empty(n, 1, 0, dtype=torch.int64, device=self._device),
            scores=zeros,
            lengths=zeros.long(),
            stopped=zeros.bool(),
        )
        prompt = torch.tensor([self._tokens.prompt[:-1]], device=self._device)
        _, kept = read(self._network, prompt)
        if kept is None:
            raise WeightsError(
                f"a language model of type {self._network.config.model_type!r} keeps no keys and "
                "values that zerocap could shift: choose a transformer, such as GPT-2"
            )
        memory = [x.expand(n, -1, -1, -1) for x in kept]
        texts: list[list[str]] = [[] for _ in range(n)]
        for _ in range(self.max_tokens):
            if not len(beams.segments):
                break
            log_p, memory = self._next(unit, beams, memory, memo)
            beams, memory = self._extend(beams, log_p, memory)
            done = beams.stopped.all(dim=1)  # (segments,)
            if done.any():
                self._write(texts, beams.only(done))
                b = beams.tokens.shape[1]
                beams = beams.only(~done)
                memory = [x.unflatten(0, (-1, b))[~done].flatten(0, 1) for x in memory]
        self._write(texts, beams)
        return texts

    def _next(
        self, unit: torch.Tensor, beams: _Beams, memory: KeysAndValues, memo: Memo
    ) -> tuple[torch.Tensor, KeysAndValues]:
        """Log-probabilities of the next token, (n, b, v), and the memory of the whole contexts."""
        n, b, written = beams.tokens.shape
        prompt = torch.tensor(self._tokens.prompt, device=self._device)
        contexts = torch.cat([prompt.expand(n * b, -1), beams.tokens.flatten(0, 1)], dim=1)
        if written:
            candidates, context = self._candidates(contexts.tolist(), memo)
        else:  # those of all segments of a call
            first = memo.part(self, lambda: self._candidates([self._tokens.prompt], memo)[0])
            candidates, context = first, contexts.new_zeros(n)
        segments = beams.segments.repeat_interleave(b)  # (rows,)
        parts = [
            self._shifted(
                candidates,
                unit[segments[rows]],
                context[rows],
                contexts[rows, -1],
                [x[rows] for x in memory],
            )
            for rows in torch.arange(n * b, device=self._device).split(_ROWS)
        ]
        logits = torch.cat([part.logits for part in parts])
        plain = torch.cat([part.plain for part in parts])
        log_p = self._favoured(logits, first=not written).log_softmax(-1)
        fused = (_FUSION * log_p + (1 - _FUSION) * plain).view(n, b, -1)
        # The published code divides by the sum over all of a segment's beams.
        fused = fused - fused.flatten(1).logsumexp(-1)[:, None, None]
        return fused, [torch.cat(x) for x in zip(*(part.memory for part in parts), strict=True)]

    def _shifted(
        self,
        candidates: Candidates,
        unit: torch.Tensor,
        context: torch.Tensor,
        last: torch.Tensor,
        memory: KeysAndValues,
    ) -> Shifted:
        return shift(
            self._network,
            last,
            memory,
            lambda tokens: candidates.cosines(unit, context, tokens),
            iterations=self.iterations,
            n_candidates=self.n_candidates,
        )

    def _candidates(
        self, contexts: Sequence[Sequence[int]], memo: Memo
    ) -> tuple[Candidates, torch.Tensor]:
        """Candidates that continue contexts (rows of ids), and which of theirs each row has."""
        texts = [self._tokens.text(ids) for ids in contexts]
        index = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        rows = torch.tensor([index[text] for text in texts], device=self._device)
        return Candidates(self.texts, self._tokens, list(index), memo), rows

    def _favoured(self, logits: torch.Tensor, *, first: bool) -> torch.Tensor:
        """Logits (rows, v) with the full stop favoured, at first hindered, others forbidden."""
        end = self._tokens.end
        logits = logits.clone()
        logits[:, end] = _scaled(logits[:, end], 1 / _START_FACTOR if first else _END_FACTOR)
        logits[:, self._forbidden] = _scaled(logits[:, self._forbidden], 1 / _FORBIDDEN_FACTOR)
        return logits

    def _extend(
        self, beams: _Beams, log_p: torch.Tensor, memory: KeysAndValues
    ) -> tuple[_Beams, KeysAndValues]:
        """The best texts one token longer, by mean log-probability, and their memories."""
        n, b, v = log_p.shape
        # A finished text goes on by token 0, which costs nothing and isn't counted.
        log_p = log_p.masked_fill(beams.stopped[:, :, None], float("-inf"))
        log_p[:, :, 0].masked_fill_(beams.stopped, 0.0)
        lengths = beams.lengths + ~beams.stopped  # (n, b)
        means = (beams.scores[:, :, None] + log_p) / lengths[:, :, None]
        best = means.flatten(1).topk(min(self.beam_size, b * v), dim=-1)
        parents, chosen = best.indices // v, best.indices % v  # (n, beams)
        segments = torch.arange(n, device=self._device)[:, None]  # (n, 1)
        parent = segments, parents
        rows = (segments * b + parents).flatten()  # (n * beams,)
        extended = _Beams(
            segments=beams.segments,
            tokens=torch.cat([beams.tokens[parent], chosen[:, :, None]], dim=2),
            scores=best.values * lengths[parent],
            lengths=lengths[parent],
            stopped=beams.stopped[parent] | (chosen == self._tokens.end),
        )
        return extended, [x[rows] for x in memory]

    def _write(self, texts: list[list[str]], beams: _Beams) -> None:
        """Put the texts of beams where their segments' texts belong."""
        order = (beams.scores / beams.lengths).argsort(dim=1, descending=True)
        for i, s in enumerate(beams.segments.tolist()):
            texts[s] = [
                self._tokens.written(beams.tokens[i, j, : beams.lengths[i, j]].tolist())
                for j in order[i].tolist()
            ]


def _scaled(logits: torch.Tensor, factor: float) -> torch.Tensor:
    """Likelier for a factor above 1, less likely below, whatever a logit's sign."""
    return torch.where(logits > 0, logits * factor, logits / factor)
