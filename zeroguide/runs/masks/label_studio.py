"""Label Studio's tasks: polygons, rectangles and brush strokes of any number of images.

Of a task's annotations the first that wasn't cancelled counts, without one its first prediction.
Children of a region (`parentID`) are parts of its mask.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlparse

import numpy as np
from pycocotools import mask as coco_mask

from zeroguide.errors import ZeroguideError
from zeroguide.result.formats.label_studio_brush import decode
from zeroguide.runs.masks.coco_tables import length
from zeroguide.runs.masks.drawn import Drawn
from zeroguide.runs.masks.names import plain, without_ending

_UPLOAD = re.compile(r"[0-9a-f]{8}-")  # what Label Studio puts before the name of an uploaded file


def read_tasks(path: Path, tasks: Sequence[Mapping[str, Any]]) -> dict[str, Drawn]:
    """The images' masks by name.

    Raises ZeroguideError for what is no mask; KeyError, TypeError, ValueError or AttributeError for
    what isn't of Label Studio's form.
    """
    found: dict[str, Drawn] = {}
    for task in tasks:
        made = [each for each in task.get("annotations", ()) if not each.get("was_cancelled")]
        made = made or task.get("predictions", ())
        name = _image_name(task["data"])
        if name in found:
            raise ZeroguideError(f"{path}: has two tasks of {name}; keep one of them.")
        found[name] = _drawn(path, made[0]["result"] if made else [])
    return found


def _drawn(path: Path, regions: Sequence[Mapping[str, Any]]) -> Drawn:
    parts: dict[object, list[Any]] = {}  # polygons, or run-length codes
    size = None
    for region in regions:
        value = region.get("value", {})
        if not {"points", "rle", "width", "radiusX"} & value.keys():
            continue  # an answer about the image or a region
        height, width = length(region, "original_height"), length(region, "original_width")
        if height is None or width is None:
            raise ValueError("original_height or original_width")
        size = (height, width)
        own = parts.setdefault(region.get("parentID") or region.get("id"), [])
        if "rle" in value:
            mask = np.asfortranarray(decode(value["rle"], size).view(np.uint8))
            own.append(coco_mask.encode(mask))
        elif "points" in value:
            own.append((np.array(value["points"], float) / 100).ravel().tolist())
        elif "radiusX" not in value and not value.get("rotation"):
            x, y, w, h = (value[key] / 100 for key in ("x", "y", "width", "height"))
            own.append([x, y, x + w, y, x + w, y + h, x, y + h])
        else:
            raise ZeroguideError(
                f"{path}: has an ellipse or a turned rectangle; keep polygons, brush strokes and "
                "upright rectangles only."
            )
    if any(len(set(map(type, own))) > 1 for own in parts.values()):
        raise ValueError("a region of one kind")
    shapes = [coco_mask.merge(own) if isinstance(own[0], dict) else own for own in parts.values()]
    return Drawn(path, shapes, range(1, len(shapes) + 1), size, relative=True)


def _image_name(data: Mapping[str, Any]) -> str:
    """The image of a task: the first address in its data."""
    address = urlparse(next((text for text in data.values() if isinstance(text, str)), ""))
    local = parse_qs(address.query).get("d")  # local file serving: ?d=folder/photo.jpg
    folders, _, file = plain(local[0] if local else unquote(address.path)).rpartition("/")
    return without_ending(plain(f"{folders}/{_UPLOAD.sub('', file, count=1)}"))
