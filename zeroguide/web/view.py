"""What the page draws: outlines, colours and places for names, in the units of a small label map.

Outlines run along the borders between pixels with every corner cut by half a pixel: stairs become
slanting lines, and neighbours still share their border.
"""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import PIL.Image

from zeroguide.result.formats.outlines import parts as trace
from zeroguide.result.overlay.colours import choose_colours, text_colour
from zeroguide.web.editing import EditedSegment, Editor, Parts

MAP_SIDE = 448  # pixels of the outlines' label map at its longer side
PICTURE_SIDE = 1280  # pixels of the picture in the page at its longer side


class View:
    """What of a picture's drawing is kept while somebody works on it.

    editor: as the networks left it. granularity: that it was cut with, and the recipe's; None where
    it doesn't act. threshold: the recipe's own.
    """

    def __init__(self, editor: Editor, granularity: tuple[float, float] | None = None) -> None:
        self._label_map = _reduce(editor.label_map, MAP_SIDE)
        self._colours = choose_colours(self._label_map + 1, editor.n_parts)[1:]
        self._shapes: dict[Parts, dict[str, Any]] = {}
        self.granularity = granularity
        self.threshold = editor.threshold  # the recipe's: nobody has moved it yet

    def scene(self, editor: Editor) -> dict[str, Any]:
        """What stays the same while segments are merged and renamed; ready for JSON.

        src: the picture, smaller, as a data URL. box: width and height in which all outlines and
        places are. over: the over-segments, whose names are in the state. edges: [i, j, similarity]
        between them. granularity: what it was cut with, and the recipe's, or null. threshold,
        certainty: the recipe's own; a certainty of null doesn't act.
        """
        height, width = self._label_map.shape
        image = editor.image
        return {
            "src": data_url(image.pixels, PICTURE_SIDE),
            "name": image.file_name,
            "size": [image.pixels.shape[1], image.pixels.shape[0]],
            "box": [width, height],
            "over": [self._segment(segment, editor) for segment in editor.over_segments()],
            "edges": [[i, j, round(weight, 4)] for i, j, weight in editor.edges()],
            "granularity": self.granularity,
            "threshold": self.threshold,
            "certainty": editor.recipe_certainty,
            "notes": list(image.notes),
        }

    def state(self, editor: Editor) -> dict[str, Any]:
        """The segments as they stand, the largest first; ready for JSON.

        over: what the over-segments are called now.
        """
        segments = sorted(editor.segments, key=lambda segment: -segment.area)  # as in Labeling
        return {
            "threshold": editor.threshold,
            "certainty": editor.certainty,
            "undo": editor.can_undo,
            "over": [_names(segment) for segment in editor.over_segments()],
            "segments": [self._segment(segment, editor) for segment in segments],
        }

    def _segment(self, segment: EditedSegment, editor: Editor) -> dict[str, Any]:
        areas = [int(area) for area in editor.areas[list(segment.parts)]]
        # The colour of its largest part: it doesn't jump when something small joins.
        colour = self._colours[segment.parts[int(np.argmax(areas))]]
        return {
            "parts": list(segment.parts),
            **_names(segment),
            "source": segment.source,
            "fixed": segment.fixed,
            "share": segment.area / editor.label_map.size,
            "colour": _css(colour),
            "ink": _css(np.array(text_colour(colour))),
            **self._shape(segment.parts),
        }

    def _shape(self, parts: Parts) -> dict[str, Any]:
        """Outline and place of a segment; empty and null where the small map has no pixel of it."""
        if parts not in self._shapes:
            self._shapes[parts] = self._draw(parts)
        return self._shapes[parts]

    def _draw(self, parts: Parts) -> dict[str, Any]:
        mask = np.isin(self._label_map, parts)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(rows):
            return {"path": "", "place": None}
        y, x = int(rows[0]), int(columns[0])
        mask = mask[y : rows[-1] + 1, x : columns[-1] + 1]
        rings = [ring + np.array((x, y)) for rings in trace(mask) for ring in rings]
        row, column, radius = _deepest(mask)
        return {
            "path": "".join(map(_path, rings)),
            "place": [round(x + column, 1), round(y + row, 1), round(radius, 1)],
        }


def _names(segment: EditedSegment) -> dict[str, Any]:
    return {
        "label": segment.label,
        "confidence": round(segment.confidence, 4),
        "alternatives": [label for label, _ in segment.alternatives],
        "composed": segment.composed,
    }


def data_url(pixels: np.ndarray, side: int, *, quality: int = 88) -> str:
    """A JPEG of pixels (H, W, 3) uint8, at most `side` pixels large, as a data URL."""
    picture = PIL.Image.fromarray(pixels)
    picture.thumbnail((side, side), PIL.Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _reduce(label_map: np.ndarray, side: int) -> np.ndarray:
    """The label map (H, W) at no more than this longer side, by nearest neighbour."""
    scale = min(1.0, side / max(label_map.shape))
    height, width = (max(1, round(length * scale)) for length in label_map.shape)
    y = ((np.arange(height) + 0.5) * label_map.shape[0] / height).astype(int)
    x = ((np.arange(width) + 0.5) * label_map.shape[1] / width).astype(int)
    return label_map[y][:, x]


def _path(ring: np.ndarray) -> str:
    """A ring of corners (n, 2) with integers as an SVG path, every corner cut by half a pixel."""
    following = np.roll(ring, -1, axis=0)
    step = 0.5 * np.sign(following - ring)
    points = np.stack([ring + step, following - step], axis=1).reshape(-1, 2)
    same = (points == np.roll(points, 1, axis=0)).all(axis=1)  # sides of one pixel have one middle
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points[~same].tolist()) + "Z"


def _deepest(mask: np.ndarray) -> tuple[float, float, float]:
    """Row, column and radius of the largest disc in a mask (h, w), not empty."""
    from scipy.ndimage import distance_transform_edt

    stride = 1 + max(mask.shape) // 120  # a name needs no more exactness
    coarse = mask[::stride, ::stride]
    if not coarse.any():
        stride, coarse = 1, mask
    depth = distance_transform_edt(np.pad(coarse, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return (row + 0.5) * stride, (column + 0.5) * stride, float(depth.max()) * stride


def _css(colour: np.ndarray) -> str:
    return "#" + bytes(int(channel) for channel in colour).hex()
