"""How an image meets the tower: its place in the input, its pixels there, its masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from zeroguide.segment.features import grid_shape

# Masks are averaged into tokens in bands of about this many pixels, to bound the memory.
_CHUNK = 4_000_000
# Shares are sums of areas: two that are equal may differ by this much.
_ROUNDING = 1e-6
# Less than any pixel's share: what is left where the edges of a pixel and a token nearly meet.
_NOTHING = 1e-10


@dataclass(frozen=True)
class Frame:
    """The tower's input for an image, in pixels of the input.

    height, width: the whole input. top, left, inner_height, inner_width: where the image lies.
    patch: side of a patch. rows, columns: the grid of tokens.
    """

    height: int
    width: int
    top: int
    left: int
    inner_height: int
    inner_width: int
    patch: int
    rows: int
    columns: int


def make_frame(height: int, width: int, *, fit: str, side: int, patch: int) -> Frame:
    """The frame of an image; it is never cropped, so every pixel has a token.

    Args:
        height, width: of the image.
        fit: "squash" stretches it to a square, "letterbox" keeps its proportions and adds borders,
            "native" keeps its proportions, to whole patches, with about as many tokens, "features"
            is the grid of DINO's features.
        side: of the square; with "features", of the image's shorter side.
        patch: side of a patch, at most `side`.
    """
    cells = side // patch
    covered = cells * patch  # towers leave out what is less than a patch
    if fit == "squash":
        return Frame(side, side, 0, 0, covered, covered, patch, cells, cells)
    if fit == "letterbox":
        scale = covered / max(height, width)
        inner_h, inner_w = max(1, round(height * scale)), max(1, round(width * scale))
        top, left = (covered - inner_h) // 2, (covered - inner_w) // 2
        return Frame(side, side, top, left, inner_h, inner_w, patch, cells, cells)
    if fit == "features":
        rows, columns = grid_shape(height, width, side, patch)
        return _whole_patches(rows, columns, patch)
    # A strip of an image gets no more tokens than the square has.
    longest = cells * cells
    rows = min(max(1, round(cells * (height / width) ** 0.5)), longest)
    columns = min(max(1, round(cells * (width / height) ** 0.5)), longest)
    return _whole_patches(rows, columns, patch)


def _whole_patches(rows: int, columns: int, patch: int) -> Frame:
    h, w = rows * patch, columns * patch
    return Frame(h, w, 0, 0, h, w, patch, rows, columns)


def preprocess(
    pixels: np.ndarray, frame: Frame, mean: Sequence[float], std: Sequence[float]
) -> torch.Tensor:
    """The tower's input, resized as open_clip's own transform does: (3, height, width) float32.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        mean, std: the tower's normalisation.
    """
    size = (frame.inner_width, frame.inner_height)
    resized = np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
    values = torch.from_numpy(resized).permute(2, 0, 1).float() / 255
    inner = (values - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    if inner.shape[1:] == (frame.height, frame.width):
        return inner
    image = torch.zeros(3, frame.height, frame.width)  # the border has the mean colour
    bottom, right = frame.top + frame.inner_height, frame.left + frame.inner_width
    image[:, frame.top : bottom, frame.left : right] = inner
    return image


def soft_masks(label_map: np.ndarray, frame: Frame, n: int) -> torch.Tensor:
    """Soft masks: the share of each token that belongs to each over-segment, (n, rows*columns).

    Float32 in [0, 1].

    Args:
        label_map: (H, W) integers in 0..n-1, of the image's size.
        n: the number of over-segments; those that don't occur have no share.
    """
    height, width = label_map.shape
    y = _pieces(height, frame.inner_height, frame.top, frame.patch)
    x = _pieces(width, frame.inner_width, frame.left, frame.patch)
    masks = np.zeros(n * frame.rows * frame.columns)
    band = max(1, _CHUNK // len(x.pixel))
    for start in range(0, len(y.pixel), band):
        rows = slice(start, start + band)
        labels = label_map[y.pixel[rows]][:, x.pixel].astype(np.int64)
        token = (labels * frame.rows + y.cell[rows, None]) * frame.columns + x.cell
        areas = np.outer(y.length[rows], x.length)
        masks += np.bincount(token.ravel(), areas.ravel(), minlength=len(masks))
    masks[masks < _NOTHING] = 0
    return torch.from_numpy(masks.reshape(n, -1)).float()


class _Pieces(NamedTuple):
    """An axis cut wherever a pixel or a token's cell ends: (p,) each, length in cells."""

    pixel: np.ndarray
    cell: np.ndarray
    length: np.ndarray


def _pieces(size: int, inner: int, offset: int, patch: int) -> _Pieces:
    """Cut an axis of `size` pixels that span `inner` units of the input from `offset` on."""
    pixels = offset + np.arange(size + 1) * inner / size
    cells = np.arange(offset // patch + 1, -(-(offset + inner) // patch)) * patch
    edges = np.union1d(pixels, cells)
    middles = (edges[1:] + edges[:-1]) / 2
    pixel = ((middles - offset) * size / inner).astype(np.int64)
    return _Pieces(pixel, (middles / patch).astype(np.int64), np.diff(edges) / patch)


def soften(masks: torch.Tensor, softness: float) -> torch.Tensor:
    """Soft masks as they count: (n, T) in [0, 1] -> the same, never a row of zeros.

    Args:
        masks: each token's share that belongs to the segment.
        softness: 1 leaves shares as they are, 0 rounds them; between, a ramp of that width around
            one half. A segment that would lose every token keeps the one it has most of, or several
            of which it has the same.
    """
    if softness == 1:
        return masks
    if softness == 0:
        counted = (masks >= 0.5 - _ROUNDING).to(masks)
    else:
        counted = ((masks - 0.5) / softness + 0.5).clamp(0, 1)
    largest = (masks >= masks.amax(1, keepdim=True) - _ROUNDING).to(masks)
    return torch.where(counted.amax(1, keepdim=True) > _ROUNDING, counted, largest)
