"""One picture of all classes of a folder: each with its name, its size and a few examples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from zeroguide.result.overlay.shapes import Colour
from zeroguide.result.overlay.text import ellipsise, legible, load_font

TILE = 112  # pixels of an example's side
GAP = 8
TITLE, SMALL = 24, 15  # font sizes
MARGIN = 28
PAPER: Colour = (255, 255, 255)
INK: Colour = (28, 30, 36)
FAINT: Colour = (118, 122, 132)
FADED = 0.8  # white over what is not the segment
ROOM = 0.25  # around a segment, of its box's longer side
MOST_CARDS = 120  # a longer sheet is no longer looked through
SHAPE = 1.4  # width over height that the sheet comes near to


@dataclass(frozen=True)
class Card:
    """A class: its name, a line about it, and its examples as square pictures."""

    title: str
    about: str
    tiles: Sequence[Image.Image]


def cut_out(pixels: np.ndarray, mask: np.ndarray) -> Image.Image:
    """A segment in its surroundings, which are faded: TILE x TILE.

    pixels: (H, W, 3) uint8. mask: (H, W) bool, at least one pixel.
    """
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    centre = (int(rows[0] + rows[-1]) / 2, int(columns[0] + columns[-1]) / 2)
    longer = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    side = max(8, min(math.ceil(longer * (1 + 2 * ROOM)), *mask.shape))
    top, left = (
        round(min(max(middle - side / 2, 0), max(length - side, 0)))
        for middle, length in zip(centre, mask.shape, strict=True)
    )
    box = np.s_[top : top + side, left : left + side]
    shown = np.where(
        mask[box][..., None], pixels[box], (1 - FADED) * pixels[box] + FADED * 255
    ).astype(np.uint8)
    tile = Image.new("RGB", (TILE, TILE), PAPER)
    scale = TILE / max(shown.shape[:2])
    size = (max(1, round(shown.shape[1] * scale)), max(1, round(shown.shape[0] * scale)))
    picture = Image.fromarray(shown).resize(size, Image.Resampling.BICUBIC)
    tile.paste(picture, ((TILE - size[0]) // 2, (TILE - size[1]) // 2))
    return tile


def contact_sheet(cards: Sequence[Card], title: str, *, n_more: int = 0) -> Image.Image:
    """The cards in columns under a title, which also says how many more classes there are."""
    n_tiles = max((len(card.tiles) for card in cards), default=1)
    width = max(1, n_tiles) * (TILE + GAP) - GAP
    height = TITLE + SMALL + 3 * GAP + TILE
    step = (width + MARGIN, height + MARGIN)
    columns = max(1, min(len(cards), round(math.sqrt(SHAPE * len(cards) * step[1] / step[0]))))
    n_rows = -(-len(cards) // columns)
    head = 2 * MARGIN + 2 * TITLE
    heading = f"{title} ({n_more} smaller classes are not shown)" if n_more else title
    font = load_font(round(1.3 * TITLE))
    wide = max(columns * step[0] + MARGIN, math.ceil(font.getlength(heading)) + 2 * MARGIN)
    canvas = Image.new("RGB", (wide, head + n_rows * step[1]), PAPER)
    pen = ImageDraw.Draw(canvas)
    pen.text((MARGIN, MARGIN), heading, INK, font)
    for i, card in enumerate(cards):
        column, row = divmod(i, n_rows)  # down the columns: the largest classes come first
        left, top = MARGIN + column * step[0], head + row * step[1]
        text, name = legible(card.title)
        font = load_font(TITLE, name)
        pen.text((left, top), ellipsise(text, font, width), INK, font)
        about = ellipsise(card.about, load_font(SMALL), width)
        pen.text((left, top + TITLE + GAP), about, FAINT, load_font(SMALL))
        for j, tile in enumerate(card.tiles):
            canvas.paste(tile, (left + j * (TILE + GAP), top + TITLE + SMALL + 3 * GAP))
    return canvas
