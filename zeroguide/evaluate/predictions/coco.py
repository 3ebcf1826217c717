"""Predictions in COCO's formats for instances: a list of results, or annotations with images.

One file holds all images. For COCO's panoptic format see `prediction_panoptic`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.evaluate.predictions.files import PredictionFile, check_scores
from zeroguide.evaluate.predictions.prediction import Prediction
from zeroguide.result.rle import RLE, decode, enclose_nothing, from_coco
from zeroguide.runs.masks.coco_tables import (
    Id,
    Image,
    check_categories,
    group_by_name,
    identity,
    length,
    read_categories,
    read_images,
)


@dataclass(frozen=True)
class CocoFiles:
    """What a file of COCO's holds.

    Attributes:
        images: by name.
        path: the file of the segments.
        open: an image that isn't in `images` has no segment: a list of results doesn't say more.
        note: what was left out, in one sentence; None: nothing.
    """

    images: dict[str, PredictionFile]
    path: Path
    open: bool
    note: str | None


@dataclass(frozen=True)
class _Segment:
    """An annotation or result; code: polygons, or a run-length code that may be damaged."""

    image: Id
    category: Id
    code: list[Any] | dict[str, Any]
    score: float | None


def coco_files(folder: Path, documents: Mapping[Path, Any]) -> CocoFiles:
    """The images of a file of COCO results or instances.

    Args:
        folder: that of the predictions.
        documents: the contents of its JSON files.

    Raises UsageError if they can't be understood, or use an id twice.
    """
    holders = [p for p, d in documents.items() if isinstance(d, list) or "annotations" in d]
    lists = [path for path in holders if isinstance(documents[path], list)]
    holders = lists or holders  # beside results, instances are there for images and categories
    if len(holders) != 1:
        raise UsageError(
            f"{folder}: needs one JSON file of COCO results or instances, there are "
            f"{len(holders)}; leave one there."
        )
    path = holders[0]
    try:
        names = read_categories(documents)
        images = read_images(documents)
        entries = documents[path] if lists else documents[path]["annotations"]
        segments = [_segment(each) for each in entries]
        if not lists:
            _check_ids(path, entries)
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise UsageError(
            f"{path}: isn't COCO results or instances ({e} is missing or wrong); every entry needs "
            "image_id, category_id and segmentation."
        ) from None
    check_categories(path, (segment.category for segment in segments), names)
    left_out = 0
    found: dict[str, PredictionFile] = {}
    of_images = group_by_name(path, images, ((segment.image, segment) for segment in segments))
    for name, (image, own) in of_images.items():
        kept = [s for s in own if not (isinstance(s.code, list) and enclose_nothing(s.code))]
        left_out += len(own) - len(kept)
        found[name] = _coco_image(path, name, image, kept, names)
    note = f"{path}: polygons of less than three corners are left out: {left_out}"
    return CocoFiles(found, path, bool(lists) and not images, note if left_out else None)


def _segment(entry: Mapping[str, Any]) -> _Segment:
    """An entry. KeyError, TypeError or ValueError unless all it needs is of its type.

    What only decoding a mask shows is left for then: it costs that image alone.
    """
    image, category = identity(entry, "image_id"), identity(entry, "category_id")
    code = entry["segmentation"]
    if not isinstance(code, list | dict):
        raise ValueError(f"segmentation {code!r}")
    if isinstance(code, dict) and "size" in code:
        size = code["size"]
        if not isinstance(size, list) or len(size) != 2:
            raise ValueError(f"size {size!r}")
        _code_size(code)
    score = entry.get("score", 1.0)
    if not isinstance(score, int | float | None):
        raise ValueError(f"score {score!r}")
    return _Segment(image, category, code, score)


def _check_ids(path: Path, annotations: Sequence[Mapping[str, Any]]) -> None:
    """UsageError for an annotation's id that another has, too: a file was joined with itself."""
    ids = [annotation["id"] for annotation in annotations if "id" in annotation]
    known: set[Any] = set()
    for each in ids:
        if each in known:
            raise UsageError(
                f"{path}: has the id {each!r} twice in its annotations; give each an id of its own."
            )
        known.add(each)


def _code_size(code: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Height and width that a run-length code carries; ValueError unless they are lengths."""
    height, width = code.get("size", (None, None))
    size = {"height": height, "width": width}
    return length(size, "height"), length(size, "width")


def _coco_image(
    path: Path, name: str, image: Image, segments: Sequence[_Segment], names: Mapping[Id, str]
) -> PredictionFile:
    """One image and its segments."""

    def size() -> tuple[int, int] | None:
        codes = [segment.code for segment in segments if isinstance(segment.code, dict)]
        for height, width in ((image.height, image.width), *map(_code_size, codes)):
            if height is not None and width is not None:
                return height, width
        if not segments:
            return None
        raise UsageError(
            f"{path}: doesn't tell the size of {name}; give images with height and width, or masks "
            "as run-length codes."
        )

    def read() -> Prediction:
        known = size()
        assert known is not None, "there are segments"
        masks: list[RLE] = []
        for segment in segments:
            try:
                masks.append(from_coco(segment.code, known))
            except ValueError as e:
                raise ZeroguideError(f"{path}: a mask of {name} {e}; write it again.") from None
        # null is how some writers spell NaN.
        found = (segment.score for segment in segments)
        scores = np.array([np.nan if score is None else float(score) for score in found])
        check_scores(path, scores)
        label_map = np.full(known, -1, dtype=np.int32)
        for index in np.argsort(scores, kind="stable"):
            label_map[decode(masks[index])] = index
        labels = [names[segment.category] for segment in segments]
        return Prediction(label_map, labels, scores, masks=masks)

    return PredictionFile(path, size, read if segments else None)
