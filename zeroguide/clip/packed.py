"""Mode "packed": masked attention without subtraction, all segments of an image in one sequence.

Without the subtraction, tokens outside a segment never reach its class token. So an image's
segments can share one sequence: a class token per segment and, for each, the tokens its soft mask
touches, with attention only inside the segment. As segments part the image among them, that is
about one ordinary pass. Multiplying attention by a mask and renormalising the row is the same as
adding the mask's logarithm to the scores before the softmax.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from zeroguide.clip.attention import (
    KV,
    Padding,
    Q,
    finish_block,
    project,
    split_heads,
    with_class_token,
)
from zeroguide.clip.towers import finish


def embed_packed(
    visual: Any,
    tokens: torch.Tensor,
    masks: torch.Tensor,
    image_of: torch.Tensor,
    *,
    masked_blocks: int,
    subtracted: list[torch.Tensor] | None = None,
) -> torch.Tensor:
    """Embeddings of segments, not normalised: (n, e) float32.

    Args:
        visual, tokens, masks, image_of, masked_blocks: as in `embed_exact`.
        subtracted: per masked block (n, d), taken from what a segment's tokens attend to.
    """
    blocks = visual.transformer.resblocks[-masked_blocks:]
    pack = _pack(with_class_token(masks), image_of, len(tokens))
    x = tokens  # (B, T, d)
    for i, block in enumerate(blocks):
        heads = block.attn.num_heads
        # Before the first block all segments' tokens are alike: computed once, then packed.
        packed = pack.gather if i == 0 else _unchanged
        normed = block.ln_1(x)
        if i < len(blocks) - 1:
            q, k, v = split_heads(packed(project(block.attn, normed)), 3, heads)
            bias, segment, x = pack.bias, pack.segment, packed(x)
        else:  # nothing but the class tokens is read after the last block: (B, heads, S, dh)
            k, v = split_heads(packed(project(block.attn, normed, KV)), 2, heads)
            class_rows = pack.class_rows(packed(normed))  # (B, S, d)
            (q,) = split_heads(project(block.attn, class_rows, Q), 1, heads)
            bias, segment, x = pack.class_bias, pack.class_segment, pack.class_rows(packed(x))
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        attended = attended.transpose(1, 2).flatten(2)  # (B, N or S, d)
        if subtracted is not None:
            attended = attended - subtracted[i][segment]
        x = finish_block(block, x, attended)  # (B, N or S, d)
    return finish(visual, pack.segments.unpad(x))


@dataclass(frozen=True)
class _Pack:
    """How B images' tokens lie in sequences of N, and their S class tokens in them.

    Places that hold nothing repeat the first segment's or token's number and see each other.

    source: (B, N) int64, the token. segment: (B, N) int64. bias: (B, 1, N, N), -inf between
    segments. class_position, class_segment: (B, S) int64. class_bias: (B, 1, S, N). segments: each
    one's class token among its image's S.
    """

    source: torch.Tensor
    segment: torch.Tensor
    bias: torch.Tensor
    class_position: torch.Tensor
    class_segment: torch.Tensor
    class_bias: torch.Tensor
    segments: Padding

    def gather(self, x: torch.Tensor) -> torch.Tensor:
        """Images' tokens to packed ones: (B, T, d) -> (B, N, d)."""
        return x[_every(x), self.source]

    def class_rows(self, x: torch.Tensor) -> torch.Tensor:
        """Packed tokens to class tokens: (B, N, d) -> (B, S, d)."""
        return x[_every(x), self.class_position]


def _pack(masks: torch.Tensor, image_of: torch.Tensor, n_images: int) -> _Pack:
    """Lay out the tokens that masks (n, T) touch, the class token first."""
    segment, source = masks.nonzero(as_tuple=True)  # (m,) each, of every packed token
    tokens, segments = Padding(image_of[segment], n_images), Padding(image_of, n_images)
    group = tokens.pad(segment + 1)  # (B, N): segments from 1; 0 where an image has fewer tokens
    log_mask = tokens.pad(masks[segment, source].log())  # (B, N)
    apart = group[:, :, None] != group[:, None, :]  # (B, N, N)
    bias = log_mask[:, None, :].masked_fill(apart, -torch.inf)[:, None]  # (B, 1, N, N)
    # Class tokens are in the order of the segments.
    class_position = segments.pad(tokens.slots[source == 0])  # (B, S)
    segment_at = (group - 1).clamp(min=0)  # (B, N)
    return _Pack(
        source=tokens.pad(source),
        segment=segment_at,
        bias=bias,
        class_position=class_position,
        class_segment=segment_at[_every(bias), class_position],
        class_bias=bias[:, 0][_every(bias), class_position][:, None],
        segments=segments,
    )


def _every(x: torch.Tensor) -> torch.Tensor:
    """Row numbers as a column, to index an image's own positions."""
    return torch.arange(len(x), device=x.device)[:, None]


def _unchanged(x: torch.Tensor) -> torch.Tensor:
    return x
