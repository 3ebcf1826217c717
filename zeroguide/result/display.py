"""How a `Labeling` looks in a notebook: HTML without scripts or other files, a table, one line.

The picture is an image map, not SVG: notebooks that aren't trusted yet, and pages that show them,
remove SVG and scripts, but leave images and their titles.
"""

from __future__ import annotations

import base64
import html
import io
import os
import sys
import zlib
from typing import Any

import numpy as np
from PIL import Image, ImageShow

from zeroguide.errors import ZeroguideError
from zeroguide.recipe import introduce
from zeroguide.result.formats.outlines import parts
from zeroguide.result.named_map import NamedMap
from zeroguide.result.overlay import draw, segment_colours
from zeroguide.result.overlay.drawing import format_share
from zeroguide.result.pixels import read_pixels
from zeroguide.result.segment import Segment

SIDE = 640  # of the picture, in pixels: it fits beside the table
MAP_SIDE = 160  # cells of the image map's outlines: what a hand on a mouse can tell apart
MOST_ROWS = 40  # a longer table is no longer looked through
QUALITY = 85  # of the JPEG
CHIP = "display:inline-block;width:0.9em;height:0.9em;border-radius:0.2em;background:{}"
CELL = "text-align:left;padding:0.1em 0.6em 0.1em 0"
COLUMNS = ("", "id", "label", "confidence", "share")


def to_html(labeling: NamedMap) -> str:
    """The picture with outlines, captions and titles for the mouse, beside a table of segments.

    Without the picture, or if it can't be read, the segments are flat colours, and a line says why.
    """
    colours = segment_colours(labeling)
    note = ""
    try:
        shown = draw(labeling, read_pixels(labeling), legend="never")
        kind = "JPEG"
    except ZeroguideError as error:
        shown = Image.fromarray(colours[labeling.label_map])
        kind, note = "PNG", str(error)
    scale = SIDE / max(shown.size)
    if kind == "PNG" or scale < 1:  # what is drawn is enlarged already
        size = (max(1, round(shown.width * scale)), max(1, round(shown.height * scale)))
        resample = Image.Resampling.NEAREST if kind == "PNG" else Image.Resampling.LANCZOS
        shown = shown.resize(size, resample)
    areas = _areas(labeling, shown.size)
    name = f"zeroguide-{zlib.crc32(areas.encode()):08x}"  # a page may hold several pictures
    title = f"{labeling.file_name}, {labeling.width} x {labeling.height} pixels"
    return (
        '<div style="display:flex;flex-wrap:wrap;gap:1.2em;align-items:flex-start">'
        f'<div><img src="{_data_url(shown, kind)}" width="{shown.width}" height="{shown.height}" '
        f'alt="{html.escape(_line(labeling))}" usemap="#{name}">'
        f'<map name="{name}">{areas}</map></div>'
        f"<div><div><b>{html.escape(title)}</b></div>"
        f'<div style="max-width:28em">{html.escape(introduce(labeling.recipe))}</div>'
        f"{_table(labeling, colours)}"
        f'<div style="max-width:28em">{html.escape(note)}</div></div></div>'
    )


def to_table(labeling: NamedMap) -> Any:
    """A row per segment, in order of id; see `Labeling.table`."""
    total = labeling.width * labeling.height
    rows = [
        {
            "id": s.id,
            "label": s.label,
            **({} if s.category is None else {"category": s.category.name}),
            "confidence": s.confidence,
            "score": s.score,
            "share": s.area / total,
            "area": s.area,
            "bbox": s.bbox,
            "alternatives": ", ".join(label for label, _ in s.alternatives),
            "composed": s.composed,
        }
        for s in labeling.segments
    ]
    try:
        import pandas
    except ImportError:
        return rows
    return pandas.DataFrame(rows).set_index("id")


def show(picture: Image.Image) -> None:
    """In a notebook below the cell, else in the system's viewer of images.

    ZeroguideError where there is no screen or no viewer.
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if hasattr(shell, "kernel"):
        from IPython.display import display

        display(picture)
    elif not (_has_screen() and ImageShow.show(picture)):
        raise ZeroguideError(
            "there is no screen or no viewer of images here; write a file with .save(...)"
        )


def _has_screen() -> bool:
    # On Linux xdg-open would look for a viewer in vain, loudly, and report success.
    others = not sys.platform.startswith("linux")
    return others or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _line(labeling: NamedMap) -> str:
    return repr(labeling)[1:-1]


def _data_url(picture: Image.Image, kind: str) -> str:
    data = io.BytesIO()
    picture.save(data, kind, **({"quality": QUALITY} if kind == "JPEG" else {}))
    return f"data:image/{kind.lower()};base64,{base64.b64encode(data.getvalue()).decode()}"


def _areas(labeling: NamedMap, size: tuple[int, int]) -> str:
    """The image map's areas for a picture of this (width, height); specks have none."""
    height, width = labeling.label_map.shape
    scale = min(1.0, MAP_SIDE / max(height, width))
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    y = ((np.arange(rows) + 0.5) * height / rows).astype(int)
    x = ((np.arange(columns) + 0.5) * width / columns).astype(int)
    reduced = labeling.label_map[y][:, x]
    found: list[tuple[float, str]] = []
    for segment in labeling.segments:
        title = html.escape(_title(labeling, segment))
        for outline, *_ in parts(reduced == segment.id):
            area = float(np.prod(np.ptp(outline, axis=0)))
            points = np.rint(outline * (size[0] / columns, size[1] / rows)).astype(int)
            coords = ",".join(map(str, points.ravel().tolist()))
            found.append((area, f'<area shape="poly" coords="{coords}" title="{title}">'))
    # The first area under the mouse counts: what lies in a hole has a smaller box than its ring.
    return "".join(text for _, text in sorted(found, key=lambda each: each[0]))


def _title(labeling: NamedMap, segment: Segment) -> str:
    share = format_share(segment.area / (labeling.width * labeling.height))
    title = (
        f"{segment.caption}\nconfidence {100 * segment.confidence:.0f} %, {share} of the picture"
    )
    if segment.composed:
        title += ", composed"
    if segment.alternatives:
        title += "\nor: " + ", ".join(label for label, _ in segment.alternatives)
    return title


def _table(labeling: NamedMap, colours: np.ndarray) -> str:
    """The largest segments, one a row."""
    total = labeling.width * labeling.height
    lines = ["".join(f'<th style="{CELL}">{column}</th>' for column in COLUMNS)]
    for s in labeling.segments[:MOST_ROWS]:
        colour = "#{:02x}{:02x}{:02x}".format(*colours[s.id].tolist())
        cells = (
            f'<span style="{CHIP.format(colour)}"></span>',
            str(s.id),
            html.escape(s.caption),
            f"{100 * s.confidence:.0f} %",
            html.escape(format_share(s.area / total)),
        )
        lines.append("".join(f'<td style="{CELL}">{cell}</td>' for cell in cells))
    more = len(labeling.segments) - MOST_ROWS
    if more > 0:
        lines.append(f'<td></td><td></td><td colspan="3" style="{CELL}">and {more} smaller</td>')
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"
