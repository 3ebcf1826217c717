"""Colour-emoji bitmaps of the things, read from the system's Noto Color Emoji font."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from zeroguide.errors import ZeroguideError
from zeroguide.playroom.names import CODEPOINTS

# The font's only bitmap size; Pillow refuses any other.
_STRIKE = 109

_FONT_FILES = (
    "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf",
    "/usr/share/fonts/noto/NotoColorEmoji.ttf",
    "/usr/share/fonts/google-noto-emoji/NotoColorEmoji.ttf",
    "/usr/local/share/fonts/NotoColorEmoji.ttf",
)


def font_file() -> Path | None:
    """Path of the installed Noto Color Emoji font, or None."""
    return next((Path(name) for name in _FONT_FILES if Path(name).is_file()), None)


@cache
def glyph(name: str) -> tuple[Image.Image, ...]:
    """Premultiplied RGBA bitmaps of a thing, largest first, each half the size of the one before.

    The halved copies are there because sampling a large bitmap into a few pixels aliases.

    Raises:
        ZeroguideError: the font isn't installed.
    """
    path = font_file()
    if path is None:
        raise ZeroguideError(
            "Rendering Playroom scenes needs the font NotoColorEmoji.ttf, which isn't installed: "
            "on Debian or Ubuntu run `apt-get install fonts-noto-color-emoji`."
        )
    font = ImageFont.truetype(str(path), _STRIKE)
    canvas = Image.new("RGBA", (160, 160), (0, 0, 0, 0))
    ImageDraw.Draw(canvas).text((10, 10), CODEPOINTS[name], font=font, embedded_color=True)
    box = canvas.getchannel("A").getbbox()
    if box is None:
        raise ZeroguideError(f"The font {path} has no glyph for {name!r}: install a newer one.")
    levels = [canvas.crop(box).convert("RGBa")]
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
