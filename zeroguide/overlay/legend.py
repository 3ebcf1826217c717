"""The panel that lists the segments when their captions don't fit on the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from zeroguide.overlay.colours import text_colour
from zeroguide.overlay.shapes import Colour, draw_pill
from zeroguide.overlay.text import bundled_font, ellipsise, font_of

PAPER: Colour = (255, 255, 255)
INK: Colour = (32, 35, 41)
FAINT: Colour = (112, 118, 128)
MOST_ENTRIES = 120  # a longer list is no longer read


@dataclass(frozen=True)
class Entry:
    """One row: the segment's number on its colour, its label, its share of the picture."""

    number: str
    label: str
    share: str
    colour: Colour


@dataclass(frozen=True)
class Layout:
    """Where the panel goes and how its rows run.

    below: under the picture, else at its right. columns of `column_width` pixels with at most
    `rows` entries each. canvas: (width, height) of picture and panel together.
    """

    below: bool
    rows: int
    columns: int
    column_width: int
    canvas: tuple[int, int]


def add_legend(picture: Image.Image, entries: Sequence[Entry], size: int) -> Image.Image:
    """The picture on a larger canvas with the panel at its side or below it.

    entries: in the order they are listed; from MOST_ENTRIES on the rest is only counted.
    size: of the letters in pixels.
    """
    more = len(entries) - MOST_ENTRIES
    if more > 0:
        entries = [*entries[:MOST_ENTRIES], Entry("", f"and {more} smaller", "", PAPER)]
    font, small = bundled_font(size), bundled_font(max(8, round(0.85 * size)))
    swatch = int(max(small.getlength(e.number) for e in entries) + 0.9 * size)
    share = int(max(font.getlength(e.share) for e in entries))
    widest = max(font_of(e.label, size).getlength(e.label) for e in entries)
    label = min(int(widest) + 1, 13 * size)
    step = int(1.75 * size)
    layout = choose_layout(
        picture.size, len(entries), int(swatch + label + share + 2.9 * size), step, size
    )
    canvas = Image.new("RGB", layout.canvas, PAPER)
    canvas.paste(picture, (0, 0))
    pen = ImageDraw.Draw(canvas)
    start = (0, picture.height) if layout.below else (picture.width, 0)
    for i, entry in enumerate(entries):
        column, row = divmod(i, layout.rows)
        left = start[0] + size + column * layout.column_width
        middle = start[1] + size + (row + 0.5) * step
        box = (left, middle - 0.68 * size, left + swatch, middle + 0.68 * size)
        draw_pill(canvas, box, 0.45 * size, entry.colour)
        ink = text_colour(np.array(entry.colour))
        pen.text((left + swatch / 2, middle), entry.number, ink, small, anchor="mm")
        text = ellipsise(entry.label, size, label)
        pen.text(
            (left + swatch + 0.6 * size, middle), text, INK, font_of(entry.label, size), anchor="lm"
        )
        right = left + layout.column_width - 1.6 * size
        pen.text((right, middle), entry.share, FAINT, font, anchor="rm")
    return canvas


def choose_layout(
    picture: tuple[int, int], n: int, column_width: int, step: int, margin: int
) -> Layout:
    """The side and the number of columns that make the canvas most compact.

    picture: (width, height). n: rows of `step` pixels, in columns at least `column_width` wide.
    """
    layouts = []
    for columns in range(1, min(n, 12) + 1):
        rows = -(-n // columns)
        panel = (columns * column_width + margin, rows * step + 2 * margin)
        empty = max(0, panel[1] - picture[1]) * picture[0]  # paper left under the picture
        canvas = (picture[0] + panel[0], max(picture[1], panel[1]))
        layouts.append((empty, Layout(False, rows, columns, column_width, canvas)))
        if panel[0] <= picture[0] or columns == 1:
            canvas = (max(picture[0], panel[0]), picture[1] + panel[1])
            spread = (canvas[0] - margin) // columns
            layouts.append((0, Layout(True, rows, columns, spread, canvas)))

    def cost(option: tuple[int, Layout]) -> float:
        empty, layout = option
        width, height = layout.canvas
        return max(width / 1.6, height) ** 2 + 3 * empty  # the landscape frame it fills, and the waste

    return min(layouts, key=cost)[1]
