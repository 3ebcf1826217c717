"""Mode "packed+global": packed segments with the paper's subtraction from one unmasked branch.

The paper subtracts what a segment's own class token would see unmasked, so each segment needs a
sequence of its own. Here all segments of a picture share one unmasked sequence: in every masked
block, the class token's row of its attention is subtracted, weighted by the cosines between its
attention and the same multiplied by each segment's mask.

That is an approximation, since a segment's tokens come to differ from the unmasked ones. In the
first masked block they don't yet, so with one masked block the result is the paper's exactly.
"""

from __future__ import annotations

from typing import Any

import torch

from zeroguide.clip.attention import (
    attention_weights,
    closeness,
    finish_block,
    project,
    slots,
    split_heads,
    spread,
    subtraction_weight,
    with_class_token,
)
from zeroguide.clip.packed import embed_packed


def embed_packed_global(
    visual: Any,
    tokens: torch.Tensor,
    masks: torch.Tensor,
    owner: torch.Tensor,
    *,
    masked_blocks: int,
    sd: float,
) -> torch.Tensor:
    """Embeddings of segments, not normalised: (n, e) float32.

    Args:
        visual: a tower that `towers.has_class_token` accepts.
        tokens: (B, 1 + h*w, d), pictures on entering the masked blocks.
        masks: (n, h*w) in [0, 1], the share of each token that belongs to the segment.
        owner: (n,) int64, the segments' pictures, 0..B-1.
        masked_blocks: the mask acts in the last n blocks.
        sd: spread of the subtraction.
    """
    shares = with_class_token(masks)
    places, width = slots(owner, len(tokens))
    shares = spread(shares, owner, places, len(tokens), width)  # (B, s, T)
    blocks = visual.transformer.resblocks[-masked_blocks:]
    subtracted = []
    x = tokens
    for i, block in enumerate(blocks):
        qkv = project(block.attn, block.ln_1(x))
        q, k, v = split_heads(qkv, 3, block.attn.num_heads)
        weights = attention_weights(q, k)  # (B, heads, T, T)
        rows = 1 if i == len(blocks) - 1 else x.shape[1]
        attended = (weights[:, :, :rows] @ v).transpose(1, 2).flatten(2)  # (B, rows, d)
        weight = subtraction_weight(closeness(weights, shares), sd)  # (B, s)
        subtracted.append(weight[owner, places][:, None] * attended[owner, 0])
        if rows > 1:
            x = finish_block(block, x, attended)
    return embed_packed(
        visual, tokens, masks, owner, masked_blocks=masked_blocks, subtracted=subtracted
    )
