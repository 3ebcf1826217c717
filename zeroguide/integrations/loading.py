"""The labeler of a tool's model: whatever the tool calls its settings, they are a recipe's."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zeroguide.models import default_recipe, prepare
from zeroguide.recipe import load_recipe

if TYPE_CHECKING:
    from zeroguide.labeler import Labeler


def load_labeler(
    preset: str | None,
    overrides: Sequence[str] = (),
    *,
    labels: Sequence[str] | None = None,
    device: str = "auto",
    offline: bool = False,
) -> Labeler:
    """A `Labeler` by the arguments of `zeroguide.label`, which says what they mean and raise.

    labels: the only names that segments may get, for tools that know a list; None: free text.
    """
    with tempfile.TemporaryDirectory() as folder:  # a recipe takes its list from a file
        if labels is not None:
            file = Path(folder) / "labels.txt"
            file.write_text("\n".join(labels), encoding="utf-8")
            overrides = [
                *overrides,
                f"decoder.vocabulary={file.as_posix()}",
                "decoder.method=phrases",
                "decoder.certainty=0",  # no wider name in place of one that isn't sure
                "decoder.compose=false",
            ]
        if preset is None:
            recipe = default_recipe(overrides, offline=offline)
            if recipe.stands_in:
                warnings.warn(recipe.introduction, stacklevel=3)
        else:
            recipe = load_recipe(preset, overrides)
        prepare(recipe.checkpoints(), offline=offline)
        from zeroguide.labeler import Labeler  # imports torch: mistakes are answered before

        return Labeler(recipe, device=device, offline=offline)
