"""Predictions in COCO's formats for instances: a list of results, or annotations with images.

One file holds all images. For COCO's panoptic format see `prediction_panoptic`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.evaluation.prediction_files import PredictionFile, check_scores
from zeroguide.evaluation.predictions import Prediction

if TYPE_CHECKING:
    from zeroguide.metrics.class_agnostic import RLE


def coco_files(folder: Path, documents: Mapping[Path, Any]) -> dict[str, PredictionFile]:
    """The images of a file of COCO results or instances.

    Args:
        folder: that of the predictions.
        documents: the contents of its JSON files.

    Raises UsageError if they can't be understood.
    """
    tables = [d for d in documents.values() if isinstance(d, dict)]
    holders = [
        (path, d if isinstance(d, list) else d["annotations"])
        for path, d in documents.items()
        if isinstance(d, list) or (isinstance(d, dict) and "annotations" in d)
    ]
    lists = [(path, a) for path, a in holders if isinstance(documents[path], list)]
    holders = lists or holders  # beside results, instances are there for images and categories
    if len(holders) != 1:
        raise UsageError(
            f"{folder}: needs one JSON file of COCO results or instances, there are "
            f"{len(holders)}; leave one there."
        )
    path, annotations = holders[0]
    try:
        names = {c["id"]: str(c["name"]) for t in tables for c in t.get("categories", ())}
        images = {i["id"]: i for t in tables for i in t.get("images", ())}
        own: dict[Any, list[dict[str, Any]]] = {identity: [] for identity in images}
        for image in images.values():
            _check_size(image)
        for each in annotations:
            _check_entry(each)
            own.setdefault(each["image_id"], []).append(each)
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise UsageError(
            f"{path}: isn't COCO results or instances ({e} is missing or wrong); every entry needs "
            "image_id, category_id and segmentation."
        ) from None
    check_categories(path, (each["category_id"] for each in annotations), names)
    found: dict[str, PredictionFile] = {}
    for identity, entries in own.items():
        image = images.get(identity, {})
        stem = os.path.splitext(str(image.get("file_name", identity)))[0]
        name = stem.replace(os.sep, "/")
        if name in found:
            raise UsageError(f"{path}: has two images named {name}; keep one of them.")
        found[name] = _coco_image(path, name, image, entries, names)
    return found


def check_categories(path: Path, used: Iterable[int | str], names: Mapping[Any, str]) -> None:
    """UsageError for a category that a file uses and that has no name."""
    unknown = set(used) - names.keys()
    if unknown:
        raise UsageError(
            f"{path}: has the category {min(unknown, key=str)} without a name; put a JSON file "
            'with {"categories": [{"id": ..., "name": ...}]} beside it.'
        )


def _check_entry(entry: Mapping[str, Any]) -> None:
    """KeyError, TypeError or ValueError unless everything an entry needs is of its type.

    What only decoding a mask shows is left for then: it costs that image alone.
    """
    for key in ("image_id", "category_id"):
        if not isinstance(entry[key], int | str):
            raise ValueError(f"{key} {entry[key]!r}")
    code = entry["segmentation"]
    if not isinstance(code, list | dict):
        raise ValueError(f"segmentation {code!r}")
    if isinstance(code, dict) and "size" in code:
        size = code["size"]
        if not isinstance(size, list) or len(size) != 2:
            raise ValueError(f"size {size!r}")
        _check_size({"height": size[0], "width": size[1]})
    if not isinstance(entry.get("score", 1.0), int | float | None):
        raise ValueError(f"score {entry['score']!r}")


def _check_size(image: Mapping[str, Any]) -> None:
    """ValueError unless height and width are positive whole numbers, or missing."""
    for key in ("height", "width"):
        value = image.get(key)
        if value is not None and not (isinstance(value, int) and value > 0):
            raise ValueError(f"{key} {value!r}")


def _coco_image(
    path: Path,
    name: str,
    image: Mapping[str, Any],
    entries: Sequence[Mapping[str, Any]],
    names: Mapping[Any, str],
) -> PredictionFile:
    """One image's COCO entries."""

    def size() -> tuple[int, int]:
        for size in ((image.get("height"), image.get("width")), *_code_sizes(entries)):
            if None not in size:
                return int(size[0]), int(size[1])
        raise UsageError(
            f"{path}: doesn't tell the size of {name}; give images with height and width, or masks "
            "as run-length codes."
        )

    def read() -> Prediction:
        from pycocotools import mask as codes

        height, width = size()
        masks: list[RLE] = []
        for entry in entries:
            code = entry["segmentation"]
            try:
                if isinstance(code, list):
                    code = codes.merge(codes.frPyObjects(code, height, width))
                elif isinstance(code["counts"], list):
                    code = codes.frPyObjects(code, height, width)
                if list(code["size"]) != [height, width]:
                    raise ValueError(f"a mask of size {code['size']}, not {height} x {width}")
            except (KeyError, TypeError, ValueError, IndexError) as e:
                raise ZeroguideError(
                    f"{path}: a mask of {name} can't be read ({e}); write it again."
                ) from None
            masks.append(code)
        # null is how some writers spell NaN.
        found = (entry.get("score", 1.0) for entry in entries)
        scores = np.array([np.nan if score is None else float(score) for score in found])
        check_scores(path, scores)
        label_map = np.full((height, width), -1, dtype=np.int32)
        for index in np.argsort(scores, kind="stable"):
            label_map[codes.decode(masks[index]).astype(bool)] = index
        labels = [names[entry["category_id"]] for entry in entries]
        return Prediction(label_map, labels, scores, masks=masks)

    return PredictionFile(path, size, read)


def _code_sizes(entries: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Any, Any]]:
    """Sizes that run-length codes carry."""
    for entry in entries:
        if isinstance(entry["segmentation"], Mapping):
            height, width = entry["segmentation"].get("size", (None, None))
            yield height, width
