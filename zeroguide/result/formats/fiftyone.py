"""FiftyOne: `samples.json` with a sample per image and its segments as detections with masks.

For `fiftyone.Dataset.from_dir(FOLDER, dataset_type=fiftyone.types.FiftyOneDataset)`. Segments are
in the field `segments`; their boxes are in fractions of width and height, a mask covers its box,
`index` is the segment's id. There is no metadata.json, which would tie the files to one version of
FiftyOne's database: FiftyOne takes them for its older, plainer layout and finds the fields itself.
"""

from __future__ import annotations

import base64
import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from zeroguide.result.chosen import Chosen
from zeroguide.result.entry import Entry
from zeroguide.result.formats.base import Run, to_json


def write(run: Run, folder: Path) -> str | None:
    """Fill a folder (see `zeroguide.result.formats.registry`)."""
    unknown = 0
    with open(folder / "samples.json", "w", encoding="utf-8") as file:
        file.write('{"samples": [')
        for i, entry in enumerate(run):
            unknown += entry.image is None
            file.write((",\n" if i else "") + to_json(_sample(entry)))
        file.write("]}\n")
    if not unknown:
        return None
    return f"photos that aren't known or have gone: {unknown}; name their folder with rel_dir"


def _sample(entry: Entry[Chosen]) -> dict[str, Any]:
    labeling = entry.labeling
    scale = np.array([labeling.width, labeling.height] * 2)
    # FiftyOne rounds corners down to pixels: a fraction that is a hair too small costs one.
    hair = np.array([1e-6, 1e-6, 0, 0])
    detections = [
        {
            "_cls": "Detection",
            "attributes": {},
            "tags": [],
            "label": segment.label,
            "bounding_box": ((segment.bbox + hair) / scale).tolist(),
            "mask": {"$binary": {"base64": _array(labeling.crop(segment)), "subType": "00"}},
            "confidence": segment.confidence,
            "index": segment.id,
            "score": segment.score,
        }
        for segment in labeling.segments
    ]
    path = entry.key if entry.image is None else entry.image.absolute().as_posix()
    segments = {"_cls": "Detections", "detections": detections}
    return {"filepath": path, "tags": [], "metadata": None, "segments": segments}


def _array(array: np.ndarray) -> str:
    """An array as FiftyOne stores it: NumPy's own file, deflated."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return base64.b64encode(zlib.compress(file.getvalue())).decode("ascii")
