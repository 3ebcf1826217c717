"""Mode "packed": masked attention without subtraction, all segments of a picture in one sequence.

Without the subtraction, tokens outside a segment never reach its class token. So a picture's
segments can share one sequence: a class token per segment and, for each, the tokens it has a share
of, with attention only inside the segment. As segments part the picture among them, that is about
one ordinary pass. Multiplying attention by a share and renormalising the row is the same as adding
the share's logarithm to the scores before the softmax.
"""

from __future__ import annotations

from dataclasses import dataclass
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
from zeroguide.clip.towers import finish


def embed_packed(
    visual: Any,
    tokens: torch.Tensor,
    masks: torch.Tensor,
    owner: torch.Tensor,
    *,
    masked_blocks: int,
    subtracted: list[torch.Tensor] | None = None,
) -> torch.Tensor:
    """Embeddings of segments, not normalised: (n, e) float32.

    Args:
        visual: a tower that `towers.has_class_token` accepts.
        tokens: (B, 1 + h*w, d), pictures on entering the masked blocks.
        masks: (n, h*w) in [0, 1], the share of each token that belongs to the segment.
        owner: (n,) int64, the segments' pictures, 0..B-1.
        masked_blocks: the mask acts in the last n blocks.
        subtracted: per masked block (n, d), taken from what a segment's tokens attend to.
    """
    blocks = visual.transformer.resblocks[-masked_blocks:]
    pack = _pack(with_class_token(masks), owner, len(tokens))
    x = tokens
    for i, block in enumerate(blocks):
        heads = block.attn.num_heads
        # Before the first block all segments' tokens are alike: computed once, then packed.
        packed = pack.gather if i == 0 else _unchanged
        normed = block.ln_1(x)
        if i < len(blocks) - 1:
            q, k, v = split_heads(packed(project(block.attn, normed)), 3, heads)
            bias, segment, x = pack.bias, pack.segment, packed(x)
        else:  # nothing but the class tokens is read after the last block
            k, v = split_heads(packed(project(block.attn, normed, KEYS_VALUES)), 2, heads)
            class_rows = pack.class_rows(packed(normed))
            (q,) = split_heads(project(block.attn, class_rows, QUERIES), 1, heads)
            bias, segment, x = pack.class_bias, pack.class_segment, pack.class_rows(packed(x))
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        attended = attended.transpose(1, 2).flatten(2)  # (B, L, d)
        if subtracted is not None:
            attended = attended - subtracted[i][segment]
        x = finish_block(block, x, attended)
    return finish(visual, x[owner, pack.places])


@dataclass(frozen=True)
class _Pack:
    """How B pictures' tokens lie in sequences of N, and their S class tokens in them.

    Places that hold nothing repeat the first segment's or token's number and see each other.

    source: (B, N) int64, the token. segment: (B, N) int64. bias: (B, 1, N, N), -inf between
    segments. class_position, class_segment: (B, S) int64. places: (n,) int64, each segment's class
    token among its picture's S. class_bias: (B, 1, S, N).
    """

    source: torch.Tensor
    segment: torch.Tensor
    bias: torch.Tensor
    class_position: torch.Tensor
    class_segment: torch.Tensor
    class_bias: torch.Tensor
    places: torch.Tensor

    def gather(self, x: torch.Tensor) -> torch.Tensor:
        """Pictures' tokens to packed ones: (B, T, d) -> (B, N, d)."""
        return x[_every(x), self.source]

    def class_rows(self, x: torch.Tensor) -> torch.Tensor:
        """Packed tokens to class tokens: (B, N, d) -> (B, S, d)."""
        return x[_every(x), self.class_position]


def _pack(shares: torch.Tensor, owner: torch.Tensor, n_pictures: int) -> _Pack:
    """Lay out the tokens that segments have a share of; shares (n, T), the class token first."""
    segment, source = shares.nonzero(as_tuple=True)  # of every packed token
    picture = owner[segment]
    position, length = slots(picture, n_pictures)

    def lay(values: torch.Tensor) -> torch.Tensor:
        return spread(values, picture, position, n_pictures, length)

    group = lay(segment + 1)  # (B, N): segments from 1; 0 where a picture has fewer tokens
    log_share = lay(shares[segment, source].log())
    apart = group[:, :, None] != group[:, None, :]
    bias = log_share[:, None, :].masked_fill(apart, -torch.inf)[:, None]  # (B, 1, N, N)

    places, width = slots(owner, n_pictures)
    starts = position[source == 0]  # in the order of the segments
    class_position = spread(starts, owner, places, n_pictures, width)  # (B, S)
    segment_at = (group - 1).clamp(min=0)
    class_bias = bias[:, 0][_every(bias), class_position][:, None]
    return _Pack(
        source=lay(source),
        segment=segment_at,
        bias=bias,
        class_position=class_position,
        class_segment=segment_at[_every(bias), class_position],
        class_bias=class_bias,
        places=places,
    )


def _every(x: torch.Tensor) -> torch.Tensor:
    """Row numbers as a column, to index a picture's own positions."""
    return torch.arange(len(x), device=x.device)[:, None]


def _unchanged(x: torch.Tensor) -> torch.Tensor:
    return x
