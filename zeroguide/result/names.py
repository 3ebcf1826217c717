"""Names of masks that somebody else has drawn: JSON with the schema zeroguide-names/1.

    {"schema": "zeroguide-names/1",
     "image": {"file_name", "width", "height", "sha256"},
     "recipe": {...},
     "masks": [{"id", "label", "score", "confidence", "alternatives", "bbox", "area", "composed",
                "segmentation"}, ...]}

Fields are those of zeroguide/1 (`formats/json_`), but masks may overlap and leave pixels out.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np

from zeroguide.result.formats.json_ import segment_to_dict, to_bytes
from zeroguide.result.labeling import Labeling
from zeroguide.result.named_map import ImageLike
from zeroguide.result.rle import RLE, decode
from zeroguide.result.segment import Label, Segment
from zeroguide.system.files import write_atomically

SCHEMA = "zeroguide-names/1"
UNCOVERED = "(no mask)"


def save(
    path: str | PathLike[str],
    image: ImageLike,
    segments: Sequence[Segment],
    codes: Sequence[RLE],
    recipe: dict[str, Any],
) -> None:
    """Write an image's masks and names. Raises ZeroguideError if it can't be written."""
    write_atomically(path, to_bytes(to_dict(image, segments, codes, recipe)))


def to_dict(
    image: ImageLike, segments: Sequence[Segment], codes: Sequence[RLE], recipe: dict[str, Any]
) -> dict[str, Any]:
    """The schema's dictionary, ready for JSON."""
    height, width = image.pixels.shape[:2]
    return {
        "schema": SCHEMA,
        "image": {
            "file_name": image.file_name,
            "width": width,
            "height": height,
            "sha256": image.sha256,
        },
        "recipe": recipe,
        "masks": [_mask(*each) for each in zip(segments, codes, strict=True)],
    }


def flattened(
    image: ImageLike, segments: Sequence[Segment], codes: Sequence[RLE], recipe: dict[str, Any]
) -> Labeling:
    """What is to be seen of masks that may overlap: of two, a pixel shows the smaller.

    Pixels without a mask are a segment called `UNCOVERED`; a mask that others hide is left out.
    """
    shown = np.zeros(image.pixels.shape[:2], np.int32)
    for index in sorted(range(len(segments)), key=lambda i: -segments[i].area):
        shown[decode(codes[index])] = index + 1
    present, label_map = np.unique(shown, return_inverse=True)
    labels = [
        Label(segments[i - 1].caption if i else UNCOVERED, 0.0, 0.0, (), ())
        for i in present.tolist()
    ]
    return Labeling.build(image, label_map.reshape(shown.shape), labels, recipe)


def _mask(segment: Segment, code: RLE) -> dict[str, Any]:
    entry = segment_to_dict(segment)
    del entry["merged_from"]
    counts = code["counts"]
    return entry | {"segmentation": {"size": code["size"], "counts": counts.decode("ascii")}}
