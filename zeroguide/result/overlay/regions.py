"""The translucent regions and the lines between them.

A label map has stairs for borders. Each segment's mask is blurred a little; where the two strongest
masks at a pixel are a and b, the blurred step edge says how far the border is: a - b =
erf(distance / (sigma * sqrt(2))). Lines drawn from that distance are smooth and antialiased, at any
enlargement, without computing anything at a higher resolution.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageFilter

from zeroguide.result.segment import regions

FILL, GLOW = 0.15, 0.5  # opacity inside a segment, and what its rim has more: true colours inside
LINE, HALO = 0.95, 0.42  # opacity of the white line, and of the dark one around it


def render_regions(
    label_map: np.ndarray, colours: np.ndarray, size: tuple[int, int], line: float
) -> tuple[Image.Image, Image.Image]:
    """Paint and its opacity, to be composed over the photo.

    label_map: (H, W) int, ids from 1. colours: (n + 1, 3) uint8, by id. size: (width, height) of
    the result, at least that of the label map. line: width of the white line in pixels.
    Returns an RGB and an L image of this size.
    """
    present = np.flatnonzero(np.bincount(label_map.ravel()))  # a reduced map may lack some
    compact = np.zeros(present[-1] + 1, np.int32)
    compact[present] = np.arange(1, len(present) + 1)
    label_map, colours = compact[label_map], colours[[0, *present]]
    sigma = max(0.8 * line, min(0.7 * size[0] / label_map.shape[1], 20 * line))
    winner, distance = soft_borders(label_map, size, sigma)
    white = np.clip(line / 2 + 0.5 - distance, 0, 1) * LINE  # (h, w)
    halo = np.clip((2.2 * line - distance) / (1.7 * line), 0, 1) ** 2 * HALO
    rim = Image.fromarray((distance < line).astype(np.uint8) * 255)
    glow = np.asarray(rim.filter(ImageFilter.GaussianBlur(5 * line)), np.float32) / 255
    fill = FILL + GLOW * np.minimum(1.6 * glow, 1)
    # Where there is hardly anything but border, lines would cover all colour.
    fade = 1 - 0.9 * np.clip((glow - 0.5) / 0.35, 0, 1)
    white *= fade
    halo *= fade

    # Three layers, each over the one before: fill, dark halo, white line.
    opacity = 1 - (1 - fill) * (1 - halo) * (1 - white)
    paint = colours.astype(np.float32)[winner]  # (h, w, 3)
    paint *= (fill * (1 - halo) * (1 - white) / opacity)[..., None]
    paint += (255 * white / opacity)[..., None]
    return Image.fromarray(paint.astype(np.uint8)), Image.fromarray(
        (opacity * 255).astype(np.uint8)
    )


def soft_borders(
    label_map: np.ndarray, size: tuple[int, int], sigma: float
) -> tuple[np.ndarray, np.ndarray]:
    """The segment of every pixel after enlarging, and the pixel's distance to the nearest border.

    label_map: (H, W) int, ids 1..n. size: (width, height) of the result. sigma: of the blur, in
    pixels of the result. Returns (height, width) int32 ids and float32 distances, right up to about
    2 sigma and a large number beyond.
    """
    width, height = size
    scale_y, scale_x = height / label_map.shape[0], width / label_map.shape[1]
    best = np.zeros((height, width), np.uint8)
    second = np.zeros((height, width), np.uint8)
    nearest = Image.fromarray(label_map.astype(np.int32))
    winner = np.array(nearest.resize(size, Image.Resampling.NEAREST))
    for id, ((x, y, w, h), _) in enumerate(regions(label_map, int(label_map.max())), start=1):
        # A crop of the label map around the segment, and where the crop lies in the result.
        mx, my = math.ceil(3 * sigma / scale_x) + 1, math.ceil(3 * sigma / scale_y) + 1
        x0, x1 = max(0, x - mx), min(label_map.shape[1], x + w + mx)
        y0, y1 = max(0, y - my), min(label_map.shape[0], y + h + my)
        left, right = math.ceil(x0 * scale_x), min(width, math.ceil(x1 * scale_x))
        top, bottom = math.ceil(y0 * scale_y), min(height, math.ceil(y1 * scale_y))
        mask = Image.fromarray((label_map[y0:y1, x0:x1] == id).view(np.uint8) * np.uint8(255))
        if (scale_x, scale_y) != (1, 1):
            within = (
                left / scale_x - x0,
                top / scale_y - y0,
                min(mask.width, right / scale_x - x0),
                min(mask.height, bottom / scale_y - y0),
            )
            crop = (right - left, bottom - top)
            mask = mask.resize(crop, Image.Resampling.BILINEAR, within)
        soft = np.asarray(mask.filter(ImageFilter.GaussianBlur(sigma)))
        here = (slice(top, bottom), slice(left, right))
        ahead = soft > best[here]
        second[here] = np.where(ahead, best[here], np.maximum(second[here], soft))
        winner[here][ahead] = id
        np.maximum(best[here], soft, out=best[here])
    return winner, _distance_table(sigma, max(scale_x, scale_y))[best - second]


def _distance_table(sigma: float, scale: float) -> np.ndarray:
    # Enlarging by bilinear interpolation blurs too: by a triangle of variance scale ** 2 / 6.
    if scale > 1:
        sigma = math.hypot(sigma, scale / math.sqrt(6))
    x = np.linspace(0, 2.5, 256)
    step = np.interp(np.arange(256) / 255, [math.erf(v) for v in x], x) * math.sqrt(2) * sigma
    step[-2:] = 1e6  # far from any border
    return step.astype(np.float32)
