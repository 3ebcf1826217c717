"""The labeler of a tool's model: whatever the tool calls its settings, they are a recipe's."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from zeroguide.models import default_recipe, prepare
from zeroguide.recipe import load_recipe

if TYPE_CHECKING:
    from zeroguide.labeler import Labeler


def load_labeler(
    preset: str | None, overrides: Sequence[str], *, device: str, offline: bool
) -> Labeler:
    """A `Labeler` by the arguments of `zeroguide.label`, which says what they mean and raise."""
    if preset is None:
        recipe = default_recipe(overrides, offline=offline)
        if recipe.stands_in:
            warnings.warn(recipe.introduction, stacklevel=3)
    else:
        recipe = load_recipe(preset, overrides)
    prepare(recipe.checkpoints(), offline=offline)
    from zeroguide.labeler import Labeler  # imports torch: mistakes are answered before

    return Labeler(recipe, device=device, offline=offline)
