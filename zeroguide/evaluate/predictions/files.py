"""One image's predictions in a file: results of `zeroguide label`, and label maps of any tool.

A folder of predictions may hold JSON of other kinds, such as results of an evaluation: `kind_of`
tells them apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from zeroguide.errors import ZeroguideError
from zeroguide.evaluate.datasets.files import image_size, read_lines
from zeroguide.evaluate.predictions.prediction import Prediction
from zeroguide.image.ids import read_ids
from zeroguide.result import SCHEMA, Labeling
from zeroguide.result.formats.masks import NO_LABEL
from zeroguide.runs.masks.coco_tables import length, read_json

NAMES_FILE = "names.txt"
Kind = Literal["ours", "coco", "other"]
"""JSON of `zeroguide label`, of one of COCO's formats, either damaged or not, or no prediction."""

# The beginning of whatever zeroguide writes, so that large files need not be read to be told apart.
_BEGINNING = re.compile(rb'\s*\{\s*"schema"\s*:\s*"([^"\\]*)"')
_OWN = SCHEMA.partition("/")[0]


@dataclass(frozen=True)
class PredictionFile:
    """One image's prediction, read when asked.

    Attributes:
        path: where it lies.
        size: gives (height, width); None from it: the file doesn't say, and need not.
        read: gives the segments; None: there are none, whatever the size.
        check: raises UsageError if pixels and lists contradict each other; None: `read` finds out.
    """

    path: Path
    size: Callable[[], tuple[int, int] | None]
    read: Callable[[], Prediction] | None
    check: Callable[[], object] | None = None


def kind_of(path: Path) -> tuple[Kind, Any]:
    """What a JSON file is, and the content of one of COCO's formats; None of others.

    Only what is plainly no prediction is "other": a list of anything but objects, or an object
    without a single key of a prediction. Raises ZeroguideError if it can't be read.
    """
    try:
        with path.open("rb") as file:
            beginning = _BEGINNING.match(file.read(200))
    except OSError as e:
        raise ZeroguideError(f"{path}: can't be read ({e.strerror}); make it readable.") from None
    if beginning is not None:
        schema: object = beginning[1].decode(errors="replace")
    else:
        content = read_json(path)
        if isinstance(content, list):
            damaged = not content or any(isinstance(each, dict) for each in content)
            return ("coco", content) if damaged else ("other", None)
        if not isinstance(content, dict):
            return "other", None
        schema = content.get("schema")
        if not str(schema).startswith(_OWN):
            if _is_coco(content):
                return "coco", content
            # A result of ours that lost its schema is damaged, not something else.
            schema = _OWN if {"image", "segments"} <= content.keys() else ""
    return "ours" if str(schema).partition("/")[0] == _OWN else "other", None


def _is_coco(content: dict[str, Any]) -> bool:
    """Whether an object has a key of COCO's formats, with anything but a list of other things."""
    if {"annotations", "segmentation", "segments_info"} & content.keys():
        return True
    tables = [content[name] for name in ("images", "categories") if name in content]
    return any(
        isinstance(table, list) and all(isinstance(each, dict) for each in table)
        for table in tables
    )


def labeling_file(path: Path) -> PredictionFile:
    """A result of `zeroguide label`."""

    def size() -> tuple[int, int]:
        document = read_json(path)
        try:
            height, width = (length(document["image"], key) for key in ("height", "width"))
            if height is None or width is None:
                raise ValueError("an image without a size")
            return height, width
        except (KeyError, TypeError, ValueError, AttributeError):
            raise ZeroguideError(
                f"{path}: not a zeroguide result; label the picture again or take it away."
            ) from None

    def read() -> Prediction:
        labeling = Labeling.load(path)
        scores = np.array([segment.score for segment in labeling.segments])
        labels = [segment.label for segment in labeling.segments]
        check_scores(path, scores)
        return Prediction(labeling.label_map - 1, labels, scores)

    return PredictionFile(path, size, read)


def check_scores(path: Path, scores: np.ndarray) -> None:
    """ZeroguideError for (m,) scores that rank nothing: NaN or infinite."""
    if not np.isfinite(scores).all():
        raise ZeroguideError(
            f"{path}: holds the score {scores[~np.isfinite(scores)][0]}; write finite scores."
        )


def read_names(path: Path) -> list[str] | None:
    """The names of a label map's numbers from 0, one per line; None without the file."""
    return read_lines(path, "whoever made the predictions") if path.is_file() else None


def label_map_file(path: Path, names: list[str] | None) -> PredictionFile:
    """A label map; `names` are those of all images, for one that has none of its own."""

    def read() -> Prediction:
        ids = read_ids(path)
        own = read_names(path.with_suffix(".txt")) or names
        void = 65535 if ids.max(initial=0) > 255 else 255
        known = len(own) if own is not None else void
        is_void = (ids == void) & (void >= known)
        if own and own[0] == NO_LABEL:  # of our own exports
            is_void |= ids == 0
        label_map = np.where(is_void, -1, ids).astype(np.int32)
        n = int(label_map.max(initial=-1)) + 1
        if n > known:
            raise ZeroguideError(
                f"{path}: holds the number {n - 1} but there are {known} names; name it, one per "
                f"line from number 0, in {NAMES_FILE} or {path.stem}.txt."
            )
        present, numbers = np.unique(label_map, return_inverse=True)
        kept = present[present >= 0]
        label_map = (numbers.reshape(label_map.shape) - (present[0] < 0)).astype(np.int32)
        return Prediction(label_map, [own[i] if own else f"cluster {i}" for i in kept])

    return PredictionFile(path, lambda: image_size(path), read)
