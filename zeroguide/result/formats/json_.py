"""JSON with the schema zeroguide/1: the lossless format.

    {"schema": "zeroguide/1",
     "image": {"file_name", "width", "height", "sha256"},
     "recipe": {...},
     "segments": [{"id", "label", "score", "confidence", "alternatives", "merged_from", "bbox",
                   "area", "composed", "segmentation", "embedding"}, ...]}

`segmentation` is COCO's compressed RLE; `embedding`, where there is one, base64 of little-endian
float16. After `label` comes `original` where the label was renamed: what the models wrote.
"""

from __future__ import annotations

import base64
import json
from os import PathLike
from typing import Any

import numpy as np

from zeroguide.image.limits import MAX_PIXELS
from zeroguide.result.named_map import NamedMap
from zeroguide.result.rle import checked, decode, whole
from zeroguide.result.segment import Segment
from zeroguide.system.files import write_atomically

SCHEMA = "zeroguide/1"


def save(labeling: NamedMap, path: str | PathLike[str]) -> None:
    """Write UTF-8 JSON, whole or not at all. Raises ZeroguideError if it can't be written."""
    write_atomically(path, to_bytes(to_dict(labeling)))


def to_dict(labeling: NamedMap) -> dict[str, Any]:
    """The schema's dictionary, ready for JSON."""
    segments: list[dict[str, Any]] = []
    for s, rle in zip(labeling.segments, labeling.rles(), strict=True):
        segments.append(segment_to_dict(s) | {"segmentation": rle})
        if labeling.embeddings is not None:
            row = labeling.embeddings[s.id - 1].astype("<f2").tobytes()
            segments[-1]["embedding"] = base64.b64encode(row).decode("ascii")
    return {
        "schema": SCHEMA,
        "image": {
            "file_name": labeling.file_name,
            "width": labeling.width,
            "height": labeling.height,
            "sha256": labeling.sha256,
        },
        "recipe": labeling.recipe,
        "segments": segments,
    }


def segment_to_dict(s: Segment) -> dict[str, Any]:
    """What the schema says of a segment, but for its mask and its embedding."""
    return {
        "id": s.id,
        "label": s.label,
        **({} if s.original is None else {"original": s.original}),
        "score": s.score,
        "confidence": s.confidence,
        "alternatives": [[label, score] for label, score in s.alternatives],
        "merged_from": list(s.merged_from),
        "bbox": list(s.bbox),
        "area": s.area,
        "composed": s.composed,
    }


def to_bytes(document: dict[str, Any]) -> bytes:
    """UTF-8 JSON as all results are written."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1)
    return (text + "\n").encode("utf-8", "backslashreplace")


def fields(d: dict[str, Any]) -> dict[str, Any]:
    """Of the schema's dictionary the fields of a `Labeling`.

    Raises ValueError if `d` is not a valid zeroguide/1.
    """
    schema = d.get("schema") if isinstance(d, dict) else None
    if schema != SCHEMA:
        raise ValueError(f"expected schema {SCHEMA!r}, got {schema!r}")
    try:
        image, entries = d["image"], d["segments"]
        size = _size(image)
        label_map = np.zeros(size, np.int32)
        segments = []
        encoded = [e["embedding"] for e in entries if "embedding" in e]
        if len(encoded) not in (0, len(entries)):
            raise ValueError("some segments have an embedding, others don't")
        rows = [np.frombuffer(base64.b64decode(row, validate=True), "<f2") for row in encoded]
        for e in entries:
            try:
                mask = decode(checked(e["segmentation"], size))
            except ValueError as error:
                raise ValueError(f"the mask of segment {e['id']} {error}") from error
            if label_map[mask].any():
                raise ValueError(f"segment {e['id']} overlaps another segment")
            label_map[mask] = e["id"]
            x, y, w, h = e["bbox"]
            segments.append(
                Segment(
                    id=e["id"],
                    label=e["label"],
                    score=float(e["score"]),
                    confidence=float(e["confidence"]),
                    alternatives=tuple((label, float(s)) for label, s in e["alternatives"]),
                    merged_from=tuple(e["merged_from"]),
                    bbox=(x, y, w, h),
                    area=e["area"],
                    composed=bool(e.get("composed", False)),
                    original=e.get("original"),
                )
            )
        return {
            "file_name": image["file_name"],
            "sha256": image["sha256"],
            "label_map": label_map,
            "segments": tuple(segments),
            "recipe": d["recipe"],
            "embeddings": np.stack(rows) if rows else None,
        }
    except KeyError as e:
        raise ValueError(f"the field {e} is missing") from None
    except (TypeError, AttributeError, OverflowError) as e:
        raise ValueError(f"a field has the wrong type: {e}") from None


def _size(image: dict[str, Any]) -> tuple[int, int]:
    """Height and width; ValueError unless they are those of a picture that can be labelled."""
    height, width = whole(image["height"]), whole(image["width"])
    if height is None or width is None or min(height, width) < 1 or height * width > MAX_PIXELS:
        raise ValueError(f"a picture of {image['width']!r} x {image['height']!r} pixels")
    return height, width
