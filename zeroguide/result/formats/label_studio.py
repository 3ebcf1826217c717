"""Label Studio: `tasks.json` with a task per image, and `config.xml`, the labelling interface.

Labels are predictions, which Label Studio shows and an annotator accepts or changes. A segment is a
polygon per part, the further parts being children of the first; holes are kept by a slit. Images
are found by Label Studio's local file serving, whose root is then the labelled folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np

from zeroguide.result.chosen import Chosen
from zeroguide.result.formats.base import Run, to_json
from zeroguide.result.formats.outlines import polygons
from zeroguide.result.segment import Segment

Regions = Callable[[Chosen, Segment], list[dict[str, Any]]]


def write(run: Run, folder: Path) -> None:
    """Fill a folder (see `zeroguide.result.formats.registry`)."""
    write_tasks(run, folder, "PolygonLabels", polygon_values)


def write_tasks(run: Run, folder: Path, control: str, regions: Regions) -> None:
    """Write tasks and interface.

    control: the tag that labels regions. regions: a segment's `value`s, further fields that replace
    the region's own under the same keys.
    """
    with open(folder / "config.xml", "w", encoding="utf-8") as file:
        file.write('<View>\n  <Image name="image" value="$image"/>\n')
        file.write(f'  <{control} name="label" toName="image">\n')
        for label in run.labels:
            colour = "#{:02x}{:02x}{:02x}".format(*run.colour(label))
            file.write(f'    <Label value={quoteattr(label)} background="{colour}"/>\n')
        file.write(f"  </{control}>\n</View>\n")
    with open(folder / "tasks.json", "w", encoding="utf-8") as file:
        file.write("[")
        for i, entry in enumerate(run):
            labeling = entry.labeling
            results = []
            for segment in labeling.segments:
                for part, value in enumerate(regions(labeling, segment)):
                    value[control.lower()] = [segment.label]
                    results.append(region(labeling, segment, part, control.lower(), value))
            task = {
                "data": {"image": "/data/local-files/?d=" + quote(entry.key), "key": entry.key},
                "predictions": [{"model_version": version(labeling.recipe), "result": results}],
            }
            file.write((",\n" if i else "") + to_json(task))
        file.write("]\n")


def version(recipe: Mapping[str, Any]) -> str:
    """What Label Studio shows as the model of predictions that a recipe made."""
    return f"zeroguide {recipe.get('name', '')}".rstrip()


def region(
    labeling: Chosen, segment: Segment, part: int, kind: str, value: dict[str, Any]
) -> dict[str, Any]:
    """One part of a segment as Label Studio's region, by the tags of `write_tasks`.

    part: its place among the segment's parts, from 0. kind: the region's type, such as
    "polygonlabels". value: shape and labels.
    """
    region: dict[str, Any] = {
        "id": f"{segment.id}-{part}",
        "type": kind,
        "from_name": "label",
        "to_name": "image",
        "original_width": labeling.width,
        "original_height": labeling.height,
        "image_rotation": 0,
        "score": segment.confidence,
        "value": value,
    }
    if part:
        region["parentID"] = f"{segment.id}-0"
    return region


def polygon_values(labeling: Chosen, segment: Segment) -> list[dict[str, Any]]:
    """A polygon for each part, in percent of width and height."""
    x, y = segment.bbox[:2]
    percent = (100 / labeling.width, 100 / labeling.height)
    return [
        {"points": ((polygon + np.array([x, y])) * percent).round(6).tolist(), "closed": True}
        for polygon in polygons(labeling.crop(segment))
    ]
