"""What every fitted model shares: its interface, and its folder.

A model's folder holds `model.safetensors` and `config.json` (`zeroguide.segment.fitted.config`).
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from zeroguide.errors import UsageError, WeightsError, ZeroguideError
from zeroguide.segment.fitted.config import CONFIG, WEIGHTS, Backbone, Config
from zeroguide.segment.segmenters.common import SegmenterResult, as_rows, contiguous
from zeroguide.system.files import write_atomically
from zeroguide.system.one_thread import one_thread

Tensors = dict[str, np.ndarray]


class FittedModel(ABC):
    """Classes that were found in a folder, recognised in any image's features.

    method: its name in `zeroguide.segment.fitted.METHODS`. n_classes: class ids are 0..n_classes-1.
    digest: SHA-256 of the weights' file, in hexadecimal; None before `save`.
    """

    method: ClassVar[str]

    def __init__(self, n_classes: int, backbone: Backbone) -> None:
        self.n_classes = n_classes
        self.backbone = backbone
        self.digest: str | None = None

    def classify(self, features: Any, *, seed: int = 0) -> np.ndarray:
        """The class of every cell of features (h, w, d), tensor or array: (h, w) int32.

        An id means the same in every image; an image need not have all of them. Raises UsageError
        for features of another width than the model was fitted on.
        """
        rows = as_rows(features)
        if rows.shape[1] != self.backbone.width:
            raise UsageError(
                f"the fitted model expects features of width {self.backbone.width}, not "
                f"{rows.shape[1]}: use it with models.dino={self.backbone.dino}"
            )
        h, w = features.shape[:2]
        with one_thread():
            classes = self._classify(rows, h, w, seed)
        return classes.reshape(h, w).astype(np.int32)

    def segment(self, features: Any, *, seed: int = 0) -> SegmenterResult:
        """Like any over-segmenter: ids 0..n-1 by first appearance, their classes, no merge tree."""
        label_map, classes = contiguous(self.classify(features, seed=seed).astype(np.int64))
        return SegmenterResult(label_map, classes=classes)

    def check_backbone(self, dino: str, features: dict[str, Any]) -> None:
        """UsageError unless a recipe's checkpoint and features section are the model's own."""
        self.backbone.check(dino, features)

    def save(self, folder: str | Path) -> None:
        """Writes the folder and sets `digest`; files of an older model in it are replaced.

        Raises ZeroguideError if it can't be written.
        """
        from safetensors.numpy import save

        folder = Path(folder)
        tensors = {name: np.ascontiguousarray(x) for name, x in self._tensors().items()}
        weights = save(tensors)
        digest = hashlib.sha256(weights).hexdigest()
        config = Config(self.method, self.n_classes, self.backbone, self._settings(), digest)
        text = json.dumps(config.to_dict(), indent=2) + "\n"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise ZeroguideError(
                f"{folder}: can't be made a folder ({e.strerror}); name another one"
            ) from None
        write_atomically(folder / WEIGHTS, weights)
        write_atomically(folder / CONFIG, text.encode())
        self.digest = digest

    @classmethod
    @abstractmethod
    def from_saved(cls, folder: Path, config: Config, tensors: Tensors) -> Self:
        """The model that `save` wrote; WeightsError where tensors or settings don't fit."""

    @abstractmethod
    def _classify(self, rows: np.ndarray, h: int, w: int, seed: int) -> np.ndarray:
        """Classes (h * w,) of rows (h * w, d) float32, finite, not scaled."""

    @abstractmethod
    def _tensors(self) -> Tensors:
        """What goes into `model.safetensors`."""

    def _settings(self) -> dict[str, Any]:
        """What `_classify` needs beside the tensors, as JSON."""
        return {}


def checked_tensors(
    folder: Path, tensors: Tensors, shapes: Mapping[str, tuple[int, ...]]
) -> Tensors:
    """The tensors, if they are finite and have just these names and shapes, else WeightsError."""
    fit = tensors.keys() == shapes.keys() and all(
        tensors[name].shape == shape and np.isfinite(tensors[name]).all()
        for name, shape in shapes.items()
    )
    if not fit:
        raise WeightsError(
            f"{folder / WEIGHTS} doesn't hold what {CONFIG} says: copy the model again or fit a "
            "new one"
        )
    return tensors


def read_tensors(folder: Path, digest: str) -> Tensors:
    """The weights in a model's folder; WeightsError unless they have that SHA-256."""
    from zeroguide.models.reading import opened

    path = folder / WEIGHTS
    with opened(path) as file:
        tensors = {name: file.get_tensor(name).float().numpy() for name in file.keys()}  # noqa: SIM118
    with path.open("rb") as raw:
        if hashlib.file_digest(raw, "sha256").hexdigest() != digest:
            raise WeightsError(
                f"{path} isn't the file that {CONFIG} was written with: copy the model again or "
                "fit a new one"
            )
    return tensors
