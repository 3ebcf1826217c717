"""Labeling -> picture: translucent regions, captions on them, a legend where those don't fit."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance

from zeroguide.result.named_map import NamedMap
from zeroguide.result.overlay.colours import choose_colours, text_colour
from zeroguide.result.overlay.legend import Entry, add_legend
from zeroguide.result.overlay.placement import Placement, place
from zeroguide.result.overlay.regions import render_regions
from zeroguide.result.overlay.shapes import Colour, draw_line, draw_pill, draw_shadow
from zeroguide.result.overlay.text import Font, legible, load_font, wrap

LEAST_SIDE = 640  # smaller pictures are enlarged, or their captions could not be read
MOST_INK_SIDE = 2048  # the regions of larger pictures are drawn at this size and enlarged
MOST_CAPTIONS = 24  # with more the picture is covered with words
MOST_COVERED = 0.25  # share of the picture that captions may cover
SATURATION = 0.85  # of the photo under the regions
LEADING = 1.15  # from line to line, in font sizes
BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)

Shape = tuple[tuple[str, ...], Font]
"""A way to write a caption: its lines and the font."""


def draw(
    labeling: NamedMap,
    pixels: np.ndarray,
    *,
    legend: Literal["auto", "always", "never"] = "auto",
    colours: np.ndarray | None = None,
) -> Image.Image:
    """Draw the segments and their labels over the picture.

    pixels: (H, W, 3) uint8 RGB, the picture that was labelled. legend: "always" writes only
    numbers on the segments and lists the labels in a panel; "never" writes the labels on the
    picture and leaves out those that find no room; "auto" takes the panel if not all find room.
    colours: (n + 1, 3) uint8 by id, row 0 unused; None: those of `segment_colours`.
    Returns an RGB picture of the same size if its longer side has 640 pixels or more, else
    enlarged to that; with a panel it is larger on one side. The same input gives the same picture.
    Raises ValueError if the sizes of picture and labeling differ.
    """
    if pixels.shape != (*labeling.label_map.shape, 3) or pixels.dtype != np.uint8:
        raise ValueError(
            f"expected pixels of shape {(*labeling.label_map.shape, 3)} and uint8, got "
            f"{pixels.shape} of {pixels.dtype}"
        )
    scale = max(1.0, LEAST_SIDE / max(labeling.width, labeling.height))
    size = (max(1, round(labeling.width * scale)), max(1, round(labeling.height * scale)))
    font_size = max(14, round(math.sqrt(size[0] * size[1]) / 29))
    photo = Image.fromarray(pixels)
    if scale > 1:
        photo = photo.resize(size, Image.Resampling.BICUBIC)

    # A greyer photo leaves the hue to the segments.
    photo = ImageEnhance.Color(photo).enhance(SATURATION)

    ink_scale = min(1.0, MOST_INK_SIDE / max(size))
    ink_size = _scaled(size, ink_scale)
    label_map = _reduce(labeling.label_map, ink_size)
    colours = segment_colours(labeling) if colours is None else colours
    paint, opacity = render_regions(label_map, colours, ink_size, font_size * ink_scale / 12)
    picture = Image.composite(
        paint.resize(size, Image.Resampling.BICUBIC),
        photo,
        opacity.resize(size, Image.Resampling.BICUBIC),
    )

    n = len(labeling.segments)
    if legend == "never" or (legend == "auto" and n <= MOST_CAPTIONS):
        shapes = {s.id: label_shapes(s.caption, s.id, size, font_size) for s in labeling.segments}
        placed = _place(labeling, shapes, size, font_size, reach=7)
        covered = sum((p.box[2] - p.box[0]) * (p.box[3] - p.box[1]) for p in placed.values())
        if legend == "never" or (len(placed) == n and covered <= MOST_COVERED * size[0] * size[1]):
            _paint(picture, placed, shapes, colours, font_size)
            return picture
    shapes = {s.id: number_shapes(s.id, font_size) for s in labeling.segments}
    placed = _place(labeling, shapes, size, font_size, reach=4)
    _paint(picture, placed, shapes, colours, font_size)
    total = labeling.width * labeling.height
    entries = [
        Entry(str(s.id), s.caption, format_share(s.area / total), _rgb(colours[s.id]))
        for s in labeling.segments
    ]
    return add_legend(picture, entries, max(12, round(0.85 * font_size)))


def segment_colours(labeling: NamedMap) -> np.ndarray:
    """The colours in which `draw` shows the segments: (n + 1, 3) uint8 by id, row 0 unused."""
    size = (labeling.width, labeling.height)
    reduced = _reduce(labeling.label_map, _scaled(size, min(1.0, MOST_INK_SIDE / max(size))))
    return choose_colours(reduced, len(labeling.segments))


def label_shapes(label: str, id: int, size: tuple[int, int], font_size: int) -> list[Shape]:
    """How a label may be written, best first: large before small, whole before cut.

    size: (width, height) of the picture. A label of which nothing can be drawn becomes the number.
    """
    text, name = legible(label)
    room = min(16 * font_size, 0.9 * size[0] - 2 * font_size, max(9 * font_size, 0.4 * size[0]))
    shapes: dict[Shape, bool] = {}  # shape -> whether text is cut off
    for pixels in (font_size, max(12, round(0.8 * font_size))):
        font = load_font(pixels, name)
        for n_lines in (1, 2, 3):
            lines = wrap(text or str(id), font, room, n_lines)
            shapes[lines, font] = " ".join(lines) != (text or str(id))
    return sorted(shapes, key=lambda shape: shapes[shape])  # stable


def number_shapes(id: int, font_size: int) -> list[Shape]:
    """How the number of a segment may be written, best first."""
    return [((str(id),), load_font(max(11, round(part * font_size)))) for part in (0.8, 0.65)]


def pill_size(lines: tuple[str, ...], font: Font) -> tuple[int, int]:
    """(width, height) in pixels of a caption."""
    width = max(font.getlength(line) for line in lines) + 0.9 * font.size
    height = (1.5 + LEADING * (len(lines) - 1)) * font.size
    return math.ceil(max(width, height)), math.ceil(height)


def format_share(share: float) -> str:
    """A part of the picture, 0..1, as a percentage."""
    percent = 100 * share
    if percent < 0.05:
        return "< 0.1 %"
    return f"{percent:.0f} %" if percent >= 9.95 else f"{percent:.1f} %"


def _place(
    labeling: NamedMap,
    shapes: dict[int, list[Shape]],
    size: tuple[int, int],
    font_size: int,
    reach: float,
) -> dict[int, Placement]:
    sizes = {id: [pill_size(*shape) for shape in options] for id, options in shapes.items()}
    return place(labeling.label_map, sizes, size, cell=font_size / 5, reach=reach * font_size)


def _paint(
    picture: Image.Image,
    placed: dict[int, Placement],
    shapes: dict[int, list[Shape]],
    colours: np.ndarray,
    unit: float,
) -> None:
    for id, p in placed.items():  # all leaders lie below all pills
        if p.leader is not None:
            a, b = p.leader
            draw_line(picture, a, b, 0.26 * unit, BLACK, 0.45)
            draw_line(picture, a, a, 0.62 * unit, BLACK, 0.45)
            draw_line(picture, a, b, 0.12 * unit, WHITE)
            draw_line(picture, a, a, 0.5 * unit, WHITE)
            draw_line(picture, a, a, 0.32 * unit, _rgb(colours[id]))
    for id, p in placed.items():
        draw_caption(picture, p.box, *shapes[id][p.choice], _rgb(colours[id]))


def draw_caption(
    picture: Image.Image,
    box: tuple[int, int, int, int],
    lines: tuple[str, ...],
    font: Font,
    colour: Colour,
) -> None:
    """Draw a pill in the segment's colour with a white rim, and the text in black or white."""
    left, top, right, bottom = box
    radius, rim = 0.45 * font.size, max(1.0, font.size / 14)
    draw_shadow(picture, box, radius, 0.22 * font.size, 0.5)
    draw_pill(picture, box, radius, WHITE)
    inner = (left + rim, top + rim, right - rim, bottom - rim)
    draw_pill(picture, inner, radius - rim, colour)
    pen = ImageDraw.Draw(picture)
    ink = text_colour(np.array(colour))
    step = LEADING * font.size
    first = (top + bottom) / 2 - step * (len(lines) - 1) / 2
    for i, line in enumerate(lines):
        pen.text(((left + right) / 2, first + step * i), line, ink, font, anchor="mm")


def _scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _reduce(label_map: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The label map at no more than this (width, height), by nearest neighbour."""
    height, width = min(size[1], label_map.shape[0]), min(size[0], label_map.shape[1])
    if (height, width) == label_map.shape:
        return label_map
    y = ((np.arange(height) + 0.5) * label_map.shape[0] / height).astype(int)
    x = ((np.arange(width) + 0.5) * label_map.shape[1] / width).astype(int)
    return label_map[y][:, x]


def _rgb(colour: np.ndarray) -> Colour:
    return int(colour[0]), int(colour[1]), int(colour[2])
