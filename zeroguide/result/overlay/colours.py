"""Colours that stay apart, also for viewers who do not see red or green.

Distances are Euclidean in OKLab (B. Ottosson, "A perceptual color space for image processing",
2020), where about 0.02 is just noticeable. Protanopia and deuteranopia are simulated with the
matrices of Machado, Oliveira & Fernandes, "A physiologically-based model for simulation of color
vision deficiency" (2009), severity 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import numpy as np

# 16 colours found by maximising the smallest distance of any two under the three ways of seeing,
# in OKLab lightness 0.42..0.93 and chroma 0.09..0.23 (vivid, not neon); the bright ones have no
# channel below 0.2, or they would turn to mud over dark parts of a photo. The order is that of
# preference: few segments get bright colours, which leave the photo underneath readable.
PALETTE = (
    "#b3bfff", "#ff668c", "#33b3bf", "#ffb399", "#bf80ff", "#33a633", "#33ffff", "#ffe633",
    "#804de6", "#b3bf33", "#cc0073", "#4d73a6", "#2633bf", "#8c6600", "#800d80", "#99000d",
)  # fmt: skip
SEPARATION = 0.09  # the least distance of two of them under any of the three
NEARBY_GRID, NEARBY = 100, 8  # nearby: within 8 % of the longer side
PREFERENCE = 0.012  # what each step down the palette costs, beside closeness to other colours

# Rows give the linear R, G, B seen, from the linear R, G, B shown.
SIGHT = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
}
_LMS = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
_LAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)


def to_linear(rgb: np.ndarray) -> np.ndarray:
    """sRGB 0..255 of shape (..., 3) -> linear light 0..1."""
    s = np.asarray(rgb, np.float64) / 255
    return np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4)


def oklab(rgb: np.ndarray, sight: str = "normal") -> np.ndarray:
    """sRGB 0..255 of shape (..., 3) -> OKLab of what a viewer with this `sight` sees."""
    seen = np.clip(to_linear(rgb) @ np.array(SIGHT[sight]).T, 0, 1)
    return np.cbrt(seen @ np.array(_LMS).T) @ np.array(_LAB).T


def distances(rgb: np.ndarray) -> np.ndarray:
    """Smallest OKLab distance over all ways of seeing, of every two of n colours: (n, n)."""
    views = np.stack([oklab(rgb, sight) for sight in SIGHT])  # (3, n, 3)
    return np.linalg.norm(views[:, :, None] - views[:, None, :], axis=-1).min(0)


def luminance(rgb: np.ndarray) -> np.ndarray:
    """Relative luminance 0..1 (WCAG 2) of sRGB 0..255 of shape (..., 3)."""
    return to_linear(rgb) @ np.array((0.2126, 0.7152, 0.0722))


def contrast(a: np.ndarray, b: np.ndarray) -> float:
    """Contrast ratio 1..21 (WCAG 2) of two sRGB colours."""
    dark, bright = sorted((float(luminance(a)), float(luminance(b))))
    return (bright + 0.05) / (dark + 0.05)


def text_colour(background: np.ndarray) -> tuple[int, int, int]:
    """Black or white, whichever reads better: the contrast ratio is never below 4.58."""
    black, white = (0, 0, 0), (255, 255, 255)
    return max(black, white, key=lambda ink: contrast(np.array(ink), background))


def css(colour: Iterable[int]) -> str:
    """A colour 0..255 as CSS writes it: "#ffe633"."""
    return "#" + bytes(int(channel) for channel in colour).hex()


@cache
def palette() -> np.ndarray:
    """PALETTE as (16, 3) uint8."""
    return np.array([list(bytes.fromhex(c[1:])) for c in PALETTE], np.uint8)


def neighbours(label_map: np.ndarray, n: int, *, within: int = 1) -> np.ndarray:
    """Which of the ids 1..n lie within so many pixels: (n + 1, n + 1) bool, symmetric.

    label_map: (H, W) int. Measured along rows, columns and diagonals; 1 means sharing a border.
    """
    close = np.zeros((n + 1, n + 1), bool)
    height, width = label_map.shape
    for step in range(1, within + 1):
        for dy, dx in ((0, step), (step, 0), (step, step), (step, -step)):
            if dy < height and abs(dx) < width:
                left, right = max(0, -dx), width - max(0, dx)
                a = label_map[: height - dy, left:right]
                b = label_map[dy:, left + dx : right + dx]
                differ = a != b
                close[a[differ], b[differ]] = True
    return close | close.T


def choose_colours(label_map: np.ndarray, n: int) -> np.ndarray:
    """A colour for each of the ids 1..n of a label map (H, W): (n + 1, 3) uint8, row 0 unused.

    The largest segments choose first. No colour is used more often than needed; a colour that a
    segment nearby has is taken only if there is no other, one of a neighbour only if all nearby
    ones are taken. Among those allowed, the best is far from the colours of neighbours, then from
    those of other large segments, then early in the palette. The same label map always gives the
    same colours.
    """
    areas = np.bincount(label_map.ravel(), minlength=n + 1)
    touch = neighbours(label_map, n)
    stride = max(1, max(label_map.shape) // NEARBY_GRID)
    near = touch | neighbours(label_map[::stride, ::stride], n, within=NEARBY)
    colours = palette()
    apart = distances(colours)
    # The photo's own light and shade shows through, so what tells tints apart is mostly the hue.
    hue = oklab(colours)[:, 1:]
    hue_apart = np.linalg.norm(hue[:, None] - hue[None, :], axis=-1)
    closeness = np.exp(-apart / 0.04) + 0.5 * np.exp(-hue_apart / 0.05)
    order = np.argsort(-areas[1:], kind="stable") + 1
    chosen: dict[int, int] = {}
    used = np.zeros(len(colours), int)
    for id in order.tolist():
        others = list(chosen)
        theirs = np.array([chosen[other] for other in others], int)
        allowed = np.ones(len(colours), bool)
        for kin in (near, touch):
            free = np.bincount(theirs[kin[id, others]], minlength=len(colours)) == 0
            if free.any():
                allowed = free
                break
        allowed &= used == used[allowed].min()
        weight = 0.5 * touch[id, others] + 0.5 * near[id, others]
        weight = weight + np.sqrt(areas[others] / areas.sum())
        cost = closeness[:, theirs] @ weight + PREFERENCE * np.arange(len(colours))
        chosen[id] = int(np.where(allowed, cost, np.inf).argmin())
        used[chosen[id]] += 1
    return colours[[0, *(chosen[id] for id in range(1, n + 1))]]
