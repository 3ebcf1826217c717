"""Pictures of segments without names: the bare colours, and a picture beside its overlay."""

from __future__ import annotations

import numpy as np
from PIL import Image

from zeroguide.result.named_map import NamedMap
from zeroguide.result.overlay.colours import choose_colours

GAP = 0.012  # of the longer side, between the two pictures
STACKED_FROM = 1.8  # width over height: wider pictures stand one above the other


def colour_mask(labeling: NamedMap) -> Image.Image:
    """One flat colour for each segment: RGB, of the picture's size."""
    colours = choose_colours(labeling.label_map, len(labeling.segments))
    return Image.fromarray(colours[labeling.label_map])


def side_by_side(pixels: np.ndarray, overlay: Image.Image) -> Image.Image:
    """The picture (H, W, 3) uint8 beside its overlay, brought to the overlay's size.

    Wide pictures stand above their overlay.
    """
    photo = Image.fromarray(pixels).resize(overlay.size, Image.Resampling.BICUBIC)
    width, height = overlay.size
    gap = max(4, round(GAP * max(width, height)))
    stacked = width > STACKED_FROM * height
    second = (0, height + gap) if stacked else (width + gap, 0)
    canvas = Image.new("RGB", (second[0] + width, second[1] + height), "white")
    canvas.paste(photo, (0, 0))
    canvas.paste(overlay, second)
    return canvas
