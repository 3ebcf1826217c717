"""Labeling -> picture."""

from zeroguide.overlay.drawing import draw

__all__ = ["draw"]
