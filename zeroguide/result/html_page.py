"""A labelled picture as one HTML file for any browser: outlines, names, a list; nothing is fetched.

It needs no server and no file beside it. The template is `html_page.html`.
"""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path

import numpy as np
from PIL import Image

from zeroguide.result.named_map import NamedMap
from zeroguide.result.overlay import segment_colours
from zeroguide.result.overlay.colours import css, text_colour
from zeroguide.result.overlay.svg import outline, reduce
from zeroguide.result.wording import describe, made_by

PICTURE_SIDE = 1600  # pixels of the picture at its longer side
MAP_SIDE = 640  # pixels of the label map of its outlines
QUALITY = 85  # of the JPEG
TEMPLATE = Path(__file__).with_name("html_page.html")


def to_page(labeling: NamedMap, pixels: np.ndarray) -> str:
    """The page; pixels (H, W, 3) uint8 RGB are the picture that was labelled."""
    label_map = reduce(labeling.label_map, MAP_SIDE)
    height, width = label_map.shape
    colours = segment_colours(labeling)
    shapes, names, rows = [], [], []
    for segment in labeling.segments:
        path, place = outline(label_map == segment.id)
        colour = css(colours[segment.id])
        paint = f"--colour:{colour};--ink:{css(text_colour(colours[segment.id]))}"
        about = describe(labeling, segment)
        label = html.escape(segment.caption)
        shapes.append(
            f'<path d="{path}" style="{paint}" data-id="{segment.id}" tabindex="0" role="button" '
            f'aria-pressed="false" aria-label="{label}, {html.escape(", ".join(about))}"/>'
        )
        if place is not None:
            x, y = 100 * place[0] / width, 100 * place[1] / height
            names.append(
                f'<span data-id="{segment.id}" style="{paint};left:{x:.2f}%;top:{y:.2f}%">'
                f"{label}</span>"
            )
        rows.append(
            f'<li><button type="button" data-id="{segment.id}" aria-pressed="false">'
            f'<i style="{paint}">{segment.id}</i><span><b>{label}</b>'
            f"<small>{html.escape(' · '.join(about))}</small></span></button></li>"
        )
    filled = {
        "TITLE": html.escape(labeling.file_name),
        "SRC": data_url(pixels, PICTURE_SIDE, quality=QUALITY),
        "WIDTH": str(width),
        "HEIGHT": str(height),
        "SHAPES": "\n".join(shapes),
        "NAMES": "\n".join(names),
        "ROWS": "\n".join(rows),
        "COUNT": f"{len(rows)} segments" if len(rows) != 1 else "1 segment",
        "MADE": html.escape(made_by(labeling)),
    }
    before, *pieces = TEMPLATE.read_text("utf-8").split("{{")
    return before + "".join(
        filled[name] + rest for name, rest in (piece.split("}}", 1) for piece in pieces)
    )


def data_url(pixels: np.ndarray, side: int, *, quality: int = 88) -> str:
    """A JPEG of pixels (H, W, 3) uint8, at most `side` pixels large, as a data URL."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
