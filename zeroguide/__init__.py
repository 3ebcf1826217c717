"""Segments an image and names every segment in free text.

    import zeroguide
    labeling = zeroguide.label("photo.jpg", preset="fast")

Importing this package imports nothing heavy; each name is loaded when it is first used.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zeroguide.image import ImageSource
    from zeroguide.labeler import Labeler
    from zeroguide.result import Labeling, Segment

__version__ = "0.1.0"
__all__ = ["Labeler", "Labeling", "Segment", "__version__", "label"]

_HOME = {"Labeler": "labeler", "Labeling": "result", "Segment": "result"}


def label(
    image: ImageSource,
    preset: str | None = None,
    *,
    overrides: Sequence[str] = (),
    device: str = "auto",
    offline: bool = False,
) -> Labeling:
    """Segment one image and name every segment.

    Args:
        image: a file, a Pillow image, or pixels of shape (H, W, 3), uint8, RGB.
        preset: a recipe's name (`zeroguide models list`) or a recipe file, `recipe.toml`. None:
            "fast", or "photo", which comes with the package, where the hub can't be reached; a
            warning and the result's recipe say so.
        overrides: changes to the recipe, for example ["decoder.beam_size=8"].
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        offline: never ask the hub.

    The result shows itself in a notebook; it holds the file's path, or the pixels if there is no
    file. Loads the models on every call; to label many images keep one `Labeler`.

    Raises ImageError for an image that can't be read, UsageError for a wrong preset, override or
    device, WeightsError for models that can't be loaded.
    """
    import warnings
    from dataclasses import replace

    from zeroguide.image import path_of, to_image
    from zeroguide.models import default_recipe, prepare
    from zeroguide.recipe import load_recipe

    if preset is None:
        recipe = default_recipe(overrides, offline=offline)
        if recipe.stands_in:
            warnings.warn(recipe.introduction, stacklevel=2)
    else:
        recipe = load_recipe(preset, overrides)
    opened = to_image(image, recipe.image.value_range)
    prepare(recipe.checkpoints(), offline=offline)
    from zeroguide.labeler import Labeler  # imports torch: mistakes are answered before

    labeling = Labeler(recipe, device=device, offline=offline).label(opened)
    file = path_of(image)
    return replace(labeling, picture=file) if file else labeling


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"zeroguide.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
