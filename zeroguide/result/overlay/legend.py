"""The panel that lists the segments when their captions don't fit on the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from zeroguide.result.overlay.colours import text_colour
from zeroguide.result.overlay.shapes import Colour, draw_pill
from zeroguide.result.overlay.text import BUNDLED, ellipsise, legible, load_font

PAPER: Colour = (255, 255, 255)
INK: Colour = (32, 35, 41)
FAINT: Colour = (112, 118, 128)
NO_FONT = "(no font has these letters)"
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

    below: under the picture, else at its right. rows: at most so many in a column of
    `column_width` pixels. canvas: (width, height) of picture and panel together.
    """

    below: bool
    rows: int
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
    font, small = load_font(size), load_font(max(8, round(0.85 * size)))
    labels = [legible(e.label) for e in entries]
    labels = [
        (NO_FONT, BUNDLED) if e.label.strip() and not text else (text, name)
        for e, (text, name) in zip(entries, labels, strict=True)
    ]
    swatch = int(max(small.getlength(e.number) for e in entries) + 0.9 * size)
    share = int(max(font.getlength(e.share) for e in entries))
    widest = max(load_font(size, name).getlength(text) for text, name in labels)
    label = min(int(widest) + 1, 13 * size)
    step = int(1.75 * size)
    layout = choose_layout(
        picture.size, len(entries), int(swatch + label + share + 2.9 * size), step, size
    )
    canvas = Image.new("RGB", layout.canvas, PAPER)
    canvas.paste(picture, (0, 0))
    pen = ImageDraw.Draw(canvas)
    start = (0, picture.height) if layout.below else (picture.width, 0)
    for i, (entry, (text, name)) in enumerate(zip(entries, labels, strict=True)):
        column, row = divmod(i, layout.rows)
        left = start[0] + size + column * layout.column_width
        middle = start[1] + size + (row + 0.5) * step
        box = (left, middle - 0.68 * size, left + swatch, middle + 0.68 * size)
        draw_pill(canvas, box, 0.45 * size, entry.colour)
        ink = text_colour(np.array(entry.colour))
        pen.text((left + swatch / 2, middle), entry.number, ink, small, anchor="mm")
        label_font = load_font(size, name)
        shown = ellipsise(text, label_font, label)
        pen.text((left + swatch + 0.6 * size, middle), shown, INK, label_font, anchor="lm")
        right = left + layout.column_width - 1.6 * size
        pen.text((right, middle), entry.share, FAINT, font, anchor="rm")
    return canvas


def choose_layout(
    picture: tuple[int, int], n: int, column_width: int, step: int, margin: int
) -> Layout:
    """The side and the number of columns that make the canvas most compact.

    picture: (width, height). n: rows of `step` pixels, in columns at least `column_width` wide.
    """
    options: list[tuple[int, Layout]] = []  # with the pixels of paper that picture and panel leave
    for columns in range(1, min(n, 12) + 1):
        rows = -(-n // columns)
        panel = (columns * column_width + margin, rows * step + 2 * margin)
        canvas = (picture[0] + panel[0], max(picture[1], panel[1]))
        empty = (canvas[1] - picture[1]) * picture[0]
        options.append((empty, Layout(False, rows, column_width, canvas)))
        canvas = (max(picture[0], panel[0]), picture[1] + panel[1])
        empty = (canvas[0] - picture[0]) * picture[1]
        spread = min((canvas[0] - margin) // columns, 3 * column_width // 2)
        options.append((empty, Layout(True, rows, spread, canvas)))

    def cost(option: tuple[int, Layout]) -> float:
        empty, (width, height) = option[0], option[1].canvas
        # the landscape frame it would fill, its own area, and what is wasted of that
        return max(width / 1.6, height) ** 2 + width * height + 3 * empty

    return min(options, key=cost)[1]
