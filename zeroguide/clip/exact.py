"""Mode "exact": the paper's masked attention with global subtraction, a sequence per segment.

Rewatbowornwong et al., "Zero-guidance segmentation using zero segment labels" (ICCV 2023). In the
last blocks of the tower, with A the ordinary attention of a head and m a segment's mask, M = A * m
with rows renormalised to sum 1. From every row of M, w times the class token's row of A is taken,
where w = exp(-(c + 1)^2 / sd) and c is the mean cosine, over heads and rows, of M and A.

M is never formed: M v = A (m v) / (A m). The first masked block's attention is the same for all
segments of an image and is computed once; of the last one only the class token's row is needed.
"""

from __future__ import annotations

from typing import Any

import torch

from zeroguide.clip.attention import (
    Padding,
    attention_weights,
    cosine_to_unmasked,
    finish_block,
    project,
    split_heads,
    subtraction_weight,
    with_class_token,
)
from zeroguide.clip.towers import finish

# On a CPU, a pass has about this many attention weights at most: more than that fall out of its
# caches, and every step of the cosine waits for the memory.
_CACHED = 8_000_000


def embed_exact(
    visual: Any,
    tokens: torch.Tensor,
    masks: torch.Tensor,
    image_of: torch.Tensor,
    *,
    masked_blocks: int,
    sd: float,
    batch_size: int = 16,
) -> torch.Tensor:
    """Embeddings of segments, not normalised: (n, e) float32.

    Args:
        visual: a tower that `towers.has_class_token` accepts.
        tokens: (B, 1 + h*w, d), images on entering the masked blocks.
        masks: (n, h*w) in [0, 1], soft masks: the share of each patch that belongs to the segment.
        image_of: (n,) int64, the segments' images, 0..B-1.
        masked_blocks: the mask acts in the last n blocks.
        sd: spread of the subtraction. (Without subtraction, `embed_packed` gives the same.)
        batch_size: segments per pass; memory only.
    """
    masks = with_class_token(masks)  # (n, T)
    blocks = visual.transformer.resblocks[-masked_blocks:]
    attention = blocks[0].attn
    qkv = project(attention, blocks[0].ln_1(tokens))  # (B, T, 3*d), alike for all segments
    if tokens.device.type == "cpu":
        per_segment = attention.num_heads * tokens.shape[1] ** 2
        batch_size = min(batch_size, max(1, _CACHED // per_segment))
    order = image_of.argsort(stable=True)  # so that a pass sees few images
    passes = []
    for chosen in order.split(batch_size):
        images, local = image_of[chosen].unique(return_inverse=True)
        x = _masked_blocks(blocks, tokens[images], qkv[images], masks[chosen], local, sd)
        passes.append(finish(visual, x))  # (batch, e)
    embeddings = torch.cat(passes)
    return torch.empty_like(embeddings).index_copy_(0, order, embeddings)


def _masked_blocks(
    blocks: Any,
    tokens: torch.Tensor,
    qkv: torch.Tensor,
    masks: torch.Tensor,
    image_of: torch.Tensor,
    sd: float,
) -> torch.Tensor:
    """The class token of every segment after the last block: (n, d).

    Args:
        tokens, qkv: (B, T, d) and (B, T, 3*d), input and projections of the first masked block.
        masks: (n, T). image_of: (n,).
    """
    padding = Padding(image_of, len(tokens))
    x, of_sequence = tokens, padding.pad(masks)  # (B, T, d), (B, s, T)
    for i, block in enumerate(blocks):
        rows = 1 if i == len(blocks) - 1 else x.shape[1]
        if i > 0:
            qkv = project(block.attn, block.ln_1(x))  # (n, T, 3*d)
        q, k, v = split_heads(qkv, 3, block.attn.num_heads)  # (B or n, heads, T, dh)
        attended = masked_attention(q, k, v, of_sequence, sd, rows)  # (B or n, s or 1, rows, d)
        if i == 0:  # from here on every segment has a sequence of its own
            attended, x, of_sequence = padding.unpad(attended), x[image_of], masks[:, None]
        else:
            attended = attended[:, 0]
        x = finish_block(block, x[:, :rows], attended)  # (n, rows, d)
    return x[:, 0]


def masked_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    masks: torch.Tensor,
    sd: float,
    rows: int,
) -> torch.Tensor:
    """The paper's attention of s segments in each of B sequences, before the output projection.

    Args:
        q, k, v: (B, heads, T, dh), class token first.
        masks: (B, s, T) float32 in [0, 1], soft masks, 1 for the class token.
        sd: spread of the subtraction.
        rows: only the first rows of the output are wanted.

    Returns:
        (B, s, rows, heads * dh).
    """
    b, heads, _, dh = v.shape
    s = masks.shape[1]
    weights = attention_weights(q, k)  # (B, heads, T, T)
    seen = weights[:, :, :rows]  # (B, heads, rows, T)
    columns = masks.transpose(1, 2)[:, None]  # (B, 1, T, s)
    masked_values = (columns[..., None] * v[:, :, :, None]).flatten(3)  # (B, heads, T, s*dh)
    total = (seen @ columns).clamp(min=torch.finfo(torch.float32).tiny)  # (B, heads, rows, s)
    out = (seen @ masked_values).view(b, heads, rows, s, dh) / total[..., None]
    whole = weights[:, :, :1] @ v  # (B, heads, 1, dh): what the class token sees unmasked
    weight = subtraction_weight(cosine_to_unmasked(weights, masks), sd)  # (B, s)
    out = out - weight[:, None, None, :, None] * whole[:, :, :, None]
    return out.permute(0, 3, 2, 1, 4).reshape(b, s, rows, heads * dh)
