"""Pieces of a transformer block that the modes arrange differently."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

# Rows of an attention's input projection: a third each.
QUERIES, KEYS_VALUES, ALL = slice(0, 1), slice(1, 3), slice(0, 3)


def project(attention: nn.MultiheadAttention, x: torch.Tensor, parts: slice = ALL) -> torch.Tensor:
    """Queries, keys and values side by side, or only some of them.

    Args:
        x: (B, L, d), already layer-normalised.
        parts: QUERIES, KEYS_VALUES or ALL.

    Returns:
        (B, L, p*d) for p parts.
    """
    d = x.shape[-1]
    rows = slice(parts.start * d, parts.stop * d)
    return F.linear(x, attention.in_proj_weight[rows], attention.in_proj_bias[rows])


def split_heads(projected: torch.Tensor, parts: int, heads: int) -> tuple[torch.Tensor, ...]:
    """(B, L, p*d) -> p tensors of (B, heads, L, d/heads)."""
    b, length, width = projected.shape
    split = projected.view(b, length, parts, heads, width // parts // heads)
    return split.permute(2, 0, 3, 1, 4).unbind(0)


def attention_weights(q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """Ordinary attention, rows of sum 1: (B, heads, L, dh) twice -> (B, heads, L, L) float32."""
    scale = q.shape[-1] ** -0.5
    return ((q * scale) @ k.transpose(-2, -1)).softmax(dim=-1, dtype=torch.float32)


def closeness(weights: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """How alike masked and unmasked attention are: mean cosine over heads and rows, (B, s).

    For rows A of the attention and M = A * m, whatever M is scaled by, the cosine is
    sum(A^2 m) / sqrt(sum(A^2 m^2) sum(A^2)): all three sums are one product with A^2.

    Args:
        weights: (B, heads, T, T) float32.
        shares: (B, s, T) float32, masks m of s segments.
    """
    s = shares.shape[1]
    columns = torch.cat([shares, shares.square(), torch.ones_like(shares[:, :1])], dim=1)
    with torch.autocast(weights.device.type, enabled=False):  # a ratio of sums wants all digits
        sums = weights.square() @ columns.transpose(1, 2)[:, None]  # (B, heads, T, 2s + 1)
    dot, norm, whole = sums.split([s, s, 1], dim=-1)
    smallest = torch.finfo(sums.dtype).tiny  # rows may vanish in float32, as may their cosine
    cosine = dot / (norm.sqrt() * whole.sqrt()).clamp(min=smallest)
    return cosine.mean(dim=(1, 2))


def subtraction_weight(closeness: torch.Tensor, sd: float) -> torch.Tensor:
    """The paper's w = exp(-(c + 1)^2 / sd): how much of the global attention is taken away."""
    return torch.exp(-((closeness + 1) ** 2) / sd)


def finish_block(block: Any, x: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
    """The rest of a block: output projection, residual and MLP.

    Args:
        x: the block's input, (..., d). attended: heads joined, before the projection, (..., d).
    """
    x = x + block.ls_1(block.attn.out_proj(attended))
    return x + block.ls_2(block.mlp(block.ln_2(x)))


def with_class_token(masks: torch.Tensor, prefix: int = 1) -> torch.Tensor:
    """Shares of all tokens: those before the patches belong to every segment.

    (n, h*w) -> (n, prefix + h*w) float32.
    """
    return F.pad(masks.float(), (prefix, 0), value=1.0)


def slots(owner: torch.Tensor, n_owners: int) -> tuple[torch.Tensor, int]:
    """Where rows go that are gathered by owner: each one's place among its owner's rows.

    Args:
        owner: (n,) int64 in 0..n_owners-1, in any order.

    Returns:
        (n,) places from 0, in the order of the rows, and the most rows that an owner has.
    """
    counts = torch.bincount(owner, minlength=n_owners)
    order = owner.argsort(stable=True)
    sorted_places = torch.arange(len(owner), device=owner.device)
    sorted_places = sorted_places - (counts.cumsum(0) - counts)[owner[order]]
    places = torch.empty_like(owner)
    places[order] = sorted_places
    return places, int(counts.max())


def spread(
    values: torch.Tensor, owner: torch.Tensor, places: torch.Tensor, n_owners: int, width: int
) -> torch.Tensor:
    """Rows by owner and place, (n, ...) -> (n_owners, width, ...); zeros where none are."""
    out = values.new_zeros(n_owners, width, *values.shape[1:])
    out[owner, places] = values
    return out
