"""One picture of what a search has found: every segment in its surroundings, best first."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from zeroguide.result.overlay.shapes import Colour
from zeroguide.result.overlay.text import ellipsise, legible, load_font
from zeroguide.runs.run_folder import RunFolder
from zeroguide.runs.search.searcher import Hit
from zeroguide.runs.search.sources import Sources

MOST_TILES = 200  # a longer sheet is no longer looked through
WIDTH, HEIGHT = 240, 180  # of a tile
COLUMNS = 5
GAP, MARGIN = 20, 28
TITLE, NAME, SMALL = 28, 18, 14  # font sizes
PAPER: Colour = (255, 255, 255)
GROUND: Colour = (242, 243, 245)  # where a tile has no picture
INK: Colour = (28, 30, 36)
FAINT: Colour = (104, 108, 118)
BORDER: Colour = (225, 29, 72)  # of the segment
SHAPE = 176  # grey of a segment whose picture is gone
FADED = 0.55  # white over what is not the segment
ROOM = 0.3  # around a segment, of its box's longer side
LISTED = 5  # pictures that are gone
LEAST = 0.35  # of the picture's sides is shown, so that one sees where a small segment is


def draw_sheet(
    run: RunFolder,
    hits: Sequence[Hit],
    title: str,
    *,
    note: Callable[[str], None] = lambda text: None,
) -> Image.Image:
    """The first MOST_TILES hits, row by row, under a title: rank, label, cosine and key of each.

    Of a picture that is gone or has changed, only the segment's shape is drawn, in grey; `note` is
    told which these are.
    """
    hits = hits[:MOST_TILES]
    columns = max(2, min(COLUMNS, len(hits)))
    step = (WIDTH + GAP, HEIGHT + 2 * GAP + NAME + SMALL)
    head = MARGIN + TITLE + GAP
    wide = 2 * MARGIN + columns * step[0] - GAP
    canvas = Image.new("RGB", (wide, head + -(-len(hits) // columns) * step[1] + GAP), PAPER)
    pen = ImageDraw.Draw(canvas)
    _write(pen, (MARGIN, MARGIN), title, TITLE, INK, wide - 2 * MARGIN)
    missing: dict[str, str] = {}  # key -> why
    for i, tile, problem in _tiles(run, hits):
        left, top = MARGIN + i % columns * step[0], head + i // columns * step[1]
        canvas.paste(tile, (left, top))
        if problem:
            missing[hits[i].key] = problem
            _write(pen, (left + GAP // 2, top + GAP // 2), problem, SMALL, INK, WIDTH - GAP)
        below = top + HEIGHT + GAP // 3
        _write_pair(pen, (left, below), (str(i + 1), FAINT), (hits[i].label, INK), NAME)
        below += NAME + GAP // 3
        cosine, place = f"{hits[i].cosine:.3f}", _end_of(hits[i].key)
        _write_pair(pen, (left, below), (cosine, FAINT), (place, FAINT), SMALL)
    for problem in sorted(set(missing.values())):
        keys = [key for key, why in missing.items() if why == problem]
        more = f" and {len(keys) - LISTED} more" if len(keys) > LISTED else ""
        note(f"{problem}, so drawn in grey: {', '.join(keys[:LISTED])}{more}")
    return canvas


def view(pixels: np.ndarray, mask: np.ndarray) -> Image.Image:
    """A segment in its surroundings, WIDTH x HEIGHT, the rest of the picture faded.

    pixels: (H, W, 3) uint8. mask: (H, W) bool, at least one pixel.
    """
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    room = 2 * ROOM * (max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1)
    height = max(rows[-1] - rows[0] + 1 + room, LEAST * mask.shape[0])
    width = max(columns[-1] - columns[0] + 1 + room, LEAST * mask.shape[1])
    # To the tile's proportions, as far as the picture goes.
    height, width = max(height, width * HEIGHT / WIDTH), max(width, height * WIDTH / HEIGHT)
    box = np.s_[_span(rows, height, mask.shape[0]), _span(columns, width, mask.shape[1])]
    shown, inside = Image.fromarray(pixels[box]), Image.fromarray(mask[box])
    scale = min(WIDTH / shown.width, HEIGHT / shown.height)
    size = (max(1, round(shown.width * scale)), max(1, round(shown.height * scale)))
    shown = shown.resize(size, Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.LANCZOS)
    inside = inside.convert("L").resize(size, Image.Resampling.BILINEAR)
    faded = Image.blend(shown, Image.new("RGB", size, PAPER), FADED)
    picture = Image.composite(shown, faded, inside)
    # The border lies outside of the segment, so that thin ones aren't covered by it.
    solid = inside.point(lambda value: 255 * (value >= 128))
    grown = solid.filter(ImageFilter.MaxFilter(5))
    picture.paste(BORDER, mask=Image.composite(Image.new("L", size, 0), grown, solid))
    tile = Image.new("RGB", (WIDTH, HEIGHT), GROUND)
    tile.paste(picture, ((WIDTH - size[0]) // 2, (HEIGHT - size[1]) // 2))
    return tile


def _span(indices: np.ndarray, length: float, most: int) -> slice:
    """A stretch of a side around these indices, moved inside it where it would stick out."""
    size = min(most, math.ceil(length))
    start = round((int(indices[0]) + int(indices[-1]) + 1 - size) / 2)
    start = min(max(start, 0), most - size)
    return slice(start, start + size)


def _tiles(run: RunFolder, hits: Sequence[Hit]) -> Iterator[tuple[int, Image.Image, str]]:
    """Each hit's place, its picture, and what is wrong with that, if anything.

    Image after image: each is read once, and one at a time is held.
    """
    sources = Sources(run, {hit.key: hit.image for hit in hits})
    order = sorted(range(len(hits)), key=lambda i: hits[i].key)
    for key, places in itertools.groupby(order, key=lambda i: hits[i].key):
        labeling, pixels, problem = sources.labeling(key), None, "labels not found"
        if labeling is not None:
            pixels, problem = sources.pixels(key, labeling.sha256)
            if pixels is None:
                pixels = np.full((*labeling.label_map.shape, 3), SHAPE, np.uint8)
        for i in places:
            if labeling is None or pixels is None or hits[i].segment > len(labeling.segments):
                yield i, Image.new("RGB", (WIDTH, HEIGHT), GROUND), "labels not found"
            else:
                yield i, view(pixels, labeling.mask(hits[i].segment)), problem


def _end_of(key: str) -> str:
    """The last parts of a key that fit beside a cosine, at least the file's name."""
    font = load_font(SMALL)
    room = WIDTH - font.getlength("0.000") - SMALL
    parts = key.split("/")
    while len(parts) > 1 and font.getlength("/".join(parts)) > room:
        parts.pop(0)
    return "/".join(parts)


def _write_pair(
    pen: ImageDraw.ImageDraw,
    place: tuple[int, int],
    one: tuple[str, Colour],
    other: tuple[str, Colour],
    size: int,
) -> None:
    """Two texts in their colours, a space apart, in a tile's width."""
    _write(pen, place, one[0], size, one[1], WIDTH)
    used = math.ceil(load_font(size).getlength(one[0])) + size // 2
    _write(pen, (place[0] + used, place[1]), other[0], size, other[1], WIDTH - used)


def _write(
    pen: ImageDraw.ImageDraw,
    place: tuple[int, int],
    text: str,
    size: int,
    colour: Colour,
    room: int,
) -> None:
    text, name = legible(text)
    font = load_font(size, name)
    pen.text(place, ellipsise(text, font, room), colour, font)
