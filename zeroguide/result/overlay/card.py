"""A labelled picture to be passed on: names on it, a legend that says how sure, a line below."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from zeroguide.result.named_map import NamedMap
from zeroguide.result.overlay.drawing import MOST_CAPTIONS, draw, segment_colours
from zeroguide.result.overlay.legend import FAINT, PAPER, Entry, add_legend
from zeroguide.result.overlay.text import ellipsise, legible, load_font
from zeroguide.result.wording import how_sure, made_by

SIDE = 1600  # pixels of the picture at its longer side


def card(labeling: NamedMap, pixels: np.ndarray) -> Image.Image:
    """The picture of pixels (H, W, 3) uint8 with names, a legend and a line that says what made it.

    With many segments the names are in the legend only.
    """
    few = len(labeling.segments) <= MOST_CAPTIONS
    drawn = draw(labeling, pixels, legend="never" if few else "always")
    if few:
        drawn.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        colours = segment_colours(labeling)
        entries = [
            Entry("", s.caption, how_sure(labeling, s), tuple(colours[s.id].tolist()))
            for s in labeling.segments
        ]
        drawn = add_legend(drawn, entries, max(14, round(max(drawn.size) / 55)))
    size = max(12, round(drawn.width / 75))
    whole = Image.new("RGB", (drawn.width, drawn.height + 3 * size), PAPER)
    whole.paste(drawn, (0, 0))
    text, name = legible(f"{labeling.file_name} · {made_by(labeling)}")
    font = load_font(size, name)
    line = ellipsise(text, font, drawn.width - 2 * size)
    place = (size, drawn.height + 1.5 * size)
    ImageDraw.Draw(whole).text(place, line, FAINT, font, anchor="lm")
    return whole
