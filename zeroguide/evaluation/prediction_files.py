"""One image's predictions in a file: results of `zeroguide label`, and label maps of any tool."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zeroguide.datasets.files import image_size, read_ids, read_lines
from zeroguide.errors import ZeroguideError
from zeroguide.evaluation.predictions import Prediction
from zeroguide.formats import json_
from zeroguide.labeling import SCHEMA

NAMES_FILE = "names.txt"


@dataclass(frozen=True)
class PredictionFile:
    """One image's prediction: where it lies, (height, width) and the segments when asked."""

    path: Path
    size: Callable[[], tuple[int, int]]
    read: Callable[[], Prediction]


def read_json(path: Path) -> Any:
    """The content of a JSON file; ZeroguideError if it can't be read."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as e:
        raise ZeroguideError(f"{path}: can't be read as JSON ({e}); write it again.") from e


def is_ours(path: Path) -> bool:
    """Whether a JSON file is a result of `zeroguide label`."""
    document = read_json(path)
    return isinstance(document, dict) and document.get("schema") == SCHEMA


def labeling_file(path: Path) -> PredictionFile:
    """A result of `zeroguide label`."""

    def size() -> tuple[int, int]:
        document = read_json(path)
        try:
            return int(document["image"]["height"]), int(document["image"]["width"])
        except (KeyError, TypeError, ValueError) as e:
            raise ZeroguideError(
                f"{path}: not a zeroguide result; label the picture again or take it away."
            ) from e

    def read() -> Prediction:
        labeling = json_.load(path)
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
        label_map = np.where((ids == void) & (void >= known), -1, ids).astype(np.int32)
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
