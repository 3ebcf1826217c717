"""What may stand before a name: "brown" dog, "stack of" books.

CLIP and the language model decide together. A text's embedding is nearly the name's plus a
direction of the modifier, so one matrix product finds the few modifiers worth reading with each
name; CLIP reads those whole. The longer text wins where CLIP's log-likelihood grows by more than
the language model charges for the modifier: how much less likely it makes the text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from zeroguide.clip import TextEncoder
from zeroguide.clip.phrase_cache import cache_folder, embed_in_parts
from zeroguide.models import LanguageModel
from zeroguide.name.cache import read
from zeroguide.name.noun_forms import plural
from zeroguide.name.proposals import start_ids
from zeroguide.system.memo import Memo

# Modifiers that CLIP reads with a name, per segment: the right one is nearly always among the
# first three by direction (python -m scripts.evaluate.naming --modifiers).
_READ = 3
# The name that directions are measured at.
_ANYTHING = "thing"


class Modifiers:
    """Puts a modifier before names where a picture shows it.

    Args:
        texts: the encoder of the CLIP that made the segments' embeddings.
        language_model: any transformers causal language model.
        modifiers: m lines as in ``prompts/modifiers.txt``.
        prompt: what a text begins with, such as ``"Image of a"``.
        lm_weight: weight of the language model's charge, in nats, beside CLIP's logit.
    """

    def __init__(
        self,
        texts: TextEncoder,
        language_model: LanguageModel,
        modifiers: Sequence[str],
        *,
        prompt: str,
        lm_weight: float,
    ) -> None:
        self.texts = texts
        self.modifiers = tuple(modifiers)
        self.lm_weight = lm_weight
        self._tokenizer = language_model.tokenizer
        self._template = f"{prompt} {{}}".strip()
        self._scale = float(texts.clip.network.logit_scale.exp())
        shown = [_ANYTHING, *(self.text(m, _ANYTHING) for m in range(len(modifiers)))]
        embedded = texts.embed_phrases(shown, [self._template])
        self._directions = embedded[1:] - embedded[0]  # (m, e)
        beginnings = ["", *(line.partition("{")[0].strip() for line in modifiers)]
        self._likely = _Likelihoods(language_model, prompt, beginnings)

    def text(self, modifier: int, name: str) -> str:
        """A modifier and a name as one text."""
        line = self.modifiers[modifier]
        if "{s}" in line:
            return line.replace("{s}", plural(name))
        return line.replace("{}", name) if "{}" in line else f"{line} {name}"

    @torch.inference_mode()
    def __call__(
        self, unit: torch.Tensor, names: Sequence[str], memo: Memo | None = None
    ) -> list[tuple[str, float] | None]:
        """For each segment the longer text and its cosine; None where the name alone is better.

        Args:
            unit: (n, e), unit embeddings of segments.
            names: n names.
            memo: of the call.
        """
        if not names:
            return []
        plain = self.texts.embed([self._whole(name) for name in names], memo)  # (n, e)
        longer = F.normalize(plain[:, None] + self._directions, dim=-1)  # (n, m, e)
        near = torch.einsum("ne,nme->nm", unit, longer).topk(min(_READ, len(self.modifiers)))
        options = [
            [self.text(m, name) for m in row]
            for name, row in zip(names, near.indices.tolist(), strict=True)
        ]
        flat = [self._whole(text) for row in options for text in row]
        embedded = self.texts.embed(flat, memo).unflatten(0, (len(names), -1))  # (n, k, e)
        cosines = torch.einsum("ne,nke->nk", unit, embedded)
        gain = self._scale * (cosines - (unit * plain).sum(-1, keepdim=True))
        charge = self._charges(names, options, near.indices).to(gain)
        best = (gain - self.lm_weight * charge).max(dim=1)
        return [
            (row[i], float(own[i])) if worth > 0 else None
            for row, own, i, worth in zip(
                options, cosines, best.indices.tolist(), best.values.tolist(), strict=True
            )
        ]

    def _whole(self, text: str) -> str:
        return self._template.replace("{}", text)

    def _charges(
        self, names: Sequence[str], options: list[list[str]], modifiers: torch.Tensor
    ) -> torch.Tensor:
        """By how many nats each modifier makes its name's text less likely: (n, k)."""
        rows = []
        for name, texts, chosen in zip(names, options, modifiers.tolist(), strict=True):
            alone = self._likely(0, self._first(name))
            row = []
            for text, m in zip(texts, chosen, strict=True):
                noun = plural(name) if "{s}" in self.modifiers[m] else name
                assert noun in text
                row.append(alone - self._likely(m + 1, self._first(noun)))
            rows.append(row)
        return torch.tensor(rows)

    def _first(self, name: str) -> int:
        """The token that a name begins with, after another word."""
        ids: list[int] = self._tokenizer(f" {name}", add_special_tokens=False)["input_ids"]
        return ids[0]


class _Likelihoods:
    """How likely a language model goes on with a beginning and then with a token.

    The first token stands for the name: once it is there, its others are nearly as likely after
    one beginning as after another.

    Read once for a language model and kept on disk.
    """

    def __init__(
        self, language_model: LanguageModel, prompt: str, beginnings: Sequence[str]
    ) -> None:
        self._model = language_model
        self._prompt = start_ids(language_model, prompt)
        tokenizer = language_model.tokenizer
        self._tokens = [
            tokenizer(f" {text}", add_special_tokens=False)["input_ids"] if text else []
            for text in beginnings
        ]
        # One batch for each length, in order.
        lengths = sorted({len(tokens) for tokens in self._tokens})
        groups = [[i for i, t in enumerate(self._tokens) if len(t) == n] for n in lengths]
        parts = embed_in_parts(
            cache_folder(self._digest(prompt, beginnings)),
            [len(group) for group in groups],
            lambda number: self._read(groups[number]),
        )
        order = [i for group in groups for i in group]
        self._log_p = np.empty((len(beginnings), parts[0].shape[1]), np.float16)
        self._log_p[order] = np.concatenate(parts)

    def __call__(self, beginning: int, token: int) -> float:
        """log p(beginning and token | prompt), in nats."""
        return float(self._log_p[beginning, token])

    @torch.inference_mode()
    def _read(self, group: list[int]) -> np.ndarray:
        """(rows, vocabulary) float32: log-probabilities of beginnings with each next token."""
        network = self._model.network
        device = next(network.parameters()).device
        prompt = torch.tensor([self._prompt], device=device)
        logits, past = read(network, prompt)
        past = past and [x.expand(len(group), -1, -1, -1) for x in past]
        read_so_far, logits = prompt.expand(len(group), -1), logits.expand(len(group), -1)
        total = torch.zeros(len(group), 1, device=device)
        for column in zip(*(self._tokens[i] for i in group), strict=True):
            log_p = logits.float().log_softmax(-1)
            tokens = torch.tensor(column, device=device)[:, None]
            total += log_p.gather(1, tokens)
            read_so_far = torch.cat([read_so_far, tokens], dim=1)
            # A network without keys and values reads all anew.
            logits, past = read(network, tokens if past else read_so_far, past)
        return (total + logits.float().log_softmax(-1)).cpu().numpy()

    def _digest(self, prompt: str, beginnings: Sequence[str]) -> str:
        digest = hashlib.sha256()
        for name, parameter in self._model.network.named_parameters():
            some = parameter.detach().flatten()[:64].float().cpu().numpy()
            digest.update(name.encode() + some.tobytes())
        digest.update("\n".join([prompt, "", *beginnings]).encode())
        return digest.hexdigest()[:32]
