"""Pictures to try: rendered scenes for the models that know only these, else photographs."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zeroguide.recipe import Recipe

SCENES = Path(__file__).parent / "scenes"
PHOTOS = ("china.jpg", "flower.jpg")  # scikit-learn's


@dataclass(frozen=True)
class Example:
    """A picture that comes with the package, or with one that it needs."""

    name: str
    path: Path


def find_examples(recipe: Recipe) -> list[Example]:
    """What the recipe's models can name: scenes (the world of the tiny models) or photos."""
    if recipe.models.clip.startswith("shipped:tiny/"):
        return [Example(path.stem, path) for path in sorted(SCENES.glob("*.png"))]
    spec = find_spec("sklearn")  # found without importing it
    folders = (spec.submodule_search_locations or []) if spec else []
    paths = [Path(folder, "datasets", "images", name) for folder in folders for name in PHOTOS]
    return [Example(path.stem, path) for path in paths if path.is_file()]
