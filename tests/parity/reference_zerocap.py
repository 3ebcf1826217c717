"""ZeroCap, plain and slow: one segment, one beam, one text tower pass over the whole context.

Written straight from the definitions (Tewel et al., "ZeroCap", CVPR 2022, as zero-guidance
segmentation uses it): what `zeroguide.name.zerocap` must equal. Nothing is remembered, nothing
is shared. It computes in the precision of the networks it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import DynamicCache

from zeroguide.models import Clip, LanguageModel
from zeroguide.name.zerocap.tokens import Tokens

Cache = list[list[torch.Tensor]]
"""Keys and values of every layer."""


@dataclass(frozen=True)
class Settings:
    prompt: str = "Image of a"
    beam_size: int = 5
    n_candidates: int = 512
    max_tokens: int = 15
    iterations: int = 5
    forbidden: tuple[int, ...] = ()
    temperature: float = 0.01
    clip_scale: float = 1.0
    ce_scale: float = 0.2
    step_size: float = 0.3
    norm_factor: float = 0.9
    fusion: float = 0.99
    end_factor: float = 1.01
    start_factor: float = 1.6
    forbidden_factor: float = 20.0


@dataclass
class Step:
    """What happened at one token: rows are beams."""

    contexts: list[list[int]]
    clip_losses: list[list[float]] = field(default_factory=list)
    gradients: list[Cache] = field(default_factory=list)
    """Of every iteration, before they are normalised; one beam after the other."""
    probs: torch.Tensor = field(default_factory=lambda: torch.empty(0))


def generate(
    clip: Clip,
    language_model: LanguageModel,
    segment: torch.Tensor,
    *,
    prompt: str,
    forbidden: Sequence[int] | None = None,
    **knobs: int,
) -> list[str]:
    """Texts for one unit embedding (e,), the best first; `forbidden` None: the decoder's rule."""
    if forbidden is None:
        forbidden = Tokens(language_model, prompt).forbidden().tolist()
    settings = Settings(prompt=prompt, forbidden=tuple(forbidden), **knobs)
    plain = PlainZeroCap(
        clip.network, clip.tokenize, language_model.network, language_model.tokenizer, settings
    )
    return plain.generate(segment)[0]


class PlainZeroCap:
    """clip: an open_clip CLIP; lm: a transformers causal language model."""

    def __init__(self, clip: Any, tokenize: Any, lm: Any, tokenizer: Any, s: Settings) -> None:
        self.clip, self.tokenize, self.lm, self.tokenizer, self.s = clip, tokenize, lm, tokenizer, s
        self.bos = tokenizer.bos_token
        self.end = tokenizer.encode(".", add_special_tokens=False)[0]
        self.device = next(lm.parameters()).device
        for network in (clip, lm):
            network.requires_grad_(False)

    def generate(self, segment: torch.Tensor) -> tuple[list[str], list[Step]]:
        """(e,) unit embedding -> texts, the best first, and all steps."""
        s = self.s
        prompt = self.tokenizer.encode(self.bos + s.prompt, add_special_tokens=False)
        beams: list[tuple[list[int], float, int, bool]] = [(prompt, 0.0, 0, False)]
        steps = []
        for i in range(s.max_tokens):
            step = Step([tokens for tokens, *_ in beams])
            rows = [self.fused(i, tokens, segment, step) for tokens in step.contexts]
            step.probs = torch.stack(rows)
            step.probs = step.probs / step.probs.sum()
            logs = step.probs.log()
            options = []
            for b, (_, score, length, stopped) in enumerate(beams):
                if stopped:
                    options.append((score / length, b, 0, score, length))
                    continue
                top = logs[b].topk(s.beam_size)
                for log_prob, token in zip(top.values.tolist(), top.indices.tolist(), strict=True):
                    total = score + log_prob
                    options.append((total / (length + 1), b, token, total, length + 1))
            options.sort(key=lambda option: -option[0])
            beams = [
                ([*beams[b][0], token], total, length, beams[b][3] or token == self.end)
                for _, b, token, total, length in options[: s.beam_size]
            ]
            steps.append(step)
            if all(stopped for *_, stopped in beams):
                break
        texts = [
            self.tokenizer.decode(tokens[len(prompt) : len(prompt) + length])
            for tokens, _, length, _ in sorted(beams, key=lambda beam: -beam[1] / beam[2])
        ]
        return texts, steps

    def fused(self, i: int, tokens: list[int], segment: torch.Tensor, step: Step) -> torch.Tensor:
        """Probabilities of the token after one context, not yet divided by their sum: (v,)."""
        s = self.s
        context = self.context(tokens[:-1])
        plain = self.lm(self.ids(tokens)).logits[0, -1].softmax(-1)
        delta: Cache = [[torch.zeros_like(x) for x in layer] for layer in context]
        for n in range(s.iterations):
            if len(step.clip_losses) == n:
                step.clip_losses.append([])
            clip_loss, gradient = self.gradient(tokens, context, delta, plain, segment)
            step.clip_losses[n].append(clip_loss)
            step.gradients.append(gradient)
            delta = [
                [d - self.normalised(g) for d, g in zip(*layers, strict=True)]
                for layers in zip(delta, gradient, strict=True)
            ]
        logits = self.next_logits(tokens[-1], context, delta).detach().clone()
        # Made likelier or less likely, whatever the logit's sign.
        end = logits[self.end]
        if i >= 1:
            logits[self.end] = end * s.end_factor if end > 0 else end / s.end_factor
        if i == 0:
            logits[self.end] = end / s.start_factor if end > 0 else end * s.start_factor
        for token in s.forbidden:
            x = logits[token]
            logits[token] = x / s.forbidden_factor if x > 0 else x * s.forbidden_factor
        return logits.softmax(-1) ** s.fusion * plain ** (1 - s.fusion)

    def ids(self, tokens: list[int]) -> torch.Tensor:
        return torch.tensor([tokens], device=self.device)

    def normalised(self, gradient: torch.Tensor) -> torch.Tensor:
        norm = gradient.norm() + 1e-15
        return self.s.step_size * gradient / norm**self.s.norm_factor

    def context(self, tokens: list[int]) -> Cache:
        cache = DynamicCache()
        self.lm(self.ids(tokens), past_key_values=cache)
        return [[layer.keys, layer.values] for layer in cache.layers]

    def next_logits(self, last: int, context: Cache, delta: Cache) -> torch.Tensor:
        cache = DynamicCache()
        for n, (layer, shift) in enumerate(zip(context, delta, strict=True)):
            cache.update(layer[0] + shift[0], layer[1] + shift[1], n)
        return self.lm(self.ids([last]), past_key_values=cache).logits[0, -1]

    def gradient(
        self,
        tokens: list[int],
        context: Cache,
        delta: Cache,
        plain: torch.Tensor,
        segment: torch.Tensor,
    ) -> tuple[float, Cache]:
        """CLIP loss, and the whole loss's gradient with respect to the shift."""
        s = self.s
        delta = [[d.clone().requires_grad_() for d in layer] for layer in delta]
        probs = self.next_logits(tokens[-1], context, delta).softmax(-1)
        top = probs.topk(s.n_candidates).indices
        target = torch.zeros_like(probs)
        target[top] = self.target(tokens, top.tolist(), segment)
        clip_loss = -(target * probs.log()).sum()
        ce_loss = (probs * (probs.log() - plain.log())).sum()
        (s.clip_scale * clip_loss + s.ce_scale * ce_loss).backward()
        # Every shift takes part in the loss, so none is without a gradient.
        return clip_loss.item(), [[d.grad for d in layer if d.grad is not None] for layer in delta]

    def target(self, tokens: list[int], top: list[int], segment: torch.Tensor) -> torch.Tensor:
        prefix = self.tokenizer.decode(tokens).replace(self.bos, "")
        texts = [prefix + self.tokenizer.decode([token]) for token in top]
        with torch.no_grad():
            features = self.clip.encode_text(self.tokenize(texts).to(self.device))
            features = features / features.norm(dim=-1, keepdim=True)
            return (features @ segment.to(features.dtype) / self.s.temperature).softmax(-1)
