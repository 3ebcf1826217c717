"""GeoJSON: `x.geojson` for `x.jpg`, a feature per segment, in pixels from the upper left corner.

Geometries are Polygons or, for several parts, MultiPolygons; holes are rings of their own, as the
format has them. The properties are label, segment (its id), score and confidence, and those by
which QuPath shows objects: objectType and classification with a colour for each label.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from zeroguide.result.chosen import Chosen
from zeroguide.result.formats.base import Run, to_json
from zeroguide.result.formats.outlines import parts
from zeroguide.result.segment import Segment


def write(run: Run, folder: Path) -> None:
    """Fill a folder (see `zeroguide.result.formats.registry`)."""
    for entry in run:
        path = folder / (run.stem(entry.key) + ".geojson")
        path.parent.mkdir(parents=True, exist_ok=True)
        features = [_feature(run, entry.labeling, segment) for segment in entry.labeling.segments]
        document = {"type": "FeatureCollection", "features": features}
        path.write_text(to_json(document) + "\n", encoding="utf-8")


def _feature(run: Run, labeling: Chosen, segment: Segment) -> dict[str, Any]:
    corner = np.array(segment.bbox[:2])
    polygons = [
        [(np.vstack([ring, ring[:1]]) + corner).astype(int).tolist() for ring in part]
        for part in parts(labeling.crop(segment))
    ]
    one = len(polygons) == 1
    return {
        "type": "Feature",
        "id": segment.id,
        "geometry": {
            "type": "Polygon" if one else "MultiPolygon",
            "coordinates": polygons[0] if one else polygons,
        },
        "properties": {
            "label": segment.label,
            "segment": segment.id,
            "score": segment.score,
            "confidence": segment.confidence,
            "objectType": "annotation",
            "classification": {
                "name": segment.label,
                "color": list(run.colour(segment.label)),
            },
        },
    }
