"""Procedural textures of the stuff, varied in hue, scale and structure.

Each function takes a random generator and a size and returns (h, w, 3) float32, roughly in [0, 1]
(the scene clips). Sizes of structures are relative to the picture's shorter side.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image

Rng = np.random.Generator


@lru_cache(maxsize=8)
def grid(h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and column coordinates, (h, 1) and (1, w) float32; the shorter side spans [0, 1]."""
    short = min(h, w)
    return (
        np.arange(h, dtype=np.float32)[:, None] / short,
        np.arange(w, dtype=np.float32)[None, :] / short,
    )


def noise(
    rng: Rng, h: int, w: int, cells: float, *, stretch: float = 1.0, angle: float = 0.0
) -> np.ndarray:
    """Smooth noise in about [-1, 1], (h, w) float32.

    Args:
        cells: number of bumps along the shorter side.
        stretch: how many times longer than thick the bumps are.
        angle: direction of their long axis in radians.
    """
    cells = min(cells, min(h, w) / 1.5)
    along, across = max(cells / stretch, 0.7), cells
    diagonal = float(np.hypot(h, w)) / min(h, w)
    n_along, n_across = int(along * diagonal) + 4, int(across * diagonal) + 4
    values = rng.random((n_across, n_along), dtype=np.float32) * 2 - 1
    if angle == 0.0:  # resizing is separable, three times as fast as a turned grid
        box = (1.0, 1.0, 1.0 + along * w / min(h, w), 1.0 + across * h / min(h, w))
        field = Image.fromarray(values).resize((w, h), Image.Resampling.BICUBIC, box)
        return np.asarray(field, np.float32)
    cos, sin, short = np.cos(angle), np.sin(angle), min(h, w)
    a, c = along / short, across / short
    coefficients = (
        a * cos, a * sin, n_along / 2 - (a * cos * w + a * sin * h) / 2,
        -c * sin, c * cos, n_across / 2 - (-c * sin * w + c * cos * h) / 2,
    )  # fmt: skip
    # Bumps of few pixels look the same through the cheaper filter.
    smooth = across < 16
    field = Image.fromarray(values).transform(
        (w, h),
        Image.Transform.AFFINE,
        coefficients,
        Image.Resampling.BICUBIC if smooth else Image.Resampling.BILINEAR,
    )
    return np.asarray(field, np.float32)


def fractal(rng: Rng, h: int, w: int, cells: float, octaves: int = 3, **kind: float) -> np.ndarray:
    """Sum of `octaves` noises, each twice as fine and half as strong; about [-1, 1]."""
    total = noise(rng, h, w, cells, **kind)
    for octave in range(1, octaves):
        total = total + 0.5**octave * noise(rng, h, w, cells * 2**octave, **kind)
    return total / (2 - 0.5 ** (octaves - 1))


def colour(
    rng: Rng, hue: tuple[float, float], sat: tuple[float, float], val: tuple[float, float]
) -> np.ndarray:
    """A random colour from ranges of hue, saturation and value, (3,) float32."""
    rgb = colorsys.hsv_to_rgb(rng.uniform(*hue) % 1.0, rng.uniform(*sat), rng.uniform(*val))
    return np.array(rgb, np.float32)


def _mix(low: np.ndarray, high: np.ndarray, amount: np.ndarray) -> np.ndarray:
    """Between two colours by a field (h, w), clipped to [0, 1]."""
    amount = amount.clip(0, 1)
    picture = np.empty((*amount.shape, 3), np.float32)
    for channel in range(3):  # three times as fast as broadcasting over an axis of length 3
        np.multiply(amount, high[channel] - low[channel], out=picture[..., channel])
        picture[..., channel] += low[channel]
    return picture


def _tilted(h: int, w: int, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along and across a direction, (h, w) each, in units of the shorter side."""
    y, x = grid(h, w)
    cos, sin = float(np.cos(angle)), float(np.sin(angle))  # numpy's would make it all float64
    return x * cos + y * sin, y * cos - x * sin


def sky(rng: Rng, h: int, w: int) -> np.ndarray:
    """A day, dusk or overcast gradient with clouds."""
    y = grid(h, w)[0] / (h / min(h, w)) + np.zeros((1, w), np.float32)
    mood = rng.random()
    if mood < 0.6:  # day
        top = colour(rng, (0.52, 0.64), (0.35, 0.9), (0.55, 1.0))
        bottom = colour(rng, (0.5, 0.62), (0.05, 0.45), (0.75, 1.0))
    elif mood < 0.8:  # dusk
        top = colour(rng, (0.55, 0.85), (0.2, 0.6), (0.45, 0.8))
        bottom = colour(rng, (-0.05, 0.12), (0.3, 0.8), (0.75, 1.0))
    else:  # overcast
        top = colour(rng, (0.5, 0.7), (0.0, 0.25), (0.45, 0.75))
        bottom = colour(rng, (0.5, 0.7), (0.0, 0.2), (0.65, 0.9))
    picture = _mix(top, bottom, y ** rng.uniform(0.5, 2.0))
    puffs = fractal(rng, h, w, rng.uniform(1.5, 5), 3, stretch=rng.uniform(1, 2.5))
    cover = np.clip((puffs + rng.uniform(-0.35, 0.25)) * rng.uniform(1.5, 4), 0, 1)
    return _mix_fields(
        picture, colour(rng, (0, 1), (0.0, 0.15), (0.8, 1.0)), cover * rng.uniform(0.2, 1)
    )


def _mix_fields(picture: np.ndarray, tint: np.ndarray, amount: np.ndarray) -> np.ndarray:
    return picture + amount[..., None] * (tint - picture)


def grass(rng: Rng, h: int, w: int) -> np.ndarray:
    """Blades, more or less upright, over patches of light; some meadows are in flower."""
    base = colour(rng, (0.16, 0.42), (0.35, 0.95), (0.3, 0.75))
    dark = base * rng.uniform(0.2, 0.65)
    blades = fractal(
        rng, h, w, rng.uniform(14, 50), 2,
        stretch=rng.uniform(2, 6), angle=np.pi / 2 + rng.normal(0, 0.35),
    )  # fmt: skip
    patches = noise(rng, h, w, rng.uniform(2, 6))
    picture = _mix(dark, base, 0.55 + rng.uniform(0.5, 1.1) * blades + 0.25 * patches)
    if rng.random() < 0.2:  # a meadow in flower
        flowers = noise(rng, h, w, rng.uniform(20, 40)) > rng.uniform(0.75, 0.9)
        picture = _mix_fields(picture, colour(rng, (0, 1), (0, 0.9), (0.8, 1)), 0.9 * flowers)
    return picture


def sand(rng: Rng, h: int, w: int) -> np.ndarray:
    """Grain and ripples."""
    base = colour(rng, (0.04, 0.15), (0.12, 0.6), (0.6, 1.0))
    dark = base * rng.uniform(0.55, 0.85)
    u, _ = _tilted(h, w, rng.uniform(0, np.pi))
    warp = noise(rng, h, w, rng.uniform(1.5, 4))
    ripples = np.sin((u + rng.uniform(0.03, 0.12) * warp) * rng.uniform(25, 90))
    grain = rng.random((h, w), dtype=np.float32) - 0.5
    strength = rng.uniform(0, 0.45)
    return _mix(dark, base, 0.6 + strength * ripples + rng.uniform(0.3, 1.2) * grain + 0.2 * warp)


def water(rng: Rng, h: int, w: int) -> np.ndarray:
    """Waves along the horizon, with glints."""
    base = colour(rng, (0.43, 0.67), (0.35, 0.95), (0.3, 0.8))
    deep = base * rng.uniform(0.3, 0.7)
    waves = fractal(
        rng, h, w, rng.uniform(10, 34), 2,
        stretch=rng.uniform(3, 8), angle=rng.normal(0, 0.15),
    )  # fmt: skip
    picture = _mix(deep, base, 0.5 + rng.uniform(0.6, 1.2) * waves)
    glints = np.clip((waves - rng.uniform(0.25, 0.55)) * 4, 0, 1)
    return _mix_fields(picture, np.ones(3, np.float32), glints * rng.uniform(0.2, 0.9))


def snow(rng: Rng, h: int, w: int) -> np.ndarray:
    """Soft drifts, sparkle, sometimes trodden."""
    white = colour(rng, (0.5, 0.9), (0.0, 0.08), (0.9, 1.0))
    shade = colour(rng, (0.52, 0.8), (0.05, 0.3), (0.65, 0.9))
    drifts = fractal(rng, h, w, rng.uniform(1.5, 5), 2, stretch=rng.uniform(1, 4))
    picture = _mix(shade, white, 0.65 + rng.uniform(0.5, 1.2) * drifts)
    sparkle = rng.random((h, w), dtype=np.float32) > rng.uniform(0.97, 0.999)
    picture = picture + 0.25 * sparkle[..., None]
    if rng.random() < 0.4:  # soft bumps, like trodden snow
        bumps = noise(rng, h, w, rng.uniform(8, 24))
        picture = picture + rng.uniform(0.03, 0.1) * bumps[..., None]
    return picture


def brick_wall(rng: Rng, h: int, w: int) -> np.ndarray:
    """Bricks in running bond, each with its own tone; some walls are painted."""
    painted = rng.random() < 0.2
    base = colour(rng, (0, 1) if painted else (-0.03, 0.1), (0.05, 0.75), (0.3, 0.9))
    mortar = colour(rng, (0.0, 0.2), (0.0, 0.2), (0.15, 0.95))
    u, v = _tilted(h, w, rng.normal(0, 0.06))
    rows, ratio, gap = rng.uniform(6, 16), rng.uniform(1.6, 3.2), rng.uniform(0.1, 0.22)
    v = v * rows + 50
    row = np.floor(v)
    u = u * rows / ratio + 50 + 0.5 * (row % 2)
    column = np.floor(u)
    # One tone per brick, from a table addressed by its row and column.
    tones = rng.random((64, 64), dtype=np.float32)[row.astype(int) % 64, column.astype(int) % 64]
    wall = base * (1 + rng.uniform(0.2, 0.7) * (tones - 0.5))[..., None]
    wall = wall * (1 + rng.uniform(0.05, 0.3) * noise(rng, h, w, 40))[..., None]
    joint = ((v - row) < gap) | ((u - column) < gap / ratio)
    return _mix_fields(wall, mortar, joint * np.float32(rng.uniform(0.7, 1)))


def wooden_floor(rng: Rng, h: int, w: int) -> np.ndarray:
    """Planks with grain, in any direction."""
    base = colour(rng, (0.03, 0.12), (0.25, 0.8), (0.3, 0.9))
    dark = base * rng.uniform(0.35, 0.7)
    angle = rng.choice([0.0, np.pi / 2]) + rng.normal(0, 0.1)
    angle = rng.uniform(0, np.pi) if rng.random() < 0.4 else angle
    u, v = _tilted(h, w, angle)
    planks = rng.uniform(3.5, 10)
    v = v * planks + 50
    plank = np.floor(v)
    offsets = rng.random(128, dtype=np.float32)[plank.astype(int) % 128]
    u = u * rng.uniform(0.5, 1.8) + 50 + offsets * 3
    board = np.floor(u)
    tones = rng.random((128, 64), dtype=np.float32)[plank.astype(int) % 128, board.astype(int) % 64]
    grain = fractal(rng, h, w, rng.uniform(20, 45), 2, stretch=rng.uniform(5, 10), angle=angle)
    picture = _mix(
        dark, base, 0.6 + rng.uniform(0.3, 1.0) * grain + rng.uniform(0.3, 1) * (tones - 0.5)
    )
    width = rng.uniform(0.05, 0.12)
    seam = ((v - plank) < width) | ((u - board) < width * 0.15)
    return picture * (1 - rng.uniform(0.35, 0.85) * seam)[..., None].astype(np.float32)


def night_sky(rng: Rng, h: int, w: int) -> np.ndarray:
    """A dark gradient with stars."""
    y = grid(h, w)[0] / (h / min(h, w)) + np.zeros((1, w), np.float32)
    top = colour(rng, (0.55, 0.82), (0.3, 1.0), (0.02, 0.2))
    bottom = colour(rng, (0.55, 0.9), (0.3, 0.9), (0.05, 0.35))
    picture = _mix(top, bottom, y + 0.3 * fractal(rng, h, w, rng.uniform(1, 4), 2))
    count = int(rng.uniform(25, 140) * h * w / min(h, w) ** 2)
    rows, columns = rng.integers(h, size=count), rng.integers(w, size=count)
    radius = min(h, w) / 112  # a star is about one pixel at the training size, at any size
    light = np.zeros((h, w), np.float32)
    strength = rng.random(count, dtype=np.float32) ** 2
    for dy in range(max(1, round(radius))):
        for dx in range(max(1, round(radius))):
            light[np.minimum(rows + dy, h - 1), np.minimum(columns + dx, w - 1)] = (
                0.3 + 0.7 * strength
            )
    return _mix_fields(picture, colour(rng, (0, 1), (0, 0.25), (0.9, 1)), light)


TEXTURES: dict[str, Callable[[Rng, int, int], np.ndarray]] = {
    "sky": sky,
    "grass": grass,
    "sand": sand,
    "water": water,
    "snow": snow,
    "brick wall": brick_wall,
    "wooden floor": wooden_floor,
    "night sky": night_sky,
}
"""Texture functions by stuff name."""
