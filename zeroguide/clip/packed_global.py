"""Mode "packed+global": packed segments with the paper's subtraction from one unmasked branch.

The paper subtracts what a segment's own class token would see unmasked, so each segment needs a
sequence of its own. Here all segments of an image share one unmasked sequence: in every masked
block, the class token's row of its attention is subtracted, weighted by the cosines between its
attention and the same multiplied by each segment's mask.

That is an approximation, since a segment's tokens come to differ from the unmasked ones. In the
first masked block they don't yet, so with one masked block the result is the paper's exactly.
"""

from __future__ import annotations

from typing import Any

import torch

from zeroguide.clip import attention as at
from zeroguide.clip.packed import embed_packed


def embed_packed_global(
    visual: Any,
    tokens: torch.Tensor,
    masks: torch.Tensor,
    image_of: torch.Tensor,
    *,
    masked_blocks: int,
    sd: float,
) -> torch.Tensor:
    """Embeddings of segments, not normalised: (n, e) float32; arguments as of `embed_exact`."""
    padding = at.Padding(image_of, len(tokens))
    padded = padding.pad(at.with_class_token(masks))  # (B, s, T)
    blocks = visual.transformer.resblocks[-masked_blocks:]
    subtracted = []
    x = tokens
    for i, block in enumerate(blocks):
        qkv = at.project(block.attn, block.ln_1(x))  # (B, T, 3*d)
        q, k, v = at.split_heads(qkv, 3, block.attn.num_heads)  # (B, heads, T, dh)
        weights = at.attention_weights(q, k)  # (B, heads, T, T)
        rows = 1 if i == len(blocks) - 1 else x.shape[1]
        attended = (weights[:, :, :rows] @ v).transpose(1, 2).flatten(2)  # (B, rows, d)
        weight = at.subtraction_weight(at.cosine_to_unmasked(weights, padded), sd)  # (B, s)
        subtracted.append(padding.unpad(weight)[:, None] * attended[image_of, 0])  # (n, d)
        if rows > 1:
            x = at.finish_block(block, x, attended)
    return embed_packed(
        visual, tokens, masks, image_of, masked_blocks=masked_blocks, subtracted=subtracted
    )
