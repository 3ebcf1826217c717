"""Recipes: every knob of the flow with its default, in files that override each other.

`knobs` says which there are, `recipe` which of their values contradict each other. `loading` reads
presets, recipe files and overrides, `mistakes` says in one sentence what is wrong with one. The
presets are the TOML files in `presets/`; `class_files` reads a user's own classes.
"""

from zeroguide.recipe.class_files import read_classes
from zeroguide.recipe.knobs import Features, Merge, Models, Segmenter, method_with
from zeroguide.recipe.loading import ABOUT, introduce, list_recipes, load_recipe, recipe_keys
from zeroguide.recipe.recipe import DEFAULT, Recipe

__all__ = [
    "ABOUT", "DEFAULT", "Features", "Merge", "Models", "Recipe", "Segmenter", "introduce",
    "list_recipes", "load_recipe", "method_with", "read_classes", "recipe_keys",
]  # fmt: skip
