"""Segment embeddings: CLIP's image tower with its attention masked to each segment.

The method is that of Rewatbowornwong et al., "Zero-guidance segmentation using zero segment labels"
(ICCV 2023). In the last blocks of the tower, a segment's attention row is multiplied by the
segment's mask and renormalised; optionally the class token's unmasked attention is subtracted
from it, the more the closer the masked attention still is to the unmasked one.

The blocks before the mask see the whole picture and are the same for every segment, so they run
once per picture; the masked blocks run on batches of segments.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import open_clip.transformer
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from zeroguide.errors import WeightsError
from zeroguide.models import Clip

# Masks are averaged into tokens in bands of about this many numbers, to bound the memory.
_CHUNK = 64_000_000


class MaskedClip:
    """A CLIP image tower that embeds the segments of a picture.

    Args:
        clip: an open_clip model whose image tower is a ViT with a class token.
        masked_blocks: the mask acts in the last n blocks, 1 to all of them (clipped to all).
        subtraction_sd: the paper's global subtraction with this spread; None leaves it out.
        fit: how the picture fits the tower's square: "squash" stretches it, "letterbox" keeps its
            proportions and adds grey borders. It is never cropped, so every pixel has a token.
        batch_size: segments per forward pass; changes the memory, not the result.

    Raises:
        WeightsError: the image tower is of a kind that can't be masked.
    """

    def __init__(
        self,
        clip: Clip,
        *,
        masked_blocks: int,
        subtraction_sd: float | None = None,
        fit: str = "squash",
        batch_size: int = 16,
    ) -> None:
        visual: Any = clip.network.visual
        if not _is_maskable(visual):
            raise WeightsError(
                f"This CLIP's image tower ({type(visual).__name__}) has no plain attention with a "
                "class token, so its attention can't be masked: choose a ViT from open_clip."
            )
        self.clip = clip
        self.visual = visual
        self.grid: tuple[int, int] = visual.grid_size
        self.subtraction_sd = subtraction_sd
        self.fit = fit
        self.batch_size = batch_size
        blocks = list(visual.transformer.resblocks)
        first_masked = max(0, len(blocks) - masked_blocks)
        self._open_blocks, self._masked_blocks = blocks[:first_masked], blocks[first_masked:]

    @torch.inference_mode()
    def tokens(self, pixels: np.ndarray) -> torch.Tensor:
        """A picture's tokens on entering the masked blocks: (1, 1 + h*w, d), class token first.

        Args:
            pixels: (H, W, 3) uint8 RGB.
        """
        return self.unmasked_tokens(self._preprocess(pixels)[None])

    @torch.inference_mode()
    def unmasked_tokens(self, images: torch.Tensor) -> torch.Tensor:
        """The same for normalised images of the tower's size: (B, 3, S, S) -> (B, 1 + h*w, d)."""
        x = self.visual._embeds(images)
        for block in self._open_blocks:
            x = block(x)
        return x

    @torch.inference_mode()
    def embed(self, tokens: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """Embeddings of a picture's segments, not normalised: (n, e).

        Args:
            tokens: (1, 1 + h*w, d), from `tokens`.
            masks: (n, h*w) in [0, 1], the share of each token that belongs to the segment.
        """
        masks = masks.to(tokens)
        masks = torch.cat([torch.ones_like(masks[:, :1]), masks], dim=1)  # the class token's: 1
        return torch.cat([self._embed_batch(tokens, m) for m in masks.split(self.batch_size)])

    def _embed_batch(self, tokens: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        x = tokens.expand(len(masks), -1, -1)  # (n, T, d)
        for block in self._masked_blocks:
            attended = masked_attention(block.attn, block.ln_1(x), masks, self.subtraction_sd)
            x = x + block.ls_1(attended)
            x = x + block.ls_2(block.mlp(block.ln_2(x)))
        pooled, _ = self.visual._pool(x)
        return pooled if self.visual.proj is None else pooled @ self.visual.proj

    def masks(self, label_map: np.ndarray) -> torch.Tensor:
        """The share of each token that belongs to each segment: (n, h*w) float32.

        Args:
            label_map: (H, W) integers 0..n-1, of the picture's size.
        """
        device = next(self.visual.parameters()).device
        labels = torch.from_numpy(np.ascontiguousarray(label_map)).to(device, torch.int64)
        n = int(labels.max()) + 1
        h, w = self.grid
        height, width = labels.shape
        top, left, inner_h, inner_w = self._placement(height, width)
        # Averaging over a token's area is linear in rows and columns: one row of tokens at a time.
        down = _area_weights(height, inner_h, top, self._side, h).to(device)  # (h, H)
        across = _area_weights(width, inner_w, left, self._side, w).to(device)  # (w, W)
        shares = torch.zeros(n, h, w, device=device)
        rows = max(1, _CHUNK // (n * width))
        for start in range(0, height, rows):
            one_hot = F.one_hot(labels[start : start + rows], n).permute(2, 0, 1).float()
            shares += torch.einsum("yr,nrc,xc->nyx", down[:, start : start + rows], one_hot, across)
        return shares.flatten(1)

    @property
    def _side(self) -> int:
        return self.clip.image_size

    def _placement(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Where the picture lies in the tower's square: top, left, height, width in its pixels."""
        side = self._side
        if self.fit == "squash":
            return 0, 0, side, side
        scale = side / max(height, width)
        inner_h, inner_w = max(1, round(height * scale)), max(1, round(width * scale))
        return (side - inner_h) // 2, (side - inner_w) // 2, inner_h, inner_w

    def _preprocess(self, pixels: np.ndarray) -> torch.Tensor:
        """(H, W, 3) uint8 -> (3, S, S) normalised, resized as open_clip's own transform does."""
        side = self._side
        top, left, inner_h, inner_w = self._placement(*pixels.shape[:2])
        resized = Image.fromarray(pixels).resize((inner_w, inner_h), Image.Resampling.BICUBIC)
        mean, std = torch.tensor(self.clip.mean), torch.tensor(self.clip.std)
        canvas = mean.repeat(side, side, 1)  # a border of the mean colour is zero to the tower
        values = torch.from_numpy(np.array(resized)).float() / 255
        canvas[top : top + inner_h, left : left + inner_w] = values
        image = ((canvas - mean) / std).permute(2, 0, 1)
        return image.to(next(self.visual.parameters()))


def masked_attention(
    attention: nn.MultiheadAttention, x: torch.Tensor, masks: torch.Tensor, sd: float | None
) -> torch.Tensor:
    """Self-attention of n segments with the paper's mask and global subtraction.

    With A the ordinary attention of a head and m the mask, M = A * m with rows renormalised to
    sum 1. The subtraction takes w times the class token's row of A from every row of M, where
    w = exp(-(c + 1)^2 / sd) and c is the mean cosine, over heads and rows, of M and A.

    Args:
        attention: the block's own layer; its projections are used.
        x: (n, T, d), already layer-normalised, class token first.
        masks: (n, T) in [0, 1], 1 for the class token.
        sd: spread of the subtraction; None leaves it out.

    Returns:
        (n, T, d), after the output projection.
    """
    n, t, d = x.shape
    heads = attention.num_heads
    qkv = F.linear(x, attention.in_proj_weight, attention.in_proj_bias)
    q, k, v = qkv.view(n, t, 3, heads, d // heads).permute(
        2, 0, 3, 1, 4
    )  # 3 x (n, heads, T, d/heads)
    a = (q @ k.transpose(-2, -1) / (d // heads) ** 0.5).softmax(dim=-1)  # (n, heads, T, T)
    masked = a * masks[:, None, None, :]
    masked = masked / masked.sum(dim=-1, keepdim=True)
    if sd is not None:
        closeness = F.cosine_similarity(masked, a, dim=-1).mean(dim=(1, 2))  # (n,)
        weight = torch.exp(-((closeness + 1) ** 2) / sd)
        masked = masked - weight[:, None, None, None] * a[:, :, :1, :]
    out = (masked @ v).transpose(1, 2).reshape(n, t, d)
    return attention.out_proj(out)


def _is_maskable(visual: Any) -> bool:
    return (
        isinstance(visual, open_clip.transformer.VisionTransformer)
        and visual.attn_pool is None
        and visual.pool_type == "tok"
        and all(
            type(block) is open_clip.transformer.ResidualAttentionBlock
            for block in visual.transformer.resblocks
        )
    )


def _area_weights(size: int, inner: int, offset: int, side: int, cells: int) -> torch.Tensor:
    """The share of each of `cells` token cells that each of `size` pixels covers: (cells, size).

    The pixels span `inner` of the square's `side` units, beginning at `offset`.
    """
    pixel = offset + torch.arange(size + 1, dtype=torch.float64) * inner / size
    cell = torch.arange(cells + 1, dtype=torch.float64) * side / cells
    low = torch.maximum(pixel[None, :-1], cell[:-1, None])
    high = torch.minimum(pixel[None, 1:], cell[1:, None])
    return ((high - low).clamp(min=0) * cells / side).float()
