"""One network for both: the image tower of an open_clip model read as the DINOv2 it grew from.

A CLIP may be built on DINOv2: its tower is then a ViT without a norm before the blocks and with
LayerScale (Oquab et al., "DINOv2: Learning robust visual features without supervision", 2024), and
DINO's last norm is the tower's `ln_post`. Weights are stored once, and shared in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zeroguide.errors import WeightsError
from zeroguide.models.reading import loading


def dinov2_of(visual: Any, checkpoint: str) -> Any:
    """A transformers Dinov2Model of the very tensors of an open_clip image tower.

    visual: an open_clip VisionTransformer. checkpoint: its name, for messages.

    Raises WeightsError for a tower of another form.
    """
    check_dinov2(visual, checkpoint)
    from transformers import Dinov2Config, Dinov2Model

    blocks = visual.transformer.resblocks
    n_positions, width = visual.positional_embedding.shape
    norm = visual.ln_post
    config = Dinov2Config(
        hidden_size=width,
        num_hidden_layers=len(blocks),
        num_attention_heads=blocks[0].attn.num_heads,
        mlp_ratio=blocks[0].mlp.c_fc.out_features // width,
        patch_size=visual.patch_size[0],
        image_size=visual.image_size[0],
        layer_norm_eps=norm.eps,
        attn_implementation="sdpa",
    )
    tensors = dinov2_tensors(visual.state_dict())
    with loading(Path(checkpoint)):
        network, report = Dinov2Model.from_pretrained(
            None, config=config, state_dict=tensors, output_loading_info=True
        )
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert network.embeddings.position_embeddings.shape[1] == n_positions
    return network.eval().requires_grad_(False)


def check_dinov2(visual: Any, checkpoint: str) -> None:
    """WeightsError for an open_clip image tower that isn't a DINOv2."""
    if not _is_dinov2(visual):
        raise WeightsError(
            f"the image tower of {checkpoint} isn't a DINOv2, so it can't stand in for one: name a "
            "DINO as models.dino"
        )


def dinov2_tensors(tower: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """An open_clip tower's tensors under the names of transformers, nothing copied but a zero."""
    kernel = tower["conv1.weight"]
    zeros = kernel.new_zeros(len(kernel))
    n_blocks = sum(key.endswith(".ls_1.gamma") for key in tower)
    tensors = {
        "embeddings.cls_token": tower["class_embedding"][None, None],
        "embeddings.mask_token": zeros[None],
        "embeddings.position_embeddings": tower["positional_embedding"][None],
        # open_clip has none; it is part of the positions.
        "embeddings.patch_embeddings.projection.bias": zeros,
    }
    tensors |= {theirs: tower[ours] for theirs, ours in _whole(n_blocks)}
    for theirs, ours in _divided(n_blocks):
        tensors |= zip(theirs, tower[ours].chunk(3), strict=True)
    return tensors


def tower_tensors(dino: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The way back: a Dinov2Model's tensors as those of an open_clip image tower, but `proj`."""
    positions = dino["embeddings.position_embeddings"][0].clone()
    positions[1:] += dino["embeddings.patch_embeddings.projection.bias"]
    n_blocks = sum(key.endswith(".layer_scale1.lambda1") for key in dino)
    return {
        "class_embedding": dino["embeddings.cls_token"][0, 0],
        "positional_embedding": positions,
        **{ours: dino[theirs] for theirs, ours in _whole(n_blocks)},
        **{ours: torch.cat([dino[x] for x in theirs]) for theirs, ours in _divided(n_blocks)},
    }


_IN_BLOCK = {
    "norm1": "ln_1",
    "attention.o_proj": "attn.out_proj",
    "norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}


def _whole(n_blocks: int) -> Iterator[tuple[str, str]]:
    """The names, in transformers and in open_clip, of the tensors that both keep alike."""
    yield "embeddings.patch_embeddings.projection.weight", "conv1.weight"
    for kind in ("weight", "bias"):
        yield f"layernorm.{kind}", f"ln_post.{kind}"
    for i in range(n_blocks):
        theirs, ours = f"encoder.layer.{i}", f"transformer.resblocks.{i}"
        for there, here in _IN_BLOCK.items():
            for kind in ("weight", "bias"):
                yield f"{theirs}.{there}.{kind}", f"{ours}.{here}.{kind}"
        for j in (1, 2):
            yield f"{theirs}.layer_scale{j}.lambda1", f"{ours}.ls_{j}.gamma"


def _divided(n_blocks: int) -> Iterator[tuple[list[str], str]]:
    """The names of query, key and value in transformers, and of open_clip's one tensor of them."""
    for i in range(n_blocks):
        for kind in ("weight", "bias"):
            theirs = [f"encoder.layer.{i}.attention.{name}_proj.{kind}" for name in "qkv"]
            yield theirs, f"transformer.resblocks.{i}.attn.in_proj_{kind}"


def _is_dinov2(visual: Any) -> bool:
    import open_clip.transformer as towers

    return (
        isinstance(visual, towers.VisionTransformer)
        and isinstance(visual.ln_pre, nn.Identity)
        and visual.attn_pool is None
        and not visual.final_ln_after_pool
        and all(
            type(block) is towers.ResidualAttentionBlock
            and isinstance(block.ls_1, towers.LayerScale)
            and isinstance(block.mlp.gelu, nn.GELU)
            for block in visual.transformer.resblocks
        )
    )
