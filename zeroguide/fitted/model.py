"""What every fitted model shares: its interface, the backbone it belongs to, and its folder.

A model's folder holds `model.safetensors` and `config.json`: schema and version, method, number of
classes, the backbone (checkpoint, features section of the recipe, width), the method's settings,
and the SHA-256 of the weights, so that files of two models are never taken for one.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from zeroguide.errors import UsageError, WeightsError, ZeroguideError
from zeroguide.formats import write_atomically
from zeroguide.segmenters.common import SegmenterResult, contiguous

SCHEMA = "zeroguide-fitted"
VERSION = 1
WEIGHTS, CONFIG = "model.safetensors", "config.json"


@dataclass(frozen=True)
class Backbone:
    """Whose features a model understands.

    dino: the checkpoint, as the recipe names it. features: the recipe's features section.
    width: d, the number of a feature's values.
    """

    dino: str
    features: dict[str, Any]
    width: int


class FittedModel(ABC):
    """Classes that were found in a folder, recognised in any image's features.

    method: its name in `zeroguide.fitted.METHODS`. n_classes: class ids are 0..n_classes-1.
    """

    method: ClassVar[str]

    def __init__(self, n_classes: int, backbone: Backbone) -> None:
        self.n_classes = n_classes
        self.backbone = backbone

    def classify(
        self, features: Any, *, attention: np.ndarray | None = None, seed: int = 0
    ) -> np.ndarray:
        """The class of every cell of features (h, w, d), tensor or array: (h, w) int32.

        An id means the same in every image; an image need not have all of them. `attention`,
        (h, w), is the class token's, for the methods that look at it. Raises UsageError for
        features of another width than the model was fitted on.
        """
        rows = as_rows(features)
        if rows.shape[1] != self.backbone.width:
            raise UsageError(
                f"the fitted model expects features of width {self.backbone.width}, not "
                f"{rows.shape[1]}: use it with models.dino={self.backbone.dino}"
            )
        h, w = features.shape[:2]
        return self._classify(rows, h, w, attention, seed).reshape(h, w).astype(np.int32)

    def segment(
        self, features: Any, *, attention: np.ndarray | None = None, seed: int = 0
    ) -> SegmenterResult:
        """Like any over-segmenter: ids 0..n-1 by first appearance, their classes, no merge tree."""
        label_map, classes = contiguous(
            self.classify(features, attention=attention, seed=seed).astype(np.int64)
        )
        return SegmenterResult(label_map, classes=classes)

    def check_backbone(self, dino: str, features: dict[str, Any]) -> None:
        """UsageError unless a recipe's checkpoint and features section are the model's own.

        Resolution and stride may differ: they change how large things are, not what a feature is.
        """
        asked = {"models.dino": dino} | _kind(features)
        own = {"models.dino": self.backbone.dino} | _kind(self.backbone.features)
        for key, value in own.items():
            if asked[key] != value:
                raise UsageError(
                    f"the fitted model belongs to {key}={value}, but the recipe has {asked[key]}: "
                    f"set {key}={value} or fit a model for this recipe"
                )

    def save(self, folder: str | Path) -> None:
        """Writes the folder; files of an older model in it are replaced.

        Raises ZeroguideError if it can't be written.
        """
        from safetensors.numpy import save

        folder = Path(folder)
        tensors = {name: np.ascontiguousarray(x) for name, x in self._tensors().items()}
        weights = save(tensors)
        config = {
            "schema": SCHEMA,
            "version": VERSION,
            "method": self.method,
            "n_classes": self.n_classes,
            "dino": self.backbone.dino,
            "features": self.backbone.features,
            "width": self.backbone.width,
            "settings": self._settings(),
            "weights_sha256": hashlib.sha256(weights).hexdigest(),
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise ZeroguideError(
                f"{folder}: can't be made a folder ({e.strerror}); name another one"
            ) from e
        write_atomically(folder / WEIGHTS, weights)
        write_atomically(folder / CONFIG, (json.dumps(config, indent=2) + "\n").encode())

    @classmethod
    @abstractmethod
    def from_parts(
        cls,
        folder: Path,
        n_classes: int,
        backbone: Backbone,
        tensors: dict[str, np.ndarray],
        settings: dict[str, Any],
    ) -> Self:
        """The model of a folder's content; WeightsError where tensors don't fit."""

    @abstractmethod
    def _classify(
        self, rows: np.ndarray, h: int, w: int, attention: np.ndarray | None, seed: int
    ) -> np.ndarray:
        """Classes (h * w,) of rows (h * w, d) float32, finite, not scaled."""

    @abstractmethod
    def _tensors(self) -> dict[str, np.ndarray]:
        """What goes into `model.safetensors`."""

    def _settings(self) -> dict[str, Any]:
        """What `_classify` needs beside the tensors, as JSON."""
        return {}


def as_rows(features: Any) -> np.ndarray:
    """Features (h, w, d), tensor or array, as (h * w, d) float32; ZeroguideError if not finite."""
    if not isinstance(features, np.ndarray):
        features = features.detach().cpu().numpy()  # a tensor, wherever it lives
    if features.ndim != 3 or 0 in features.shape:
        raise ValueError(f"expected features of shape (h, w, d), got {features.shape}")
    rows = features.reshape(-1, features.shape[2]).astype(np.float32)
    if not np.isfinite(rows).all():
        raise ZeroguideError(
            "the model's features are not finite: use a model in float32 or bfloat16"
        )
    return rows


def checked_tensors(
    folder: Path, tensors: dict[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
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


def read_folder(
    folder: Path, methods: Sequence[str]
) -> tuple[str, int, Backbone, dict[str, np.ndarray], dict[str, Any]]:
    """Method, n_classes, backbone, tensors and settings of a model's folder, all checked.

    Raises UsageError if the folder holds no model, WeightsError if the model can't be used.
    """
    from zeroguide.models.reading import opened, read_json

    if not (folder / CONFIG).is_file():
        raise UsageError(
            f"{folder} is no folder of a fitted model (it has no {CONFIG}): make one with "
            "`zeroguide fit`"
        )
    config = read_json(folder / CONFIG)
    if config.get("schema") != SCHEMA:
        raise UsageError(
            f"{folder / CONFIG} doesn't belong to a fitted model: make one with `zeroguide fit`"
        )
    if config.get("version") != VERSION or config.get("method") not in methods:
        raise WeightsError(
            f"{folder} holds a fitted model of version {config.get('version')}, method "
            f"{config.get('method')!r}, which this zeroguide doesn't know: fit it again"
        )
    try:
        n_classes, width = (int(config[key]) for key in ("n_classes", "width"))
        backbone = Backbone(str(config["dino"]), dict(config["features"]), width)
        settings = dict(config["settings"])
        digest = str(config["weights_sha256"])
        if min(n_classes, width) < 1:
            raise ValueError(f"{n_classes} classes, width {width}")
    except (KeyError, TypeError, ValueError) as e:
        raise WeightsError(
            f"{folder / CONFIG} is incomplete ({e}): copy the model again or fit a new one"
        ) from e
    path = folder / WEIGHTS
    if not path.is_file():
        raise WeightsError(f"{folder} has no {WEIGHTS}: copy the model again or fit a new one")
    with opened(path) as file:
        tensors = {name: file.get_tensor(name).float().numpy() for name in file.keys()}  # noqa: SIM118
    with path.open("rb") as raw:
        if hashlib.file_digest(raw, "sha256").hexdigest() != digest:
            raise WeightsError(
                f"{path} isn't the file that {CONFIG} was written with: copy the model again or "
                "fit a new one"
            )
    return str(config["method"]), n_classes, backbone, tensors, settings


def _kind(features: dict[str, Any]) -> dict[str, Any]:
    """What decides the meaning of a feature, by the recipe's keys."""
    return {f"features.{key}": features.get(key) for key in ("layer", "facet")}
