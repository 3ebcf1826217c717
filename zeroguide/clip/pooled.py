"""Mode "pooled": only the tower's last pooling is masked.

One ordinary pass serves all segments of an image; each pools the finished tokens by itself. The
idea is that of TextRegion (Xiao et al., 2025). It works for every tower whose pooling is an
attention: the class token's row in the last block of a ViT, the pooling attention of CoCa, SigLIP,
SigLIP 2 and Perception Encoder. The logarithm of a token's mask is added to its score. A tower
that averages its patches averages each segment's, weighted by its mask.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from zeroguide.clip import attention as at
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
    visual: Any, tokens: torch.Tensor, masks: torch.Tensor, image_of: torch.Tensor
) -> torch.Tensor:
    """Embeddings of segments, not normalised: (n, e) float32.

    Args:
        visual: as in `encode_pooled`.
        tokens: (B, p + h*w, d), from `encode_pooled`.
        masks, image_of: as in `embed_exact`.
    """
    if averages_tokens(visual):
        return _embed_average(visual, tokens, masks, image_of)
    masks = at.with_class_token(masks, tokens.shape[1] - masks.shape[1])  # (n, T)
    if not can_resize(visual):
        return _embed_timm(visual, tokens, masks, image_of)
    if visual.attn_pool is None:
        return _embed_class_token(visual, tokens, masks, image_of)
    return _embed_coca(visual, tokens, masks, image_of)


def _embed_average(
    visual: Any, tokens: torch.Tensor, masks: torch.Tensor, image_of: torch.Tensor
) -> torch.Tensor:
    padding = at.Padding(image_of, len(tokens))
    weights = padding.pad(masks / masks.sum(1, keepdim=True))  # (B, s, h*w)
    patches = visual.ln_post(tokens[:, 1:])  # (B, h*w, d)
    pooled = padding.unpad(weights.to(patches.dtype) @ patches)  # (n, d)
    return (pooled if visual.proj is None else pooled @ visual.proj).float()


def _embed_class_token(
    visual: Any, tokens: torch.Tensor, masks: torch.Tensor, image_of: torch.Tensor
) -> torch.Tensor:
    block = visual.transformer.resblocks[-1]
    heads = block.attn.num_heads
    normed = block.ln_1(tokens)
    k, v = at.split_heads(at.project(block.attn, normed, at.KV), 2, heads)  # (B, heads, T, dh)
    (q,) = at.split_heads(at.project(block.attn, normed[:, :1], at.Q), 1, heads)
    pooled = pool(q, k, v, masks, image_of)  # (n, d)
    return finish(visual, at.finish_block(block, tokens[image_of, 0], pooled))


def _embed_coca(
    visual: Any, tokens: torch.Tensor, masks: torch.Tensor, image_of: torch.Tensor
) -> torch.Tensor:
    pooler = visual.attn_pool
    attention = pooler.attn
    if attention.in_proj_weight is None:  # keys and values of another width than queries
        weights = (attention.q_proj_weight, attention.k_proj_weight, attention.v_proj_weight)
    else:
        weights = attention.in_proj_weight.chunk(3)
    query, context = pooler.ln_q(pooler.query[None, :1]), pooler.ln_k(tokens)
    q, k, v = (
        at.split_heads(F.linear(x, weight, bias), 1, attention.num_heads)[0]
        for x, weight, bias in zip(
            (query, context, context), weights, attention.in_proj_bias.chunk(3), strict=True
        )
    )
    return finish(visual, attention.out_proj(pool(q, k, v, masks, image_of)))


def _embed_timm(
    visual: Any, tokens: torch.Tensor, masks: torch.Tensor, image_of: torch.Tensor
) -> torch.Tensor:
    trunk, pooler = visual.trunk, visual.trunk.attn_pool
    if pooler.pos_embed is not None:
        tokens = tokens + pooler.pos_embed
    (q,) = at.split_heads(pooler.q(pooler.latent), 1, pooler.num_heads)
    k, v = at.split_heads(pooler.kv(tokens), 2, pooler.num_heads)
    x = pooler.proj(pool(pooler.q_norm(q), pooler.k_norm(k), v, masks, image_of))
    if pooler.mlp is not None:
        x = x + pooler.mlp(pooler.norm(x))
    return visual.head(trunk.head(trunk.fc_norm(x))).float()


def pool(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, masks: torch.Tensor, image_of: torch.Tensor
) -> torch.Tensor:
    """Attention of one query to each segment's tokens, before the output projection.

    Args:
        q: (B or 1, heads, 1, dh). k, v: (B, heads, T, dh).
        masks: (n, T) in [0, 1], no row of zeros. image_of: (n,) int64.

    Returns:
        (n, heads * dh).
    """
    b, heads, _, dh = k.shape
    padding = at.Padding(image_of, b)
    bias = padding.pad(masks.log())[:, None]  # (B, 1, s, T)
    queries = q.to(k.dtype).expand(b, heads, bias.shape[2], dh)
    pooled = F.scaled_dot_product_attention(queries, k, v, attn_mask=bias.to(k.dtype))
    return padding.unpad(pooled.transpose(1, 2).flatten(2))
