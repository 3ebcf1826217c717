"""Composition of scenes: stuff regions, things on them, then light, lens and compression."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from zeroguide.playroom.glyphs import draw_glyph
from zeroguide.playroom.names import STUFF, THINGS
from zeroguide.playroom.textures import TEXTURES, grid, noise

Rng = np.random.Generator

# A thing may lose this share of its area to things in front of it, no more.
_MAX_OCCLUSION = 0.45


@dataclass(frozen=True, eq=False)
class Scene:
    """A rendered picture with its exact ground truth.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        label_map: (H, W) uint8, at each pixel an index into `names`; every index occurs.
        names: the region names, stuff first; distinct within a scene.
    """

    pixels: np.ndarray
    label_map: np.ndarray
    names: tuple[str, ...]


def render(
    seed: int,
    index: int,
    *,
    size: int | tuple[int, int] = 112,
    n_things: tuple[int, int] = (1, 5),
    n_stuff: tuple[int, int] = (1, 3),
) -> Scene:
    """Render scene number `index` of the world `seed`.

    The same arguments give the same scene, on any machine with the same numpy and Pillow.

    Args:
        seed: the world; train and test on different ones.
        index: which scene, >= 0.
        size: height and width in pixels, or one number for a square.
        n_things: least and greatest number of things (fewer may fit).
        n_stuff: least and greatest number of stuff regions.
    """
    rng = np.random.default_rng((seed, index))
    h, w = (size, size) if isinstance(size, int) else size
    stuff = rng.choice(len(STUFF), rng.integers(n_stuff[0], n_stuff[1] + 1), replace=False)
    names = [STUFF[i] for i in stuff]
    label_map = _layout(rng, h, w, len(names))
    pixels = TEXTURES[names[0]](rng, h, w)
    for i, name in enumerate(names[1:], 1):
        pixels = np.where((label_map == i)[..., None], TEXTURES[name](rng, h, w), pixels)
    pixels = pixels.astype(np.float32, copy=False).clip(0, 1)

    count = int(rng.integers(n_things[0], n_things[1] + 1))
    for i in rng.choice(len(THINGS), count, replace=False):
        if _place_thing(rng, pixels, label_map, THINGS[i], len(names), count):
            names.append(THINGS[i])
    # A stuff region that things cover wholly is no region: close the gap in the numbers.
    present = np.flatnonzero(np.bincount(label_map.ravel(), minlength=len(names)))
    new_label = np.zeros(len(names), np.uint8)
    new_label[present] = np.arange(len(present))
    return Scene(
        pixels=_photograph(rng, pixels),
        label_map=new_label[label_map],
        names=tuple(names[i] for i in present),
    )


def _layout(rng: Rng, h: int, w: int, parts: int) -> np.ndarray:
    """Divide the picture into `parts` regions with wavy borders: (h, w) uint8."""
    if parts == 1:
        return np.zeros((h, w), np.uint8)
    y, x = grid(h, w)
    # Mostly horizon-like borders; sometimes walls side by side, or any direction.
    angle = rng.choice([np.pi / 2, 0.0, rng.uniform(0, np.pi)], p=[0.6, 0.15, 0.25])
    angle += rng.normal(0, 0.12)
    height = x * np.cos(angle) + y * np.sin(angle)
    height = height + rng.uniform(0, 0.12) * noise(rng, h, w, rng.uniform(1, 5))
    shares = rng.uniform(0.6, 1.4, parts)
    levels = np.quantile(height, np.cumsum(shares / shares.sum())[:-1])
    return np.searchsorted(levels, height).astype(np.uint8)


def _place_thing(
    rng: Rng, pixels: np.ndarray, label_map: np.ndarray, name: str, label: int, crowd: int
) -> bool:
    """Draw a thing into `pixels` and `label_map` in place; False where it found no room."""
    h, w = label_map.shape
    largest = 0.75 if crowd == 1 else 0.5 if crowd <= 3 else 0.42
    length = min(h, w) * np.exp(rng.uniform(np.log(0.17), np.log(largest)))
    sprite = draw_glyph(
        name,
        length=length,
        angle=rng.normal(0, 0.3) if rng.random() < 0.9 else rng.uniform(0, 2 * np.pi),
        flip=bool(rng.random() < 0.5),
        squeeze=float(np.exp(rng.normal(0, 0.1))),
    )
    alpha = sprite[..., 3]
    rgb = _treat(rng, sprite[..., :3], alpha)
    whole = alpha > 0.5
    areas = np.bincount(label_map.ravel(), minlength=label)
    for _ in range(8):
        target, source = _window(rng, alpha.shape, h, w)
        solid = whole[source]
        if np.count_nonzero(solid) < 0.6 * np.count_nonzero(whole) or not solid.any():
            continue  # too much of it outside the picture
        ground = label_map[target]
        covered = np.bincount(ground[solid], minlength=label)
        if (covered > _MAX_OCCLUSION * areas).any():
            continue
        label_map[target] = np.where(solid, np.uint8(label), ground)
        _cast_shadow(rng, pixels, target, alpha[source])
        pixels[target] = rgb[source] + (1 - alpha[source][..., None]) * pixels[target]
        return True
    return False


Window = tuple[slice, slice]


def _window(rng: Rng, shape: tuple[int, int], h: int, w: int) -> tuple[Window, Window]:
    """A random position for a sprite: its slices in the picture and in the sprite itself."""
    top = int(rng.uniform(-0.15 * shape[0], h - 0.85 * shape[0]))
    left = int(rng.uniform(-0.15 * shape[1], w - 0.85 * shape[1]))
    y0, y1 = max(top, 0), max(min(top + shape[0], h), max(top, 0))
    x0, x1 = max(left, 0), max(min(left + shape[1], w), max(left, 0))
    return (slice(y0, y1), slice(x0, x1)), (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))


def _treat(rng: Rng, rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Vary a sprite's colours: (h, w, 3) premultiplied in and out."""
    mode = rng.random()
    if mode < 0.1:  # black and white
        rgb = np.repeat(rgb @ np.array([[0.3], [0.59], [0.11]], np.float32), 3, axis=2)
    elif mode < 0.5:  # turned hue, small or large
        rgb = rgb @ _hue_rotation(rng.normal(0, 0.35 if mode < 0.44 else 1.5))
    gain = np.exp(rng.normal(0, 0.18)) * np.exp(rng.normal(0, 0.06, 3))
    flat = rng.uniform(0, 0.3) * rng.random()  # towards the sprite's own mean: lower contrast
    mean = rgb.sum(axis=(0, 1)) / max(float(alpha.sum()), 1.0)
    rgb = (1 - flat) * rgb + flat * mean * alpha[..., None]
    return np.clip(rgb * gain.astype(np.float32), 0, alpha[..., None])


def _hue_rotation(angle: float) -> np.ndarray:
    """Rotation of RGB space about the grey axis, (3, 3), for row vectors."""
    cos, sin = np.cos(angle), np.sin(angle)
    third, cross = (1 - cos) / 3, sin / np.sqrt(3)
    a, b, c = cos + third, third - cross, third + cross
    return np.array([[a, c, b], [b, a, c], [c, b, a]], np.float32)


def _cast_shadow(rng: Rng, pixels: np.ndarray, target: Window, alpha: np.ndarray) -> None:
    """Darken the ground a little beside the sprite, half of the time."""
    if rng.random() < 0.5:
        return
    dy, dx = (int(v) for v in np.round(rng.uniform(-0.08, 0.08, 2) * alpha.shape[0]))
    strength = np.float32(rng.uniform(0.15, 0.5))
    ys = slice(max(target[0].start + dy, 0), min(target[0].stop + dy, pixels.shape[0]))
    xs = slice(max(target[1].start + dx, 0), min(target[1].stop + dx, pixels.shape[1]))
    part = alpha[ys.start - target[0].start - dy :, xs.start - target[1].start - dx :]
    part = part[: ys.stop - ys.start, : xs.stop - xs.start]
    pixels[ys, xs] *= 1 - strength * part[..., None]


def _photograph(rng: Rng, pixels: np.ndarray) -> np.ndarray:
    """Light, colour cast, blur, sensor noise and JPEG: (h, w, 3) float in, uint8 out."""
    h, w = pixels.shape[:2]
    pixels = pixels.astype(np.float32)
    if rng.random() < 0.6:
        light = 1 + rng.uniform(0, 0.4) * noise(rng, h, w, rng.uniform(0.7, 2))
        pixels = pixels * light[..., None]
    gain = np.exp(rng.normal(0, 0.08, 3) + rng.normal(0, 0.12)).astype(np.float32)
    pixels = (pixels - 0.5) * np.float32(rng.uniform(0.75, 1.2)) + 0.5
    pixels = np.clip(pixels * gain, 0, 1) ** np.float32(np.exp(rng.normal(0, 0.15)))
    if rng.random() < 0.4:
        sigma = rng.uniform(0.005, 0.06)
        # One table of noise, rolled: drawing a normal value per pixel would cost half the scene.
        table = rng.standard_normal(4096 + h * w * 3 // 8, dtype=np.float32)
        flat = np.resize(table, h * w * 3).reshape(h, w, 3)
        pixels = pixels + np.float32(sigma) * flat
    picture = Image.fromarray((np.clip(pixels, 0, 1) * 255).astype(np.uint8))
    if rng.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 1.0) * min(h, w) / 112))
    if rng.random() < 0.5:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=int(rng.integers(30, 95)))
        picture = Image.open(buffer)
    return np.asarray(picture)
