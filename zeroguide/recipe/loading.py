"""Recipes from TOML files, changed by overrides: presets in ``presets/``, or a user's own file."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from zeroguide.errors import UsageError, nearest
from zeroguide.recipe.mistakes import explain, unknown_key
from zeroguide.recipe.recipe import DEFAULT, Recipe

FOLDER = Path(__file__).parent / "presets"
ABOUT = ("name", "description", "knows", "stands_in")
"""Keys of a recipe that say something of it and change nothing."""


def list_recipes() -> list[str]:
    """Names of the presets, the default one first."""
    names = sorted(path.stem for path in FOLDER.glob("*.toml"))
    return sorted(names, key=lambda name: name != DEFAULT)


def introduce(made: Mapping[str, Any]) -> str:
    """`Recipe.introduction` of the preset that made a result; "" if none did.

    made: what a result or a run says of its recipe (`provenance`).
    """
    name = made.get("name")
    if name not in list_recipes():
        return ""
    stands_in = str(made.get("stands_in", ""))
    return load_recipe(str(name)).model_copy(update={"stands_in": stands_in}).introduction


def load_recipe(name_or_path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Recipe:
    """A preset by name or a recipe file (.toml), with overrides like ``"decoder.beam_size=8"``.

    An override's value is TOML (``8``, ``0.5``, ``true``, ``[1, 2]``); quotes around text may be
    left out, and ``none`` stands for no value. Raises UsageError, one sentence that suggests the
    nearest known name, for an unknown preset, key or choice and for a value of the wrong kind.
    """
    path = _find(os.fspath(name_or_path))
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise UsageError(f"recipe {path} can't be read: {e}") from None
    if "models" not in data:
        raise UsageError(f"recipe {path} has no [models] with dino, clip and language_model")
    data.setdefault("name", path.stem)
    data.pop("stands_in", None)  # of a result; a recipe that is named stands in for none
    for override in overrides:
        _apply(data, override)
    try:
        return Recipe.model_validate(data)
    except ValidationError as e:
        raise UsageError(explain(e, _fields(), recipe_keys())) from None


def recipe_keys() -> list[str]:
    """All keys an override can change, dotted: ``"seed"``, ``"models.dino"``, ..."""
    return [key for key in _fields() if key not in ABOUT]


def _find(name: str) -> Path:
    preset = FOLDER / f"{name}.toml"
    if name in list_recipes():
        return preset
    if name.endswith(".toml") or Path(name).name != name:
        path = Path(name).expanduser()
        if path.is_file():
            return path
        presets = ", ".join(list_recipes())
        raise UsageError(f"there is no recipe file {name}: give a file or a preset ({presets})")
    raise UsageError(f"unknown preset {name!r}: {nearest(name, list_recipes())}")


def _fields() -> dict[str, Any]:
    """Dotted key -> pydantic's FieldInfo."""

    def walk(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, Any]]:
        for name, field in model.model_fields.items():
            kind = field.annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from walk(kind, f"{prefix}{name}.")
            else:
                yield prefix + name, field

    return dict(walk(Recipe, ""))


def _apply(data: dict[str, Any], override: str) -> None:
    """Set one key of the recipe's data to an override's value."""
    key, equals, raw = override.partition("=")
    key, raw = key.strip(), raw.strip()
    if not equals:
        raise UsageError(f"override {override!r} must look like decoder.beam_size=8")
    if key not in recipe_keys():
        raise UsageError(unknown_key(key, recipe_keys()))
    section, _, name = key.rpartition(".")
    target = data.setdefault(section, {}) if section else data
    if not isinstance(target, dict):
        raise UsageError(f"the recipe's {section} must be a table, [{section}]")
    target[name] = _value(raw, _fields()[key].annotation)


def _value(raw: str, kind: Any) -> Any:
    if raw.lower() == "none" and type(None) in get_args(kind):
        return None
    try:
        parsed = tomllib.loads(f"value = {raw}")
    except tomllib.TOMLDecodeError:
        return raw  # text without quotes
    value = parsed["value"]
    return raw if len(parsed) > 1 or (kind is str and not isinstance(value, str)) else value
