"""An image, or a window of it, in the tower: its tokens there, and the masks of its segments."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from zeroguide.clip.extents import Box, Extents
from zeroguide.clip.frame import Frame, soft_masks
from zeroguide.clip.region import SegmentedImage


@dataclass(frozen=True)
class Encoded:
    """An image, or a window of it, that went through the tower up to the masked part.

    tokens: (T, d). frame: how the image met the tower.
    """

    tokens: torch.Tensor
    frame: Frame


@dataclass(frozen=True, eq=False)
class TokenWeights:
    """How much of each token counts for a region.

    box: the part of the image that the tower sees. frame: how that lies in the tower's input.
    weights: (rows, columns) float32 in [0, 1].
    """

    box: Box
    frame: Frame
    weights: np.ndarray


@dataclass(frozen=True)
class View:
    """An image, or a window of it, in the tower.

    tokens: (T, d), on entering the masked part. masks: (n, h*w), soft, of the over-segments.
    """

    tokens: torch.Tensor
    masks: torch.Tensor


@dataclass
class Prepared:
    """What segments of some images have in common; made and read by `SegmentEmbedder`.

    It grows as windows are asked for.
    """

    views: dict[tuple[SegmentedImage, Box], View] = field(default_factory=dict)
    extents: dict[SegmentedImage, Extents] = field(default_factory=dict)


def part_masks(image: SegmentedImage, box: Box, frame: Frame) -> torch.Tensor:
    """Soft masks of an image's over-segments in a box: (n, h*w)."""
    return soft_masks(image.label_map[box.slices], frame, int(image.label_map.max()) + 1)
