"""Mode "crop": the segment cut out of its image and encoded as an image of its own.

The classic baseline, and the only mode for towers without attention, such as ResNets.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from zeroguide.clip.extents import Box
from zeroguide.clip.frame import make_frame, preprocess
from zeroguide.clip.region import Region
from zeroguide.models import Clip


def embed_crops(
    clip: Clip, regions: Sequence[Region], boxes: Sequence[Box], *, batch_size: int
) -> torch.Tensor:
    """Embeddings of regions, not normalised: (n, e) float32, n at least 1.

    Args:
        clip: an open_clip model with any image tower.
        boxes: the regions' bounding boxes.
        batch_size: crops per forward pass; memory only.
    """
    place = next(clip.network.visual.parameters())
    passes = []
    for start in range(0, len(regions), batch_size):
        chosen = slice(start, start + batch_size)
        squares = [
            cut_out(region, box, clip.mean)
            for region, box in zip(regions[chosen], boxes[chosen], strict=True)
        ]
        images = torch.stack([_to_input(clip, square) for square in squares]).to(place)
        passes.append(clip.network.encode_image(images).float())
    return torch.cat(passes)


def cut_out(region: Region, box: Box, colour: Sequence[float]) -> np.ndarray:
    """The region in the middle of a square: (s, s, 3) uint8, s its box's longer side.

    Args:
        box: the region's bounding box.
        colour: of all that isn't the region, RGB in 0..1.
    """
    inside = np.isin(region.image.label_map[box.slices], region.parts)  # (h, w)
    h, w = inside.shape
    side = max(h, w)
    square = np.empty((side, side, 3), np.uint8)
    square[:] = np.round(np.multiply(colour, 255))
    top, left = (side - h) // 2, (side - w) // 2
    middle = square[top : top + h, left : left + w]
    middle[inside] = region.image.pixels[box.slices][inside]
    return square


def _to_input(clip: Clip, square: np.ndarray) -> torch.Tensor:
    """(s, s, 3) uint8 -> (3, S, S), the whole of it seen by the tower as it is."""
    size = clip.image_size
    frame = make_frame(*square.shape[:2], fit="squash", side=size, patch=1)
    return preprocess(square, frame, clip.mean, clip.std)
