"""One token of ZeroCap: keys and values of the context are shifted along normalised gradients.

Rows are contexts of equal length; none depends on another. Weights are never touched, and
gradients are taken with respect to the shifts alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from zeroguide.name.cache import KeysAndValues, read

_TEMPERATURE = 0.01
_CLIP_SCALE = 1.0
_CE_SCALE = 0.2
_STEP = 0.3
_NORM_FACTOR = 0.9

Cosines = Callable[[torch.Tensor], torch.Tensor]
"""Tokens (rows, k) -> cosines (rows, k) of each row's segment with its context and the token."""


@dataclass(frozen=True)
class Shifted:
    """What the language model says after the shift.

    logits: (rows, v), after the shift. plain: (rows, v), log-probabilities without it. memory: of
    the whole context, without the shift. clip_losses: (iterations, rows).
    """

    logits: torch.Tensor
    plain: torch.Tensor
    memory: KeysAndValues
    clip_losses: torch.Tensor


def step(
    network: Any, last: torch.Tensor, memory: KeysAndValues
) -> tuple[torch.Tensor, KeysAndValues]:
    """Logits (rows, v) after the tokens `last` (rows,), and the memory with them; differentiable.

    Logits are float32, or float64 if the network is.
    """
    logits, after = read(network, last[:, None], memory)
    assert after is not None  # as it was after the prompt
    return logits.to(_wide(logits)), after


def shift(
    network: Any,
    last: torch.Tensor,
    memory: KeysAndValues,
    cosines: Cosines,
    *,
    iterations: int,
    n_candidates: int,
) -> Shifted:
    """Shift the memory of the contexts towards what CLIP prefers, and read the next logits.

    Every iteration takes a step of 0.3 along the gradient of

        CE(target || p) + 0.2 KL(p || p without shift),

    for every row, layer, and keys and values apart, divided by its norm to the power 0.9. The
    target is softmax(cosine / 0.01) over the row's most likely tokens at that iteration.

    Args:
        last: (rows,) int64, the contexts' last tokens.
        memory: of the contexts without their last tokens.
        iterations: at least 1.
        n_candidates: tokens of the target.
    """
    deltas = [torch.zeros_like(x, dtype=_wide(x)) for x in memory]
    losses = []
    for i in range(iterations):
        with torch.enable_grad():
            leaves = [delta.requires_grad_() for delta in deltas]
            logits, after = step(network, last, _add(memory, leaves))
        log_p = logits.detach().log_softmax(-1)
        if i == 0:  # nothing is shifted yet
            plain = log_p
            longer = [
                torch.cat([old, new[:, :, -1:].detach()], dim=2)
                for old, new in zip(memory, after, strict=True)
            ]
        loss, slope = _objective(log_p, plain, cosines, n_candidates)
        losses.append(loss)
        gradients = torch.autograd.grad(logits, leaves, slope)
        deltas = [
            delta.detach() - _STEP * _normalised(gradient)
            for delta, gradient in zip(leaves, gradients, strict=True)
        ]
    logits, _ = step(network, last, _add(memory, deltas))
    return Shifted(logits, plain, longer, torch.stack(losses))


def _objective(
    log_p: torch.Tensor, plain: torch.Tensor, cosines: Cosines, n_candidates: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """CLIP loss (rows,), and the whole loss's gradient with respect to the logits (rows, v).

    Written out, because with it the graph ends at the logits: the cross-entropy gives p - target,
    the divergence p (log p - log plain - KL).
    """
    top = log_p.topk(min(n_candidates, log_p.shape[1]), dim=-1)
    target = (cosines(top.indices) / _TEMPERATURE).softmax(-1).to(log_p.dtype)  # (rows, k)
    loss = -(target * top.values).sum(-1)
    p = log_p.exp()
    ratio = log_p - plain
    divergence = (p * ratio).sum(-1, keepdim=True)
    slope = p * (_CLIP_SCALE + _CE_SCALE * (ratio - divergence))
    return loss, slope.scatter_add(1, top.indices, -_CLIP_SCALE * target)


def _normalised(gradient: torch.Tensor) -> torch.Tensor:
    norm = gradient.flatten(1).norm(dim=1) + 1e-15  # (rows,)
    return gradient / norm[:, None, None, None] ** _NORM_FACTOR


def _add(memory: KeysAndValues, deltas: KeysAndValues) -> KeysAndValues:
    return [(x + delta).to(x.dtype) for x, delta in zip(memory, deltas, strict=True)]


def _wide(x: torch.Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)
