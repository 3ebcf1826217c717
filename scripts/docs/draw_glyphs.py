"""Draw the things of the Playroom into its atlas, zeroguide/playroom/glyphs.png.

    apt-get install fonts-noto-color-emoji
    python -m scripts.docs.draw_glyphs --font /usr/share/fonts/truetype/noto/NotoColorEmoji.ttf

Needed only after a change of names.json. The shipped atlas is from version 2.042 of the font, as
are the scenes that the shipped models learnt from; another version draws other scenes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from zeroguide.playroom.glyphs import CELL, COLUMNS
from zeroguide.playroom.names import CODEPOINTS, THINGS

ATLAS = Path(__file__).parents[2] / "zeroguide" / "playroom" / "glyphs.png"
STRIKE = 109  # the font's only bitmap size; Pillow refuses any other


def draw(font: ImageFont.FreeTypeFont, name: str) -> Image.Image:
    """A thing's glyph, RGBA with straight alpha, boxed to where it isn't transparent."""
    canvas = Image.new("RGBA", (160, 160), (0, 0, 0, 0))
    ImageDraw.Draw(canvas).text((10, 10), CODEPOINTS[name], font=font, embedded_color=True)
    box = canvas.getchannel("A").getbbox()
    if box is None:
        raise SystemExit(f"This font has no glyph for {name!r}: take a newer one.")
    return canvas.crop(box)


def main() -> None:
    """Draw and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--font", required=True, help="path of NotoColorEmoji.ttf")
    parser.add_argument("--output", type=Path, default=ATLAS)
    args = parser.parse_args()
    font = ImageFont.truetype(args.font, STRIKE)
    rows = -(-len(THINGS) // COLUMNS)
    atlas = Image.new("RGBA", (COLUMNS * CELL[0], rows * CELL[1]), (0, 0, 0, 0))
    for place, name in enumerate(THINGS):
        row, column = divmod(place, COLUMNS)
        atlas.paste(draw(font, name), (column * CELL[0], row * CELL[1]))
    atlas.save(args.output, optimize=True)
    print(f"{args.output}: {len(THINGS)} glyphs, {args.output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
