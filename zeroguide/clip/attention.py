"""Pieces of a transformer block that the modes arrange differently."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

# Thirds of an attention's input projection.
Q, KV, QKV = slice(0, 1), slice(1, 3), slice(0, 3)


def project(attention: nn.MultiheadAttention, x: torch.Tensor, thirds: slice = QKV) -> torch.Tensor:
    """Queries, keys and values side by side, or some of them: (B, T, d) -> (B, T, p*d).

    Args:
        x: already layer-normalised.
        thirds: Q, KV or QKV: p is 1, 2 or 3.
    """
    d = x.shape[-1]
    rows = slice(thirds.start * d, thirds.stop * d)
    return F.linear(x, attention.in_proj_weight[rows], attention.in_proj_bias[rows])


def split_heads(projected: torch.Tensor, p: int, heads: int) -> tuple[torch.Tensor, ...]:
    """(B, T, p*d) -> p tensors of (B, heads, T, d/heads)."""
    b, t, width = projected.shape
    split = projected.view(b, t, p, heads, width // p // heads)
    return split.permute(2, 0, 3, 1, 4).unbind(0)


def attention_weights(q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """Ordinary attention, rows of sum 1: (B, heads, L, dh) twice -> (B, heads, L, L) float32."""
    scale = q.shape[-1] ** -0.5
    return ((q * scale) @ k.transpose(-2, -1)).softmax(dim=-1, dtype=torch.float32)


def cosine_to_unmasked(weights: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """How alike masked and unmasked attention are: mean cosine over heads and rows, (B, s).

    For rows A of the attention and M = A * m, whatever M is scaled by, the cosine is
    sum(A^2 m) / sqrt(sum(A^2 m^2) sum(A^2)): all three sums are one product with A^2.

    Args:
        weights: (B, heads, T, T) float32.
        masks: (B, s, T) float32, soft masks m of s segments.
    """
    s = masks.shape[1]
    columns = torch.cat([masks, masks.square(), torch.ones_like(masks[:, :1])], dim=1)
    with torch.autocast(weights.device.type, enabled=False):  # a ratio of sums wants all digits
        sums = weights.square() @ columns.transpose(1, 2)[:, None]  # (B, heads, T, 2s + 1)
    dot, norm, whole = sums.split([s, s, 1], dim=-1)
    smallest = torch.finfo(sums.dtype).tiny  # rows may vanish in float32, as may their cosine
    cosine = dot / (norm.sqrt() * whole.sqrt()).clamp(min=smallest)  # (B, heads, T, s)
    return cosine.mean(dim=(1, 2))


def subtraction_weight(cosine: torch.Tensor, sd: float) -> torch.Tensor:
    """The paper's w = exp(-(c + 1)^2 / sd): how much of the global attention is taken away."""
    return torch.exp(-((cosine + 1) ** 2) / sd)


def finish_block(block: Any, x: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
    """The rest of a block: output projection, residual and MLP.

    Args:
        x: the block's input, (..., d). attended: heads joined, before the projection, (..., d).
    """
    x = x + block.ls_1(block.attn.out_proj(attended))
    return x + block.ls_2(block.mlp(block.ln_2(x)))


def with_class_token(masks: torch.Tensor, prefix: int = 1) -> torch.Tensor:
    """Soft masks over all tokens: those before the patches belong to every segment.

    (n, h*w) -> (n, prefix + h*w) float32.
    """
    return F.pad(masks.float(), (prefix, 0), value=1.0)


class Padding:
    """Rows in any order <-> the same by image, padded with zeros: (n, ...) <-> (B, s, ...).

    Args:
        image_of: (n,) int64 in 0..B-1.
        n_images: B. s is the most rows that an image has.
    """

    def __init__(self, image_of: torch.Tensor, n_images: int) -> None:
        counts = torch.bincount(image_of, minlength=n_images)
        order = image_of.argsort(stable=True)
        first = (counts.cumsum(0) - counts)[image_of[order]]
        self.slots = torch.empty_like(image_of)  # (n,): a row's number among its image's
        self.slots[order] = torch.arange(len(image_of), device=image_of.device) - first
        self.image_of = image_of
        self.shape = n_images, int(counts.max())  # B, s

    def pad(self, rows: torch.Tensor) -> torch.Tensor:
        """(n, ...) -> (B, s, ...)."""
        padded = rows.new_zeros(*self.shape, *rows.shape[1:])
        padded[self.image_of, self.slots] = rows
        return padded

    def unpad(self, padded: torch.Tensor) -> torch.Tensor:
        """(B, s, ...) -> (n, ...)."""
        return padded[self.image_of, self.slots]
