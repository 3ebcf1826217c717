"""labelme: a JSON per image, `x.json` for `x.jpg`, with a polygon for each part of a segment.

The parts of one segment share its id as `group_id`. Holes are kept by a slit. labelme draws masks
by rounding vertices down to pixels and drawing the border too; the sides lie a little inside the
segment, so that its own loader gives back exactly our pixels. `imagePath` leads from the JSON to
the photo where that is known; the photo isn't copied into the JSON.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from zeroguide.result.chosen import Chosen
from zeroguide.result.entry import Entry
from zeroguide.result.formats.base import Run, to_json
from zeroguide.result.formats.outlines import polygons

VERSION = "5.5.0"  # of the files; they have no version of their own
INSET = 0.05


def write(run: Run, folder: Path) -> str | None:
    """Fill a folder (see `zeroguide.result.formats.registry`)."""
    unknown = 0
    for entry in run:
        path = folder / (run.stem(entry.key) + ".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        unknown += entry.image is None
        path.write_text(to_json(_document(entry, path.parent)) + "\n", encoding="utf-8")
    if not unknown:
        return None
    return f"photos that aren't known or have gone: {unknown}; put them beside their JSON files"


def _document(entry: Entry[Chosen], folder: Path) -> dict[str, Any]:
    """One image's annotations, to be written to `folder`."""
    labeling = entry.labeling
    shapes = []
    for segment in labeling.segments:
        x, y = segment.bbox[:2]
        for polygon in polygons(labeling.crop(segment), inset=INSET):
            shapes.append(
                {
                    "label": segment.label,
                    "points": (polygon + np.array([x, y])).round(2).tolist(),
                    "group_id": segment.id,
                    "description": f"confidence {segment.confidence:.2f}",
                    "shape_type": "polygon",
                    "flags": {},
                    "mask": None,
                }
            )
    return {
        "version": VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": _image_path(entry, folder),
        "imageData": None,
        "imageHeight": labeling.height,
        "imageWidth": labeling.width,
    }


def _image_path(entry: Entry[Chosen], folder: Path) -> str:
    """From the JSON's folder to the photo, with slashes."""
    if entry.image is None:
        return entry.key.rpartition("/")[2]
    image = entry.image.absolute()
    try:
        return Path(os.path.relpath(image, folder.absolute())).as_posix()
    except ValueError:  # another drive
        return image.as_posix()
