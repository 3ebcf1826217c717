"""Predictions in COCO's panoptic format (Kirillov et al., CVPR 2019; panopticapi).

One JSON file whose annotations have `image_id`, `file_name` (of a PNG) and `segments_info` (`id`,
`category_id`), and a folder of PNGs: the segment of a pixel is R + 256 G + 256^2 B, 0 is none. As
with panopticapi the folder is called like the JSON file; PNGs right beside it, or anywhere in the
folder of predictions if their name is there once, are found, too. An image's name is that of its
`images` entry, else that of its PNG. The format has no scores; if all segments of an image have a
`score` all the same, as `zeroguide export` writes it, AP ranks them by it, else all alike.

As panopticapi does, a segment that only the PNG or only `segments_info` has is refused. Finding
that out takes reading every PNG before the run, about 10 ms for 640 x 480 pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from zeroguide.errors import UsageError
from zeroguide.evaluate.datasets.files import image_size
from zeroguide.evaluate.predictions.files import PredictionFile, check_scores
from zeroguide.evaluate.predictions.prediction import Prediction
from zeroguide.image.ids import read_colours
from zeroguide.result.rle import whole
from zeroguide.runs.masks.coco_tables import (
    Id,
    check_categories,
    identity,
    read_categories,
    read_images,
)
from zeroguide.runs.masks.names import plain, without_ending


@dataclass(frozen=True)
class _Segment:
    """A segment as `segments_info` has it; score: None if it has none."""

    category: Id
    score: float | None


def is_panoptic(document: Any) -> bool:
    """Whether the content of a JSON file is of COCO's panoptic format, damaged or not."""
    annotations = document.get("annotations") if isinstance(document, dict) else None
    return isinstance(annotations, list) and any(
        isinstance(each, dict) and "segments_info" in each for each in annotations
    )


def panoptic_files(
    folder: Path, documents: Mapping[Path, Any], pictures: Sequence[Path]
) -> dict[str, PredictionFile]:
    """The images of a panoptic file; a file's path is that of its PNG.

    Args:
        folder: that of the predictions.
        documents: the contents of its JSON files, at least one of them `is_panoptic`.
        pictures: all PNGs in it.

    Raises UsageError if the files can't be understood, or use an id twice.
    """
    holders = [p for p, d in documents.items() if is_panoptic(d) or isinstance(d, list)]
    if len(holders) != 1:
        raise UsageError(
            f"{folder}: holds {len(holders)} JSON files of predictions "
            f"({', '.join(path.name for path in holders)}); leave one there, and of others their "
            "categories and images alone."
        )
    path = holders[0]
    try:
        names = read_categories(documents)
        images = read_images(documents)
        annotations = [_entry(each) for each in documents[path]["annotations"]]
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise UsageError(
            f"{path}: isn't in COCO's panoptic format ({e} is missing or wrong); every annotation "
            "needs image_id, file_name and segments_info, and every segment id and category_id."
        ) from None
    check_categories(path, (s.category for *_, own in annotations for s in own.values()), names)
    places: dict[str, list[Path]] = {}
    for picture in pictures:
        places.setdefault(picture.name, []).append(picture)
    found: dict[str, PredictionFile] = {}
    seen: set[Id] = set()
    for image_id, file_name, segments in annotations:
        if image_id in seen:
            raise UsageError(f"{path}: has two annotations of the image {image_id!r}; keep one.")
        seen.add(image_id)
        title = images[image_id].file_name if image_id in images else None
        name = plain(without_ending(title or file_name))
        if name in found:
            raise UsageError(f"{path}: has two images named {name}; keep one of them.")
        found[name] = _file(path, _png(path, file_name, places), segments, names)
    return found


def _entry(annotation: Mapping[str, Any]) -> tuple[Id, str, dict[int, _Segment]]:
    """An annotation's image_id, file_name and its segments by id.

    KeyError, TypeError or ValueError if something is missing or of another type.
    """
    image_id, file_name = identity(annotation, "image_id"), annotation["file_name"]
    if not isinstance(file_name, str):
        raise ValueError(f"file_name {file_name!r}")
    segments: dict[int, _Segment] = {}
    for each in annotation["segments_info"]:
        number, category = whole(each["id"]), identity(each, "category_id")
        score = each.get("score")
        if number is None or not 0 < number < 256**3:
            raise ValueError(f"segment id {each['id']!r}")
        if not isinstance(score, int | float | None):
            raise ValueError(f"score {score!r}")
        if number in segments:
            raise ValueError(f"a second segment {number} of {file_name}")
        segments[number] = _Segment(category, score)
    return image_id, file_name, segments


def _png(path: Path, file_name: str, places: Mapping[str, Sequence[Path]]) -> Path:
    """Where a PNG lies; where it should lie if it doesn't."""
    inside = plain(file_name)
    usual = path.parent / path.stem / inside
    there = places.get(PurePosixPath(inside).name, ())
    for place in (usual, path.parent / inside):
        if place in there:
            return place
    return there[0] if len(there) == 1 else usual


def _file(
    path: Path, png: Path, segments: Mapping[int, _Segment], names: Mapping[Id, str]
) -> PredictionFile:
    """One image: its segments by id, and the names of their categories."""

    def size() -> tuple[int, int]:
        if not png.is_file():
            raise UsageError(f"{png}: is missing, though {path.name} names it; put it there.")
        return image_size(png)

    def ids() -> np.ndarray:
        """(H, W) int32; all of them, void excepted, are in `segments`, and none is left out."""
        colours = read_colours(png).astype(np.int32)
        found = colours[:, :, 0] + 256 * colours[:, :, 1] + 256**2 * colours[:, :, 2]
        flat = found.ravel()
        # Only where a run of equal pixels begins: far fewer to sort.
        present = set(flat[np.diff(flat, prepend=-1) != 0].tolist()) - {0}
        if present - segments.keys():
            raise UsageError(
                f"{png}: holds the segment {min(present - segments.keys())}, which {path.name} "
                "doesn't list; check that they belong together."
            )
        if segments.keys() - present:
            raise UsageError(
                f"{png}: has no pixel of the segment {min(segments.keys() - present)}, which "
                f"{path.name} lists; check that they belong together."
            )
        return found

    def read() -> Prediction:
        found = ids()
        known = sorted(segments)
        # The first place is that of 0, no segment, which becomes -1.
        label_map = np.searchsorted([0, *known], found).astype(np.int32) - 1
        labels = [names[segments[number].category] for number in known]
        given = [segments[number].score for number in known]
        if None in given:
            return Prediction(label_map, labels)
        scores = np.array(given, dtype=np.float64)
        check_scores(path, scores)
        return Prediction(label_map, labels, scores)

    return PredictionFile(png, size, read, check=ids)
