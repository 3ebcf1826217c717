"""What a fitted model says of itself without its weights: `config.json`, read without torch.

It holds schema and version, method, number of classes, the backbone (checkpoint, features section
and name of the recipe, width), the method's settings, and the SHA-256 of the weights, so that files
of two models are never taken for one.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from zeroguide.errors import UsageError, WeightsError
from zeroguide.recipe import Features, list_recipes, load_recipe

SCHEMA = "zeroguide-fitted"
VERSION = 1
WEIGHTS, CONFIG = "model.safetensors", "config.json"


@dataclass(frozen=True)
class Backbone:
    """Whose features a model understands.

    dino: the checkpoint, as the recipe names it. features: the recipe's features section.
    width: d, the number of a feature's values. recipe: the recipe's name, if there was one.
    """

    dino: str
    features: dict[str, Any]
    width: int
    recipe: str = ""

    def check(self, dino: str, features: dict[str, Any]) -> None:
        """UsageError unless a recipe's checkpoint and features section are the backbone's own.

        Resolution and stride may differ: they change how large things are, not what a feature is.
        """
        fitted, asked = _kind(self.dino, self.features), _kind(dino, features)
        wrong = {key: value for key, value in fitted.items() if asked[key] != value}
        if not wrong:
            return
        remedy = " ".join(f"--set {shlex.quote(f'{key}={value}')}" for key, value in wrong.items())
        if self.recipe in list_recipes():
            preset = load_recipe(self.recipe)
            if _kind(preset.models.dino, preset.features.model_dump()) == fitted:
                remedy = f"--preset {self.recipe}"
        key, value = next(iter(wrong.items()))
        raise UsageError(
            f"the fitted model belongs to {key}={value}, but the recipe has {asked[key]}: add "
            f"{remedy} or fit a model for this recipe"
        )


@dataclass(frozen=True)
class Config:
    """The content of `config.json`; digest: SHA-256 of the weights' file, in hexadecimal."""

    method: str
    n_classes: int
    backbone: Backbone
    settings: dict[str, Any]
    digest: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "schema": SCHEMA,
            "version": VERSION,
            "method": self.method,
            "n_classes": self.n_classes,
            "recipe": self.backbone.recipe,
            "dino": self.backbone.dino,
            "features": self.backbone.features,
            "width": self.backbone.width,
            "settings": self.settings,
            "weights_sha256": self.digest,
        }


def read_config(folder: str | PathLike[str], methods: Sequence[str]) -> Config:
    """What a model's folder says; UsageError if it holds no model, WeightsError if a damaged one.

    methods: those that are known.
    """
    folder = Path(folder)
    from zeroguide.models.reading import read_json

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
        features, settings = dict(config["features"]), dict(config["settings"])
        backbone = Backbone(str(config["dino"]), features, width, str(config["recipe"]))
        digest = str(config["weights_sha256"])
        if min(n_classes, width) < 1:
            raise ValueError(f"{n_classes} classes, width {width}")
    except (KeyError, OverflowError, TypeError, ValueError) as e:
        raise unusable(folder, str(e)) from None
    if not (folder / WEIGHTS).is_file():
        raise WeightsError(f"{folder} has no {WEIGHTS}: copy the model again or fit a new one")
    return Config(str(config["method"]), n_classes, backbone, settings, digest)


def unusable(folder: Path, reason: str) -> WeightsError:
    """The error of a `config.json` with a missing or wrong entry."""
    return WeightsError(
        f"{folder / CONFIG} is incomplete ({reason}): copy the model again or fit a new one"
    )


def resolved(dino: str) -> str:
    """A checkpoint that is a folder as its full path; any other as it is."""
    path = Path(dino).expanduser()
    return str(path.resolve()) if path.is_dir() else dino


def _kind(dino: str, features: dict[str, Any]) -> dict[str, Any]:
    """What decides the meaning of a feature, by the recipe's keys."""
    keys = ("layer", "facet", "median_blur")
    default = {key: Features.model_fields[key].default for key in keys}
    kind = {f"features.{key}": features.get(key, default[key]) for key in keys}
    return {"models.dino": resolved(dino), **kind}
