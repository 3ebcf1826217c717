"""How a language model goes on inside a noun phrase, and how likely the phrase ends."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from zeroguide.models import LanguageModel
from zeroguide.prompts_folder import read_prompts

_BATCH = 64
# Tokens less likely than this aren't proposed: after a whole noun phrase nothing but its end is
# likely, and CLIP would read hundreds of texts that no one would say.
_LOG_LEAST = math.log(1e-3)
# Contexts kept from call to call, about; the first steps recur in every picture.
_KEPT = 20_000
# Tokens whose keys and values are kept: 150 MB for GPT-2 small. What is missing is read again.
_STATES_KEPT = 2_000

# Sliding windows are longer than any context here.
_PLAIN = (DynamicLayer, DynamicSlidingWindowLayer)

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Proposals:
    """What the language model says after a context.

    steps: tokens with their log-probabilities, the likeliest first.
    end: the log-probability that the noun phrase ends here.
    """

    steps: list[tuple[int, float]]
    end: float


class Proposer:
    """A language model's proposals after a prompt and some tokens, each context read once.

    A context costs one token: the keys and values of those before it are kept.

    Args:
        language_model: any transformers causal language model.
        prompt_ids: the tokens that all contexts begin with, at least one.
        n_candidates: how many tokens are proposed at most.
    """

    def __init__(
        self, language_model: LanguageModel, prompt_ids: Sequence[int], n_candidates: int
    ) -> None:
        self.network = language_model.network
        self.prompt_ids = list(prompt_ids)
        self._device = next(self.network.parameters()).device
        self._ends = phrase_ends(language_model).to(self._device)  # (vocabulary,) bool
        self._n_candidates = min(n_candidates, int((~self._ends).sum()))
        self._known: dict[Tokens, Proposals] = {}
        # Keys and values, layer after layer: of the prompt (1, heads, length, dh) each, and of each
        # context's last token, all in one row. None if the network keeps anything else.
        self._prompt: list[torch.Tensor] | None = []
        self._states: dict[Tokens, torch.Tensor] = {}

    def __getitem__(self, context: Tokens) -> Proposals:
        """The proposals after a context that was learned."""
        return self._known[context]

    def forget(self) -> None:
        """Make room if too much is known; call it when no context is in use."""
        if len(self._known) > _KEPT:
            self._known.clear()

    def learn(self, contexts: Iterable[Tokens]) -> None:
        """Read the contexts that aren't known yet.

        All must be equally long, and the empty one comes first.
        """
        new = sorted({context for context in contexts if context not in self._known})
        for batch in _batches(new):
            if len(self._states) > _STATES_KEPT:
                self._states.clear()
            log_probs = self._read(batch).float().log_softmax(-1)  # (batch, vocabulary)
            ends = log_probs.masked_fill(~self._ends, float("-inf")).logsumexp(-1)
            inside = log_probs.masked_fill_(self._ends, float("-inf"))
            best = inside.topk(self._n_candidates, dim=-1)
            for context, ids, values, end in zip(
                batch, best.indices.tolist(), best.values.tolist(), ends.tolist(), strict=True
            ):
                steps = [step for step in zip(ids, values, strict=True) if step[1] > _LOG_LEAST]
                self._known[context] = Proposals(steps, end)

    def _read(self, contexts: list[Tokens]) -> torch.Tensor:
        """Logits after equally long contexts: (n, vocabulary)."""
        if not contexts[0]:
            out = self.network(self._tensor([self.prompt_ids]), use_cache=True)
            self._prompt = _keys_and_values(getattr(out, "past_key_values", None))
            return out.logits[:, -1]
        if self._prompt is None:
            return self.network(self._tensor([[*self.prompt_ids, *c] for c in contexts])).logits[
                :, -1
            ]
        # Known from an earlier call, but its keys and values are gone.
        before = {context[:-1] for context in contexts if len(context) > 1}
        for batch in _batches(sorted(before - self._states.keys())):
            self._read(batch)
        out = self.network(
            self._tensor([[context[-1]] for context in contexts]),
            past_key_values=self._past(self._prompt, contexts),
            use_cache=True,
        )
        cached = _keys_and_values(out.past_key_values) or []
        own = torch.cat([x[:, :, -1].flatten(1) for x in cached], dim=1)  # (n, all layers' sizes)
        self._states.update(zip(contexts, own, strict=True))
        return out.logits[:, -1]

    def _past(self, prompt: list[torch.Tensor], contexts: list[Tokens]) -> DynamicCache:
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
        return DynamicCache(list(zip(past[::2], past[1::2], strict=True)))

    def _tensor(self, rows: list[list[int]]) -> torch.Tensor:
        return torch.tensor(rows, device=self._device)


def _keys_and_values(cache: object) -> list[torch.Tensor] | None:
    """A cache's tensors, layer after layer; None if it isn't one of plain keys and values."""
    layers = getattr(cache, "layers", [])
    if not layers or not all(type(layer) in _PLAIN for layer in layers):
        return None
    return [x for layer in layers for x in (layer.keys, layer.values)]


def _batches(contexts: list[Tokens]) -> Iterable[list[Tokens]]:
    return (contexts[start : start + _BATCH] for start in range(0, len(contexts), _BATCH))


def phrase_ends(language_model: LanguageModel) -> torch.Tensor:
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
