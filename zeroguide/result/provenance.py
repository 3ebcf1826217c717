"""What a result records of its making, and whether two were made alike."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from zeroguide.recipe import ABOUT, Recipe

LONGEST = 60  # characters of a value in a sentence
LIBRARIES = ("torch", "open_clip_torch", "transformers")


def provenance(recipe: Recipe) -> dict[str, Any]:
    """Versions, the recipe's name and seed, and all its settings that aren't defaults."""
    versions = {name: version(name) for name in ("zeroguide", *LIBRARIES)}
    settings = recipe.model_dump(mode="json", exclude={*ABOUT, "seed"}, exclude_defaults=True)
    if recipe.decoder.examples is not None:  # the pictures count, not where they lie
        from zeroguide.name.examples import digest

        examples = digest(Path(recipe.decoder.examples).expanduser())
        settings["decoder"]["examples"] = f"sha256:{examples[:16]}"
    made = {"name": recipe.name, "seed": recipe.seed, "versions": versions, "settings": settings}
    return made | ({"stands_in": recipe.stands_in} if recipe.stands_in else {})


def made_alike(one: object, other: object) -> bool:
    """Whether two results' `provenance` differs in nothing but versions of libraries."""
    return isinstance(one, dict) and isinstance(other, dict) and not differences(one, other)


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What a second `provenance` changes, one phrase each: ``"seed 0 -> 1"``."""
    before, after = _flat(old), _flat(new)
    return [
        f"{key} {_shown(before.get(key, 'the default'))} -> {_shown(after.get(key, 'the default'))}"
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def value_range(made: dict[str, Any]) -> tuple[float, float] | None:
    """The value range with which the images of results with this `provenance` were read."""
    settings = made.get("settings")
    found = dict(dict(settings or {}).get("image") or {}).get("value_range")
    return None if found is None else (float(found[0]), float(found[1]))


def _flat(found: dict[str, Any]) -> dict[str, Any]:
    """Dotted keys and values: ``{"merge.threshold": 0.8, "seed": 0}``."""
    flat: dict[str, Any] = {
        "recipe": found.get("name"),
        "seed": found.get("seed"),
        "zeroguide": dict(found.get("versions") or {}).get("zeroguide"),
    }
    for section, values in dict(found.get("settings") or {}).items():
        if isinstance(values, dict):
            flat |= {f"{section}.{name}": value for name, value in values.items()}
        else:
            flat[section] = values
    return flat
