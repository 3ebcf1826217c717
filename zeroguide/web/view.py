"""What the page draws: outlines, colours, places for names, in the units of a small label map."""

from __future__ import annotations

from typing import Any

import numpy as np

from zeroguide.result.html_page import data_url
from zeroguide.result.overlay.colours import choose_colours, css, text_colour
from zeroguide.result.overlay.svg import grid, outline, reduce
from zeroguide.result.rle import decode
from zeroguide.web.editing import EditedSegment, Editor, Parts
from zeroguide.web.mask_files import NamedMasks
from zeroguide.web.namings import Naming

MAP_SIDE = 448  # pixels of the outlines' label map at its longer side
PICTURE_SIDE = 1280  # pixels of the picture in the page at its longer side


class View:
    """What of a picture's drawing is kept while somebody works on it.

    editor: as the networks left it. granularity: that it was cut with, and the recipe's; None where
    it doesn't act. threshold: the recipe's own.
    """

    def __init__(self, editor: Editor, granularity: tuple[float, float] | None = None) -> None:
        self._label_map = reduce(editor.label_map, MAP_SIDE)
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
            "colour": css(colour),
            "ink": css(text_colour(colour)),
            **self._shape(segment.parts),
        }

    def _shape(self, parts: Parts) -> dict[str, Any]:
        """Outline and place of a segment; empty and null where the small map has no pixel of it."""
        if parts not in self._shapes:
            self._shapes[parts] = self._draw(parts)
        return self._shapes[parts]

    def _draw(self, parts: Parts) -> dict[str, Any]:
        return drawn(np.isin(self._label_map, parts))


def drawn_masks(masks: NamedMasks) -> list[dict[str, Any]]:
    """Masks as the page draws segments, the largest first; they may lie on each other.

    place: in what of the mask no smaller one covers.
    """
    height, width = masks.image.pixels.shape[:2]
    y, x = (grid(length, max(height, width), MAP_SIDE) for length in (height, width))
    segments = masks.segments()
    order = masks.order()
    small = [decode(masks.masks[i].code)[y][:, x] for i in order]
    shown = np.zeros((len(y), len(x)), np.int32)
    for number, mask in enumerate(small, start=1):
        shown[mask] = number
    colours = choose_colours(shown, len(small))[1:]
    return [
        {
            "parts": [number],
            "id": segments[i].id,
            **names_of(masks.namings[i]),
            "source": "network",
            "fixed": False,
            "share": segments[i].area / (height * width),
            "colour": css(colour),
            "ink": css(text_colour(colour)),
            **drawn(mask),
            "place": drawn(shown == number + 1)["place"],
        }
        for number, (i, mask, colour) in enumerate(zip(order, small, colours, strict=True))
    ]


def names_of_masks(masks: NamedMasks) -> list[dict[str, Any]]:
    """What the masks are called now, in the order of `drawn_masks`."""
    return [names_of(masks.namings[i]) for i in masks.order()]


def drawn(mask: np.ndarray) -> dict[str, Any]:
    """Outline and place of a mask (h, w) bool, as the page takes them."""
    path, place = outline(mask)
    return {"path": path, "place": place and [round(value, 1) for value in place]}


def names_of(naming: Naming) -> dict[str, Any]:
    """What the page says of a segment's name."""
    label, *others = (label for label, _ in naming.labels)
    return {
        "label": label,
        "confidence": round(naming.confidence, 4),
        "alternatives": others,
        "composed": naming.composed,
    }


def _names(segment: EditedSegment) -> dict[str, Any]:
    labels = ((segment.label, segment.score), *segment.alternatives)
    return names_of(Naming(labels, segment.embedding, segment.confidence, segment.composed))
