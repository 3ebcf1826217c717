"""Labeling -> picture."""

from zeroguide.overlay.draw import draw

__all__ = ["draw"]
