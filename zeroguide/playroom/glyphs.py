"""Bitmaps of the things, cut from the atlas ``glyphs.png``.

The atlas holds glyphs of Noto Color Emoji, drawn by ``scripts/docs/draw_glyphs.py``; their
licence is ``OFL.txt`` beside it.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np
from PIL import Image

from zeroguide.playroom.names import THINGS

CELL = (136, 128)
"""Width and height of a cell of the atlas: the font's bitmaps."""

COLUMNS = 12
"""Cells in a row of the atlas; the things are in the order of THINGS, row by row."""


@cache
def _atlas() -> Image.Image:
    with (files("zeroguide.playroom") / "glyphs.png").open("rb") as file:
        return Image.open(file).convert("RGBA")


@cache
def glyph(name: str) -> tuple[Image.Image, ...]:
    """Premultiplied RGBA bitmaps of a thing, largest first, each half the size of the one before.

    The halved copies are there because sampling a large bitmap into a few pixels aliases.
    """
    row, column = divmod(THINGS.index(name), COLUMNS)
    left, top = column * CELL[0], row * CELL[1]
    cell = _atlas().crop((left, top, left + CELL[0], top + CELL[1]))
    levels = [cell.crop(cell.getchannel("A").getbbox()).convert("RGBa")]
    while min(levels[-1].size) > 16:
        levels.append(levels[-1].reduce(2))
    return tuple(levels)


def draw_glyph(name: str, *, length: float, angle: float, flip: bool, squeeze: float) -> np.ndarray:
    """A thing's bitmap, transformed: (h, w, 4) float32 in [0, 1], premultiplied, tightly boxed.

    Args:
        name: one of THINGS.
        length: size in pixels of the glyph's longer side before rotation.
        angle: rotation in radians.
        flip: mirror left and right.
        squeeze: horizontal stretch, 1 for none.
    """
    levels = glyph(name)
    scale = length / max(levels[0].size)
    # The level at most twice as large as needed.
    depth = int(np.clip(np.floor(-np.log2(max(scale, 1e-6))), 0, len(levels) - 1))
    source = levels[depth]
    scale *= 2**depth
    width, height = source.size
    cos, sin = np.cos(angle), np.sin(angle)
    forward = np.array([[cos, -sin], [sin, cos]]) @ np.diag(
        [scale * squeeze * (-1 if flip else 1), scale]
    )
    half = np.abs(forward) @ np.array([width / 2, height / 2])
    out_w, out_h = (int(v) for v in np.ceil(2 * half) + 1)
    inverse = np.linalg.inv(forward)
    shift = np.array([width / 2, height / 2]) - inverse @ np.array([out_w / 2, out_h / 2])
    coefficients = (*inverse[0], shift[0], *inverse[1], shift[1])
    bitmap = source.transform(
        (out_w, out_h), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
    )
    return np.asarray(bitmap, np.float32) / 255.0
