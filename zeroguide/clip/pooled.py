"""Mode "pooled": only the tower's last pooling is masked.

One ordinary pass serves all segments of a picture; each pools the finished tokens by itself. The
idea is that of TextRegion (Xiao et al., 2025). It works for every tower whose pooling is an
attention: the class token's row in the last block of a ViT, the pooling attention of CoCa, SigLIP,
SigLIP 2 and Perception Encoder. A token's share is added, as its logarithm, to its score. A tower
that averages its patches averages each segment's, weighted by their shares.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from zeroguide.clip.attention import (
    KEYS_VALUES,
    QUERIES,
    finish_block,
    project,
    slots,
    split_heads,
    spread,
    with_class_token,
)
from zeroguide.clip.towers import averages_tokens, can_resize, encode_early, finish


def encode_pooled(visual: Any, images: torch.Tensor) -> torch.Tensor:
    """Everything before the pooling: (B, 3, H, W) -> (B, p + h*w, d), p tokens before the patches.

    Args:
        visual: a tower that `towers.has_class_token`, `towers.averages_tokens` or
            `towers.has_attention_pool` accepts.
    """
    if can_resize(visual):
        class_token_reads = visual.attn_pool is None and not averages_tokens(visual)
        return encode_early(visual, images, masked_blocks=int(class_token_reads))
    trunk = visual.trunk
    tokens = trunk.forward_features(images)
    reads_prefix = getattr(trunk, "pool_include_prefix", True)
    return tokens if reads_prefix else tokens[:, trunk.num_prefix_tokens :]


def embed_pooled(
    visual: Any, tokens: torch.Tensor, masks: torch.Tensor, owner: torch.Tensor
) -> torch.Tensor:
    """Embeddings of segments, not normalised: (n, e) float32.

    Args:
        visual: as in `encode_pooled`.
        tokens: (B, p + h*w, d), from `encode_pooled`.
        masks: (n, h*w) in [0, 1], the share of each token that belongs to the segment.
        owner: (n,) int64, the segments' pictures, 0..B-1.
    """
    if averages_tokens(visual):
        return _embed_average(visual, tokens, masks, owner)
    shares = with_class_token(masks, tokens.shape[1] - masks.shape[1])
    if not can_resize(visual):
        return _embed_timm(visual, tokens, shares, owner)
    if visual.attn_pool is None:
        return _embed_class_token(visual, tokens, shares, owner)
    return _embed_coca(visual, tokens, shares, owner)


def _embed_average(
    visual: Any, tokens: torch.Tensor, masks: torch.Tensor, owner: torch.Tensor
) -> torch.Tensor:
    places, width = slots(owner, len(tokens))
    weights = spread(masks / masks.sum(1, keepdim=True), owner, places, len(tokens), width)
    patches = visual.ln_post(tokens[:, 1:])
    pooled = (weights.to(patches.dtype) @ patches)[owner, places]  # (n, d)
    return (pooled if visual.proj is None else pooled @ visual.proj).float()


def _embed_class_token(
    visual: Any, tokens: torch.Tensor, shares: torch.Tensor, owner: torch.Tensor
) -> torch.Tensor:
    block = visual.transformer.resblocks[-1]
    heads = block.attn.num_heads
    normed = block.ln_1(tokens)
    k, v = split_heads(project(block.attn, normed, KEYS_VALUES), 2, heads)
    (q,) = split_heads(project(block.attn, normed[:, :1], QUERIES), 1, heads)
    return finish(visual, finish_block(block, tokens[owner, 0], pool(q, k, v, shares, owner)))


def _embed_coca(
    visual: Any, tokens: torch.Tensor, shares: torch.Tensor, owner: torch.Tensor
) -> torch.Tensor:
    pooler = visual.attn_pool
    attention = pooler.attn
    if attention.in_proj_weight is None:  # keys and values of another width than queries
        weights = (attention.q_proj_weight, attention.k_proj_weight, attention.v_proj_weight)
    else:
        weights = attention.in_proj_weight.chunk(3)
    query, context = pooler.ln_q(pooler.query[None, :1]), pooler.ln_k(tokens)
    q, k, v = (
        split_heads(F.linear(x, weight, bias), 1, attention.num_heads)[0]
        for x, weight, bias in zip(
            (query, context, context), weights, attention.in_proj_bias.chunk(3), strict=True
        )
    )
    return finish(visual, attention.out_proj(pool(q, k, v, shares, owner)))


def _embed_timm(
    visual: Any, tokens: torch.Tensor, shares: torch.Tensor, owner: torch.Tensor
) -> torch.Tensor:
    trunk, pooler = visual.trunk, visual.trunk.attn_pool
    if pooler.pos_embed is not None:
        tokens = tokens + pooler.pos_embed
    (q,) = split_heads(pooler.q(pooler.latent), 1, pooler.num_heads)
    k, v = split_heads(pooler.kv(tokens), 2, pooler.num_heads)
    x = pooler.proj(pool(pooler.q_norm(q), pooler.k_norm(k), v, shares, owner))
    if pooler.mlp is not None:
        x = x + pooler.mlp(pooler.norm(x))
    return visual.head(trunk.head(trunk.fc_norm(x))).float()


def pool(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, shares: torch.Tensor, owner: torch.Tensor
) -> torch.Tensor:
    """Attention of one query to each segment's tokens, before the output projection.

    Args:
        q: (B or 1, heads, 1, dh). k, v: (B, heads, T, dh).
        shares: (n, T) in [0, 1], no row of zeros. owner: (n,) int64.

    Returns:
        (n, heads * dh).
    """
    b, heads, _, dh = k.shape
    places, width = slots(owner, b)
    bias = spread(shares.log(), owner, places, b, width)[:, None]  # (B, 1, s, T)
    queries = q.to(k.dtype).expand(b, heads, width, dh)
    pooled = F.scaled_dot_product_attention(queries, k, v, attn_mask=bias.to(k.dtype))
    return pooled.transpose(1, 2).flatten(2)[owner, places]
