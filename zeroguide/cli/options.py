"""The flags that several commands share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zeroguide.errors import UsageError

if TYPE_CHECKING:
    from zeroguide.recipe import Recipe


class Legend(StrEnum):
    """Where captions go."""

    auto = "auto"
    always = "always"
    never = "never"


Images = Annotated[
    list[Path], typer.Argument(metavar="IMAGE", help="Images, or folders of images.")
]
Preset = Annotated[
    str, typer.Option(metavar="NAME|FILE.toml", help="Recipe; see `zeroguide models list`.")
]
DefaultPreset = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE.toml",
        help="Recipe; default: fast, or photo where the hub can't be reached.",
    ),
]
Presets = Annotated[
    list[str] | None,
    typer.Option("--preset", metavar="NAME|FILE.toml", help="Default: fast. Can be repeated."),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe: decoder.beam_size=8."),
]
ValueRange = Annotated[
    str | None,
    typer.Option(
        metavar="LOW,HIGH",
        help="16-bit and float images: what becomes black and white; default: each image's own.",
    ),
]
Device = Annotated[str, typer.Option(metavar="auto|cpu|cuda[:N]|mps", help="Where to compute.")]
Seed = Annotated[int | None, typer.Option(help="Seed of the run; default: the recipe's.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never use the network.")]
Output = Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Results folder.")]
PhotosAt = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help="Where the run's photos are now, if they have moved; by their keys."
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing results.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Only data and errors.")]
Verbose = Annotated[
    bool, typer.Option("-v", "--verbose", help="Tracebacks and the libraries' warnings.")
]


def read_recipe(
    preset: str | None,
    overrides: Sequence[str],
    seed: int | None,
    device: str,
    value_range: str | None = None,
    **default: Any,
) -> Recipe:
    """Check what can be checked without torch: recipe, overrides, a fitted model, the device's
    spelling.

    default: what `default_recipe` takes, where no preset is named.
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        raise UsageError(f"--device: unknown device {device!r}; use auto, cpu, cuda, cuda:N or mps")
    own = [] if seed is None else [f"seed={seed}"]
    if value_range is not None:
        own.append(f"image.value_range=[{_numbers(value_range)}]")
    if preset is None:
        from zeroguide.models.default import default_recipe

        recipe = default_recipe([*overrides, *own], **default)
    else:
        from zeroguide.recipe import load_recipe

        recipe = load_recipe(preset, [*overrides, *own])
    if recipe.segmenter.model is not None:
        from zeroguide.segment.fitted import check_model

        check_model(recipe.segmenter.model, recipe)
    return recipe


def _numbers(value_range: str) -> str:
    """`LOW,HIGH` as TOML writes two numbers; UsageError for anything else."""
    try:
        low, high = map(float, value_range.split(","))
    except ValueError:
        raise UsageError(
            f"--value-range {value_range!r}: write two numbers, for example 0,4095"
        ) from None
    return f"{low!r}, {high!r}"
