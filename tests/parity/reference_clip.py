"""Masked CLIP embeddings straight from their definitions: float64, one head and row at a time.

Slow and plain on purpose: what `zeroguide.clip` arranges cleverly is compared with this. Only
what isn't about masks is the network's own: layer norms, MLPs, projections.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import torch


def in_float64(network: torch.nn.Module) -> Any:
    """A copy of a network to give to the other functions."""
    return copy.deepcopy(network).double()


def tokens(visual: Any, images: torch.Tensor, n_masked: int) -> torch.Tensor:
    """The class token and the patches on entering the last blocks: (B, 1 + h*w, d)."""
    x = visual._embeds(images.double())
    for block in list(visual.transformer.resblocks)[: -n_masked or None]:
        x = block(x)
    return x


def token_share(label_map: np.ndarray, part: int, box: tuple[float, ...], side: float) -> list:
    """The share of every token of a square grid that belongs to a part, pixel by pixel.

    box: top, left, height and width of the picture in units of tokens, `side` tokens to a row.
    """
    top, left, tall, wide = box
    height, width = label_map.shape
    shares = []
    for row in range(int(side)):
        for column in range(int(side)):
            share = 0.0
            for y in range(height):
                for x in range(width):
                    if label_map[y, x] != part:
                        continue
                    down = overlap(row, top + y * tall / height, top + (y + 1) * tall / height)
                    across = overlap(column, left + x * wide / width, left + (x + 1) * wide / width)
                    share += down * across
            shares.append(share)
    return shares


def overlap(cell: int, low: float, high: float) -> float:
    """How much of the cell from `cell` to `cell + 1` the span from low to high covers."""
    return max(0.0, min(high, cell + 1) - max(low, cell))


def heads_of(attention: Any, x: torch.Tensor) -> list[tuple[torch.Tensor, ...]]:
    """Per head its queries, keys and values: (T, dh) each."""
    q, k, v = (x @ attention.in_proj_weight.T + attention.in_proj_bias).chunk(3, dim=1)
    size = q.shape[1] // attention.num_heads
    parts = [slice(h * size, (h + 1) * size) for h in range(attention.num_heads)]
    return [(q[:, part], k[:, part], v[:, part]) for part in parts]


def row_of(query: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """One row of attention: softmax of the scaled scores."""
    weights = (keys @ query / math.sqrt(len(query))).exp()
    return weights / weights.sum()


def masked(row: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """A row of attention times the mask, renormalised."""
    return row * mask / (row * mask).sum()


def cosine(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Of the angle between two rows."""
    return (a @ b) / (a.norm() * b.norm())


def weight(closeness: torch.Tensor, sd: float) -> torch.Tensor:
    """w = exp(-(c + 1)^2 / sd)."""
    return torch.exp(-((closeness + 1) ** 2) / sd)


def rest_of(block: Any, x: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
    """What follows a block's attention."""
    x = x + block.ls_1(attended @ block.attn.out_proj.weight.T + block.attn.out_proj.bias)
    return x + block.ls_2(block.mlp(block.ln_2(x)))


def read_out(visual: Any, x: torch.Tensor) -> torch.Tensor:
    """The embedding of a finished sequence."""
    return visual.ln_post(x[0]) @ visual.proj


def exact(
    visual: Any, x: torch.Tensor, mask: torch.Tensor, n_masked: int, sd: float | None
) -> torch.Tensor:
    """The paper's embedding of one segment; sd None: the mask alone.

    x: (1 + h*w, d), from `tokens`. mask: (h*w,).
    """
    mask = torch.cat([torch.ones(1), mask]).double()
    for block in list(visual.transformer.resblocks)[-n_masked:]:
        heads = heads_of(block.attn, block.ln_1(x))
        plain = [[row_of(query, k) for query in q] for q, k, _ in heads]
        kept = [[masked(row, mask) for row in rows] for rows in plain]
        cosines = [
            cosine(m, a)
            for own, rows in zip(kept, plain, strict=True)
            for m, a in zip(own, rows, strict=True)
        ]
        w = 0.0 if sd is None else weight(torch.stack(cosines).mean(), sd)
        attended = [
            torch.stack([(m - w * rows[0]) @ v for m in own])
            for own, rows, (_, _, v) in zip(kept, plain, heads, strict=True)
        ]
        x = rest_of(block, x, torch.cat(attended, dim=1))
    return read_out(visual, x)


def packed_global(
    visual: Any, x: torch.Tensor, mask: torch.Tensor, n_masked: int, sd: float
) -> torch.Tensor:
    """One segment's embedding, the subtraction's row and weight from an unmasked branch."""
    mask = torch.cat([torch.ones(1), mask]).double()
    whole = x
    for block in list(visual.transformer.resblocks)[-n_masked:]:
        cosines, rows_of_class, whole_attended = [], [], []
        for q, k, v in heads_of(block.attn, block.ln_1(whole)):
            rows = [row_of(query, k) for query in q]
            cosines += [cosine(masked(row, mask), row) for row in rows]
            rows_of_class.append(rows[0] @ v)
            whole_attended.append(torch.stack([row @ v for row in rows]))
        w = weight(torch.stack(cosines).mean(), sd)
        attended = [
            torch.stack([masked(row_of(query, k), mask) @ v - w * row for query in q])
            for (q, k, v), row in zip(
                heads_of(block.attn, block.ln_1(x)), rows_of_class, strict=True
            )
        ]
        x = rest_of(block, x, torch.cat(attended, dim=1))
        whole = rest_of(block, whole, torch.cat(whole_attended, dim=1))
    return read_out(visual, x)


def pooled_coca(visual: Any, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """One segment of a CoCa tower: the first query's attention to finished tokens, masked."""
    pooler, attention = visual.attn_pool, visual.attn_pool.attn
    mask = torch.cat([torch.ones(1), mask]).double()
    context = pooler.ln_k(x)
    biases = attention.in_proj_bias.chunk(3)
    q = pooler.ln_q(pooler.query)[0] @ attention.q_proj_weight.T + biases[0]
    k = context @ attention.k_proj_weight.T + biases[1]
    v = context @ attention.v_proj_weight.T + biases[2]
    attended = masked_heads(q, k, v, attention.num_heads, mask)
    pooled = attended @ attention.out_proj.weight.T + attention.out_proj.bias
    return visual.ln_post(pooled) @ visual.proj


def pooled_timm(visual: Any, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """One segment of a timm tower with a pooling attention; x: (p + h*w, d), p prefix tokens."""
    pooler = visual.trunk.attn_pool
    mask = torch.cat([torch.ones(len(x) - len(mask)), mask]).double()
    q = pooler.latent[0, 0] @ pooler.q.weight.T + pooler.q.bias
    k, v = (x @ pooler.kv.weight.T + pooler.kv.bias).chunk(2, dim=1)
    attended = masked_heads(q, k, v, pooler.num_heads, mask)
    pooled = attended @ pooler.proj.weight.T + pooler.proj.bias
    return visual.head(pooled + pooler.mlp(pooler.norm(pooled)))


def masked_heads(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, n_heads: int, mask: torch.Tensor
) -> torch.Tensor:
    """One query's masked attention, heads joined: (d,)."""
    size = len(q) // n_heads
    parts = [slice(h * size, (h + 1) * size) for h in range(n_heads)]
    return torch.cat([masked(row_of(q[p], k[:, p]), mask) @ v[:, p] for p in parts])


def crop(pixels: np.ndarray, mask: np.ndarray, colour: tuple[float, ...]) -> np.ndarray:
    """A segment in the middle of a square of one colour: (s, s, 3) uint8, pixel by pixel."""
    ys, xs = np.nonzero(mask)
    height, width = ys.max() - ys.min() + 1, xs.max() - xs.min() + 1
    side = max(height, width)
    square = np.empty((side, side, 3), np.uint8)
    for channel in range(3):
        square[..., channel] = round(colour[channel] * 255)
    for y, x in zip(ys, xs, strict=True):
        down, across = (side - height) // 2 - ys.min(), (side - width) // 2 - xs.min()
        square[y + down, x + across] = pixels[y, x]
    return square
