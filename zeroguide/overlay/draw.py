"""Labeling -> picture: translucent regions, captions on them, a legend where those don't fit."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance

from zeroguide.labeling import Labeling
from zeroguide.overlay.colours import choose_colours, neighbours, text_colour
from zeroguide.overlay.legend import Entry, add_legend
from zeroguide.overlay.placement import Placement, place
from zeroguide.overlay.regions import render_regions
from zeroguide.overlay.shapes import Colour, draw_line, draw_pill, draw_shadow
from zeroguide.overlay.text import font_of, legible, wrap

LEAST_SIDE = 640  # smaller pictures are enlarged, or their captions could not be read
MOST_INK_SIDE = 2048  # the regions of larger pictures are drawn at this size and enlarged
MOST_CAPTIONS = 24  # with more the picture is covered with words
MOST_COVERED = 0.25  # share of the picture that captions may cover
SATURATION = 0.85  # of the photo under the regions
WHITE: Colour = (255, 255, 255)


def draw(
    labeling: Labeling,
    pixels: np.ndarray,
    *,
    legend: Literal["auto", "always", "never"] = "auto",
) -> Image.Image:
    """Draw the segments and their labels over the picture.

    pixels: (H, W, 3) uint8 RGB, the picture that was labelled. legend: "always" writes only
    numbers on the segments and lists the labels in a panel; "never" writes the labels on the
    picture and leaves out those that find no room; "auto" takes the panel if not all find room.
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
    ink_size = (max(1, round(size[0] * ink_scale)), max(1, round(size[1] * ink_scale)))
    label_map = _reduce(labeling.label_map, ink_size)
    areas = np.array([0, *(s.area for s in labeling.segments)])
    colours = choose_colours(neighbours(label_map, len(labeling.segments)), areas)
    paint, opacity = render_regions(label_map, colours, ink_size, font_size * ink_scale / 12)
    picture = Image.composite(
        paint.resize(size, Image.Resampling.BICUBIC),
        photo,
        opacity.resize(size, Image.Resampling.BICUBIC),
    )

    captions = _Captions(labeling, size, font_size)
    placed = captions.place_labels() if legend != "always" else {}
    covered = sum(
        (right - left) * (bottom - top)
        for left, top, right, bottom in (p.box for p in placed.values())
    )
    crowded = len(placed) > MOST_CAPTIONS or covered > MOST_COVERED * size[0] * size[1]
    if legend == "never" or (
        legend == "auto" and len(placed) == len(labeling.segments) and not crowded
    ):
        captions.paint(picture, placed, colours)
        return picture
    captions.paint(picture, captions.place_numbers(), colours)
    entries = [
        Entry(str(s.id), legible(s.label)[0], _share(s.area / label_map_size(labeling)), _rgb(colours[s.id]))
        for s in labeling.segments
    ]
    return add_legend(picture, entries, max(12, round(0.85 * font_size)))


class _Captions:
    """The captions of one picture: their texts, sizes, places."""

    def __init__(self, labeling: Labeling, size: tuple[int, int], font_size: int) -> None:
        self.labeling, self.size, self.font_size = labeling, size, font_size
        self.shapes: dict[int, list[tuple[tuple[str, ...], int]]] = {}  # id -> (lines, font size)

    def place_labels(self) -> dict[int, Placement]:
        small = max(12, round(0.8 * self.font_size))
        room = min(0.45 * self.size[0], 16 * self.font_size)
        for s in self.labeling.segments:
            text = legible(s.label)[0] or str(s.id)
            options = [
                (wrap(text, font_size, room, lines), font_size)
                for font_size in (self.font_size, small)
                for lines in (1, 2)
            ]
            self.shapes[s.id] = list(dict.fromkeys(options))
        return self._place(reach=7 * self.font_size)

    def place_numbers(self) -> dict[int, Placement]:
        sizes = [max(11, round(part * self.font_size)) for part in (0.8, 0.65)]
        for s in self.labeling.segments:
            self.shapes[s.id] = [((str(s.id),), size) for size in sizes]
        return self._place(reach=4 * self.font_size)

    def _place(self, reach: float) -> dict[int, Placement]:
        sizes = {
            id: [pill_size(lines, size) for lines, size in shapes]
            for id, shapes in self.shapes.items()
        }
        return place(
            self.labeling.label_map, sizes, self.size, cell=self.font_size / 5, reach=reach
        )

    def paint(self, picture: Image.Image, placed: dict[int, Placement], colours: np.ndarray) -> None:
        unit = self.font_size
        for id, p in placed.items():  # below all the pills
            if p.leader is not None:
                a, b = p.leader
                draw_line(picture, a, b, 0.26 * unit, (0, 0, 0), 0.45)
                draw_line(picture, a, a, 0.62 * unit, (0, 0, 0), 0.45)
                draw_line(picture, a, b, 0.12 * unit, WHITE)
                draw_line(picture, a, a, 0.5 * unit, WHITE)
                draw_line(picture, a, a, 0.32 * unit, _rgb(colours[id]))
        for id, p in placed.items():
            lines, size = self.shapes[id][p.choice]
            draw_caption(picture, p.box, lines, size, _rgb(colours[id]))


def pill_size(lines: tuple[str, ...], font_size: int) -> tuple[int, int]:
    """(width, height) in pixels of a caption."""
    width = max(font_of(line, font_size).getlength(line) for line in lines)
    height = (1.5 + 1.15 * (len(lines) - 1)) * font_size
    return max(math.ceil(width + 0.9 * font_size), math.ceil(height)), math.ceil(height)


def draw_caption(
    picture: Image.Image,
    box: tuple[int, int, int, int],
    lines: tuple[str, ...],
    font_size: int,
    colour: Colour,
) -> None:
    """Draw a pill in the segment's colour with a white rim, and the text in black or white."""
    left, top, right, bottom = box
    radius, rim = 0.45 * font_size, max(1.0, font_size / 14)
    draw_shadow(picture, box, radius, 0.22 * font_size, 0.5)
    draw_pill(picture, box, radius, WHITE)
    inner = (left + rim, top + rim, right - rim, bottom - rim)
    draw_pill(picture, inner, radius - rim, colour)
    pen = ImageDraw.Draw(picture)
    ink = text_colour(np.array(colour))
    first = (top + bottom) / 2 - 1.15 * font_size * (len(lines) - 1) / 2
    for i, line in enumerate(lines):
        at = ((left + right) / 2, first + 1.15 * font_size * i)
        pen.text(at, line, ink, font_of(line, font_size), anchor="mm")


def _reduce(label_map: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The label map at no more than this (width, height), by nearest neighbour."""
    height, width = min(size[1], label_map.shape[0]), min(size[0], label_map.shape[1])
    if (height, width) == label_map.shape:
        return label_map
    y = ((np.arange(height) + 0.5) * label_map.shape[0] / height).astype(int)
    x = ((np.arange(width) + 0.5) * label_map.shape[1] / width).astype(int)
    return label_map[y][:, x]


def _share(share: float) -> str:
    percent = 100 * share
    return f"{percent:.0f} %" if percent >= 9.95 else f"{percent:.1f} %" if percent >= 0.05 else "< 0.1 %"


def _rgb(colour: np.ndarray) -> Colour:
    return int(colour[0]), int(colour[1]), int(colour[2])


def label_map_size(labeling: Labeling) -> int:
    return labeling.width * labeling.height
