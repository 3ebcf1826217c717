"""Antialiased shapes: Pillow's own have hard edges.

Each is drawn from its signed distance: a pixel is covered as far as the edge passes through it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

Point = tuple[float, float]
Colour = tuple[int, int, int]
Box = tuple[float, float, float, float]
"""left, top, right, bottom in pixels; right and bottom are outside."""


def draw_pill(
    picture: Image.Image, box: Box, radius: float, colour: Colour, opacity: float = 1.0
) -> None:
    """Fill a rectangle with round corners."""
    left, top, right, bottom = box
    radius = min(radius, (right - left) / 2, (bottom - top) / 2)

    def distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        dx = np.abs(x - (left + right) / 2) - (right - left) / 2 + radius
        dy = np.abs(y - (top + bottom) / 2) - (bottom - top) / 2 + radius
        outside = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0))
        return outside + np.minimum(np.maximum(dx, dy), 0) - radius

    _paint(picture, box, distance, colour, opacity)


def draw_line(
    picture: Image.Image, a: Point, b: Point, width: float, colour: Colour, opacity: float = 1.0
) -> None:
    """Draw a line with round ends; a == b gives a disc of diameter `width`."""
    (ax, ay), (bx, by) = a, b
    length2 = (bx - ax) ** 2 + (by - ay) ** 2

    def distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        t = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length2 if length2 else 0 * x * y
        t = np.clip(t, 0, 1)
        return np.hypot(x - ax - t * (bx - ax), y - ay - t * (by - ay)) - width / 2

    half = width / 2
    box = (min(ax, bx) - half, min(ay, by) - half, max(ax, bx) + half, max(ay, by) + half)
    _paint(picture, box, distance, colour, opacity)


def draw_shadow(picture: Image.Image, box: Box, radius: float, blur: float, opacity: float) -> None:
    """Darken softly around a pill, a little below it, so that it stands off its background."""
    margin = int(3 * blur) + 2
    left, top = int(box[0]) - margin, int(box[1]) - margin
    size = (int(box[2]) + margin - left, int(box[3]) + margin - top)
    moved = (box[0] - left, box[1] - top + blur / 2, box[2] - left, box[3] - top + blur / 2)
    canvas = Image.new("RGB", size)
    draw_pill(canvas, moved, radius, (255, 255, 255), opacity)
    shade = canvas.getchannel(0).filter(ImageFilter.GaussianBlur(blur))
    picture.paste((0, 0, 0), (left, top), shade)


def _paint(
    picture: Image.Image,
    box: Box,
    distance: Callable[[np.ndarray, np.ndarray], np.ndarray],
    colour: Colour,
    opacity: float,
) -> None:
    left, top = max(0, int(box[0]) - 1), max(0, int(box[1]) - 1)
    right, bottom = min(picture.width, int(box[2]) + 2), min(picture.height, int(box[3]) + 2)
    if left >= right or top >= bottom:
        return
    x = np.arange(left, right, dtype=np.float32)[None, :] + 0.5
    y = np.arange(top, bottom, dtype=np.float32)[:, None] + 0.5
    coverage = np.clip(0.5 - distance(x, y), 0, 1) * (255 * opacity)
    picture.paste(colour, (left, top), Image.fromarray(coverage.astype(np.uint8)))
