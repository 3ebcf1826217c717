"""Labeling -> picture."""

from zeroguide.result.overlay.drawing import draw, segment_colours
from zeroguide.result.overlay.masks import colour_mask, side_by_side

__all__ = ["colour_mask", "draw", "segment_colours", "side_by_side"]
