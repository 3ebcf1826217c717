"""How a language model goes on inside a noun phrase, and how likely the phrase ends."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch

from zeroguide.errors import UsageError
from zeroguide.models import LanguageModel
from zeroguide.name.cache import KeysAndValues, read
from zeroguide.name.phrase_files import read_prompts
from zeroguide.system.memo import Memo

_BATCH = 64
# Tokens less likely than this aren't proposed: after a whole noun phrase nothing but its end is
# likely, and CLIP would read hundreds of texts that no one would say.
LOG_LEAST = math.log(1e-3)
# Tokens whose keys and values are kept: 150 MB for GPT-2 small. What is missing is read again.
_STATES_KEPT = 2_000

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Proposals:
    """What the language model says after a context.

    steps: tokens with their log-probabilities, the likeliest first.
    end: the log-probability that the noun phrase ends here.
    """

    steps: list[tuple[int, float]]
    end: float


class Start(NamedTuple):
    """What a prompt alone leads to.

    proposals: after it. log_probs: (vocabulary,) of all tokens after it. memory: its keys and
    values; None if the network keeps anything else.
    """

    proposals: Proposals
    log_probs: torch.Tensor
    memory: KeysAndValues | None


class Proposer:
    """A language model's proposals after a prompt and some tokens.

    It has no state: any number of threads may share it.

    Args:
        language_model: any transformers causal language model.
        prompt_ids: the tokens that all contexts begin with, at least one.
        n_candidates: how many tokens are proposed at most.
        least_first: the least log-probability of a token after the prompt alone.
    """

    def __init__(
        self,
        language_model: LanguageModel,
        prompt_ids: Sequence[int],
        n_candidates: int,
        *,
        least_first: float = LOG_LEAST,
    ) -> None:
        self._least_first = least_first
        self.network = language_model.network
        self.prompt_ids = list(prompt_ids)
        self.device = next(self.network.parameters()).device
        self._ends = phrase_ends(language_model).to(self.device)  # (vocabulary,) bool
        self._n_candidates = min(n_candidates, int((~self._ends).sum()))

    @cached_property
    @torch.inference_mode()
    def start(self) -> Start:
        """The prompt, read by itself, once."""
        logits, kept = read(self.network, torch.tensor([self.prompt_ids], device=self.device))
        proposals = self.judge(logits, self._least_first)[0]
        return Start(proposals, logits[0].float().log_softmax(-1), kept)

    def known(self, memo: Memo) -> KnownContexts:
        """The contexts that were read with a memo, and how to read more."""
        return memo.part(self, lambda: KnownContexts(self))

    def judge(self, logits: torch.Tensor, log_least: float = LOG_LEAST) -> list[Proposals]:
        """What the logits (n, vocabulary) after n contexts propose, of the likelier tokens."""
        log_probs = logits.float().log_softmax(-1)
        ends = log_probs.masked_fill(~self._ends, float("-inf")).logsumexp(-1)
        inside = log_probs.masked_fill_(self._ends, float("-inf"))
        best = inside.topk(self._n_candidates, dim=-1)
        return [
            Proposals([step for step in zip(ids, values, strict=True) if step[1] > log_least], end)
            for ids, values, end in zip(
                best.indices.tolist(), best.values.tolist(), ends.tolist(), strict=True
            )
        ]


class KnownContexts:
    """The proposals after the contexts of one call, each read once.

    A context costs one token: the keys and values of those before it are kept.
    """

    def __init__(self, proposer: Proposer) -> None:
        self._proposer = proposer
        first, _, self._prompt = proposer.start
        self._known: dict[Tokens, Proposals] = {(): first}
        # Keys and values of each context's last token, those of all layers in one row.
        self._states: dict[Tokens, torch.Tensor] = {}

    def __getitem__(self, context: Tokens) -> Proposals:
        """The proposals after a context that was learned, or after none."""
        return self._known[context]

    def learn(self, contexts: Iterable[Tokens]) -> None:
        """Read the contexts that aren't known yet. All must be equally long."""
        new = sorted({context for context in contexts if context not in self._known})
        for batch in _batches(new):
            if len(self._states) > _STATES_KEPT:
                self._states.clear()
            self._known.update(zip(batch, self._proposer.judge(self._read(batch)), strict=True))

    def _read(self, contexts: list[Tokens]) -> torch.Tensor:
        """Logits after equally long contexts, of one token at least: (n, vocabulary)."""
        network, prompt = self._proposer.network, self._prompt
        if prompt is None:
            rows = [[*self._proposer.prompt_ids, *context] for context in contexts]
            return read(network, self._tensor(rows))[0]
        # Known already, but its keys and values are gone.
        before = {context[:-1] for context in contexts if len(context) > 1}
        for batch in _batches(sorted(before - self._states.keys())):
            self._read(batch)
        last = self._tensor([[context[-1]] for context in contexts])
        logits, after = read(network, last, self._past(prompt, contexts))
        assert after is not None  # as it was after the prompt
        own = torch.cat([x[:, :, -1].flatten(1) for x in after], dim=1)  # (n, all layers' sizes)
        self._states.update(zip(contexts, own, strict=True))
        return logits

    def _past(self, prompt: KeysAndValues, contexts: list[Tokens]) -> KeysAndValues:
        """Keys and values of all but the contexts' last tokens."""
        n, length = len(contexts), len(contexts[0]) - 1
        past = [x.expand(n, -1, -1, -1) for x in prompt]  # (n, heads, length, dh) each
        if length:
            rows = [self._states[c[:i]] for c in contexts for i in range(1, length + 1)]
            sizes = [x.shape[1] * x.shape[3] for x in prompt]
            parts = torch.stack(rows).unflatten(0, (n, length)).split(sizes, dim=2)
            past = [
                torch.cat([x, part.unflatten(2, (x.shape[1], -1)).transpose(1, 2)], dim=2)
                for x, part in zip(past, parts, strict=True)
            ]
        return past

    def _tensor(self, rows: list[list[int]]) -> torch.Tensor:
        return torch.tensor(rows, device=self._proposer.device)


def _batches(contexts: list[Tokens]) -> Iterable[list[Tokens]]:
    return (contexts[start : start + _BATCH] for start in range(0, len(contexts), _BATCH))


def start_ids(language_model: LanguageModel, prompt: str) -> list[int]:
    """The tokens that every text begins with, at least one.

    Without a prompt, a text begins after the token that begins texts, or that separates them.

    Raises UsageError where a language model has neither.
    """
    tokenizer = language_model.tokenizer
    ids: list[int] = tokenizer(prompt)["input_ids"] if prompt else []
    if ids:
        return ids
    for start in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if start is not None:
            return [start]
    raise UsageError(
        "decoder.prompt is empty, but the language model has no token that begins a text: write a "
        "prompt, such as 'a photo of'"
    )


def phrase_ends(language_model: LanguageModel) -> torch.Tensor:
    """Which of a language model's tokens end a noun phrase: (vocabulary,) bool.

    The special tokens, whatever begins with punctuation or a line break, and whole words, with
    their space, that ``prompts/phrase_ends.txt`` lists.
    """
    tokenizer = language_model.tokenizer
    words = set(read_prompts("phrase_ends"))
    ends = torch.zeros(language_model.network.config.get_text_config().vocab_size, dtype=torch.bool)
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
