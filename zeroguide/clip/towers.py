"""The image towers of open_clip: which can do what, and their parts before and after the mask."""

from __future__ import annotations

from typing import Any

import open_clip.transformer
import torch
import torch.nn.functional as F

from zeroguide.errors import UsageError, WeightsError


def has_class_token(visual: Any) -> bool:
    """Whether the tower is a ViT of plain blocks that is read out at its class token."""
    return _is_plain_vit(visual) and visual.attn_pool is None and visual.pool_type == "tok"


def averages_tokens(visual: Any) -> bool:
    """Whether the tower is a ViT of plain blocks that is read out by the mean of its patches."""
    return (
        _is_plain_vit(visual)
        and visual.attn_pool is None
        and visual.pool_type == "avg"
        and not visual.final_ln_after_pool
    )


def has_attention_pool(visual: Any) -> bool:
    """Whether the tower is read out by a query that attends to all tokens (CoCa, SigLIP, PE)."""
    if _is_plain_vit(visual):
        return (
            visual.attn_pool is not None
            and visual.attn_pool_contrastive is None
            and visual.pool_type == "tok"
        )
    pool: Any = getattr(getattr(visual, "trunk", None), "attn_pool", None)
    return type(pool).__name__ == "AttentionPoolLatent" and pool.latent_len == 1


def can_resize(visual: Any) -> bool:
    """Whether the tower takes images of any size: its positions can be interpolated."""
    return _is_plain_vit(visual)


def check_tower(visual: Any, mode: str, fit: str, image_size: int | None) -> None:
    """UsageError or WeightsError, one sentence, for what the tower can't do."""
    name = type(visual).__name__
    pools = has_attention_pool(visual)
    if mode == "pooled":
        if not (pools or has_class_token(visual) or averages_tokens(visual)):
            raise WeightsError(
                f"this CLIP's image tower ({name}) is read out neither by an attention nor by a "
                'mean that can be masked: choose embedding.mode="crop", which works with any tower'
            )
    elif not has_class_token(visual):
        others = '"pooled" or "crop"' if pools or averages_tokens(visual) else '"crop"'
        raise WeightsError(
            f"this CLIP's image tower ({name}) has no plain attention with a class token, which "
            f"embedding.mode={mode!r} masks: choose {others}"
        )
    if not can_resize(visual) and (fit in ("native", "features") or image_size is not None):
        knob = "image_size" if image_size is not None else f'fit="{fit}"'
        raise UsageError(
            f"embedding.{knob} needs an image tower whose positions can be interpolated, which "
            f'this one ({name}) isn\'t: leave image_size at none and choose fit="letterbox"'
        )
    if image_size is not None and image_size < patch_size(visual):
        raise UsageError(
            f"embedding.image_size={image_size} is less than a patch of the image tower: "
            f"choose at least {patch_size(visual)}"
        )


def patch_size(visual: Any) -> int:
    """Side of a patch in pixels, of a tower with class token or attention pool."""
    size = visual.patch_size if _is_plain_vit(visual) else visual.trunk.patch_embed.patch_size
    return int(size[0])


def encode_early(visual: Any, images: torch.Tensor, masked_blocks: int) -> torch.Tensor:
    """What doesn't depend on masks: everything before the last `masked_blocks` blocks.

    Args:
        visual: an open_clip VisionTransformer of plain blocks.
        images: (B, 3, H, W), normalised, whole patches or the tower's own size.
        masked_blocks: 0 runs all of them.

    Returns:
        (B, 1 + h*w, d), the class token first.
    """
    patches = visual.conv1(images)  # (B, d, h, w)
    first = visual.class_embedding.to(patches.dtype).expand(len(images), 1, -1)
    x = torch.cat([first, patches.flatten(2).transpose(1, 2)], dim=1)
    x = visual.ln_pre(x + positions(visual, *patches.shape[2:]).to(x.dtype))
    blocks = visual.transformer.resblocks
    for block in blocks[: max(0, len(blocks) - masked_blocks)]:
        x = block(x)
    return x


def positions(visual: Any, rows: int, columns: int) -> torch.Tensor:
    """Position embeddings of another grid, as open_clip resizes them: (1 + rows*columns, d)."""
    own = visual.positional_embedding
    if (rows, columns) == tuple(visual.grid_size):
        return own
    grid = own[1:].T.reshape(1, -1, *visual.grid_size)
    grid = F.interpolate(grid, (rows, columns), mode="bicubic", antialias=True)
    return torch.cat([own[:1], grid[0].flatten(1).T])


def finish(visual: Any, class_tokens: torch.Tensor) -> torch.Tensor:
    """The tower after its last block: (n, d) class tokens -> (n, e) float32."""
    x = visual.ln_post(class_tokens)
    return (x if visual.proj is None else x @ visual.proj).float()


def _is_plain_vit(visual: Any) -> bool:
    return isinstance(visual, open_clip.transformer.VisionTransformer) and all(
        type(block) is open_clip.transformer.ResidualAttentionBlock
        for block in visual.transformer.resblocks
    )
