"""PAMR, Pixel-Adaptive Mask Refinement: soft masks moved onto an image's colour edges.

Araslanov and Roth, "Single-Stage Semantic Segmentation from Image Labels", CVPR 2020; written from
its formula:

    m_i <- sum over neighbours j of  a_ij * m_j
    a_ij = softmax over j of  -mean over channels of |x_i - x_j| / (0.1 * sigma_i)

The neighbours of pixel i are the 8 around it at each dilation; sigma_i is the standard deviation,
per channel, of those neighbours and i itself (9 samples for each dilation). Where the paper
(sigma squared) and its released code (0.1 sigma) differ, this is the code. Dividing by sigma makes
it blind to contrast: a faint edge holds as well as a strong one. One iteration moves a border by
about 4 px (dilations 1, 2, 4, 8), ten by about 13; a segment thinner than that inside one colour
dissolves, see `segment.refine`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F


@dataclass(frozen=True, eq=False)
class SoftMask:
    """A soft mask, kept only inside the box of rows and columns outside of which it is zero."""

    rows: slice
    columns: slice
    values: torch.Tensor

    @classmethod
    def of(cls, mask: torch.Tensor, margin: int) -> SoftMask:
        """A mask (H, W), kept with so many pixels around what isn't zero."""
        hits = [mask.any(1).nonzero(), mask.any(0).nonzero()]
        if len(hits[0]) == 0:
            return cls(slice(0, 1), slice(0, 1), mask[:1, :1])
        rows, columns = (
            slice(max(0, int(hit[0]) - margin), min(n, int(hit[-1]) + margin + 1))
            for hit, n in zip(hits, mask.shape, strict=True)
        )
        return cls(rows, columns, mask[rows, columns])


def affinity(colours: torch.Tensor, dilations: Sequence[int]) -> torch.Tensor:
    """a_ij of every pixel and neighbour: (8 * dilations, H, W), summing to 1 over neighbours.

    colours: (c, H, W) in 0..1. dilations: distances in pixels.
    """
    n_samples = 9 * len(dilations)  # the pixel itself is a sample of every dilation
    mean = colours * len(dilations)
    for neighbour in _neighbours(colours, dilations):
        mean = mean + neighbour
    mean = mean / n_samples
    variance = (colours - mean).square() * len(dilations)
    for neighbour in _neighbours(colours, dilations):
        variance += (neighbour - mean).square()
    sigma = (variance / (n_samples - 1)).sqrt()  # (c, H, W)
    h, w = colours.shape[-2:]
    weights = colours.new_empty(8 * len(dilations), h, w)
    for a, neighbour in zip(weights, _neighbours(colours, dilations), strict=True):
        a.copy_(((colours - neighbour).abs() / (-1e-8 - 0.1 * sigma)).mean(0))
    # Softmax in place: this is by far the largest tensor here.
    weights -= weights.amax(0)
    weights.exp_()
    weights /= weights.sum(0)
    return weights


def pamr(
    mask: torch.Tensor, weights: torch.Tensor, iterations: int, dilations: Sequence[int]
) -> SoftMask:
    """A soft mask (H, W) refined by the `affinity` of its picture.

    Only the box that it can reach is computed, which changes nothing in the result.
    """
    # One pixel of zeros around what it reaches, to interpolate against.
    soft = SoftMask.of(mask, margin=iterations * max(dilations) + 1)
    weights = weights[:, soft.rows, soft.columns]
    values = soft.values
    for _ in range(iterations):
        new = torch.zeros_like(values)
        for weight, neighbour in zip(weights, _neighbours(values, dilations), strict=True):
            new.addcmul_(weight, neighbour)
        values = new
    return SoftMask(soft.rows, soft.columns, values)


def _neighbours(x: torch.Tensor, dilations: Sequence[int]) -> list[torch.Tensor]:
    """For every dilation and each of 8 directions, x (..., H, W) as seen from there: views.

    Outside the image its nearest pixel is repeated.
    """
    h, w = x.shape[-2:]
    pad = max(dilations)
    lead = x.reshape(1, -1, h, w)
    padded = F.pad(lead, (pad, pad, pad, pad), mode="replicate").reshape(
        *x.shape[:-2], h + 2 * pad, w + 2 * pad
    )
    return [
        padded[..., pad + dy : pad + dy + h, pad + dx : pad + dx + w]
        for d in dilations
        for dy in (-d, 0, d)
        for dx in (-d, 0, d)
        if (dy, dx) != (0, 0)
    ]
