"""Labeling -> picture."""

from zeroguide.overlay.drawing import draw
from zeroguide.overlay.masks import colour_mask, side_by_side

__all__ = ["colour_mask", "draw", "side_by_side"]
