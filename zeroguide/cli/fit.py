"""`zeroguide fit`: a segmenter that knows a folder's classes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zeroguide.batch import EXIT_FAILED, EXIT_SOME_FAILED, OutputError
from zeroguide.cli.options import (
    Device,
    Offline,
    Overwrite,
    Preset,
    Quiet,
    Seed,
    Set,
    Verbose,
    read_recipe,
)
from zeroguide.console import Console
from zeroguide.errors import UsageError
from zeroguide.models import prepare

if TYPE_CHECKING:
    from zeroguide.image import Image

# Flags that only one method has.
OWN = {"over": "prototypes", "steps": "stego", "checkpoint": "stego", "masks": "maskdistill"}


def fit(
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="FOLDER...", help="Folders or image files.")
    ] = None,
    method: Annotated[
        str, typer.Option(metavar="NAME|list", help="How; `list` says what there is.")
    ] = "prototypes",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="MODEL", help="The model's folder.")
    ] = None,
    classes: Annotated[
        int, typer.Option(min=1, help="Number of classes, at most; 27 as in COCO-Stuff-27.")
    ] = 27,
    preset: Preset = "fast",
    over: Annotated[
        str | None, typer.Option(metavar="tokens|segments", help="prototypes: what is clustered.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="stego: steps of training; default: 500.")
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="stego: take a published head (.safetensors) instead."),
    ] = None,
    masks: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="maskdistill: write its pseudo-masks.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Use the first N images only.")] = None,
    set_: Set = None,
    device: Device = "auto",
    seed: Seed = None,
    offline: Offline = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Fit a segmenter to the images of folders: its classes are the same in every image.

    Writes MODEL/model.safetensors and MODEL/config.json, for `zeroguide segment --method fitted
    --model MODEL`; prints class, share of the tokens and number of images.
    """
    from zeroguide.fitted import METHODS, check

    console = Console(quiet=quiet, verbose=verbose)
    if method == "list":
        console.table(["method", "what it does"], list(METHODS.items()))
        return 0
    given = {"over": over, "steps": steps, "checkpoint": checkpoint, "masks": masks}
    params = {name: value for name, value in given.items() if value is not None}
    _check(method, params, list(METHODS))
    if not folders:
        raise UsageError("no FOLDER to fit to: name a folder of images")
    if output is None:
        raise UsageError("no place for the model: name its folder with -o MODEL")
    recipe = read_recipe(preset, set_ or [], seed, device)
    _check_output(output, masks, overwrite)
    from zeroguide.sources import find_images

    paths = find_images(folders)[:limit]
    check(method=method, n_classes=classes, n_images=len(paths), **params)
    console.note(f"preset {recipe.name}: {recipe.knows}")
    prepare(recipe.checkpoints(labels=False), offline=offline)

    from zeroguide.fitted import FeatureStore, count_classes  # imports torch from here on
    from zeroguide.fitted import fit as fit_model
    from zeroguide.fitted.store import add_images
    from zeroguide.models import choose_device

    place = choose_device(device)
    if device == "auto":
        console.note(f"device {place}, chosen by auto")
    n_read = n_failed = 0

    def on_image(path: Path, image: Image) -> None:
        nonlocal n_read
        n_read += 1
        for note in image.notes:
            console.note(f"{path}: {note}")
        console.step(f"{n_read} of {len(paths)}: {path}")

    def on_failure(path: Path, error: Exception) -> None:
        nonlocal n_failed
        n_failed += 1
        console.failure(error, about=path)

    with (
        console.progress(),
        FeatureStore(recipe.models.dino, recipe.features.model_dump()) as store,
    ):
        add_images(
            store,
            paths,
            recipe,
            device=device,
            offline=offline,
            on_image=on_image,
            on_failure=on_failure,
        )
        if len(store) == 0:
            console.error(f"none of {len(paths)} images could be used, so there is no model")
            return EXIT_FAILED
        if method == "stego":
            params["device"] = str(place)
        model = fit_model(
            store,
            method=method,
            n_classes=classes,
            seed=recipe.seed,
            progress=console.step,
            **params,
        )
        model.save(output)
        console.step("counting classes")
        tokens, images = count_classes(store, model, seed=recipe.seed)
        rows = [
            (str(i), f"{n / store.n_tokens:.4f}", str(m))
            for i, (n, m) in enumerate(zip(tokens, images, strict=True))
        ]
    if model.n_classes < classes and checkpoint is None:
        console.note(f"{model.n_classes} classes instead of {classes}: no more differ")
    console.table(["class", "share", "images"], rows)
    console.note(f"the model is in {output}")
    if n_failed:
        console.note(f"{n_failed} of {len(paths)} images failed")
        return EXIT_SOME_FAILED
    return 0


def _check(method: str, params: dict[str, Any], methods: list[str]) -> None:
    """UsageError for an unknown method, and for a flag that isn't the method's."""
    if method not in methods:
        from zeroguide.recipe import nearest

        raise UsageError(f"unknown --method {method!r}: {nearest(method, methods)}")
    for name in params:
        if OWN[name] != method:
            raise UsageError(
                f"--{name} is for --method {OWN[name]}, not {method}: leave it out or change the "
                "method"
            )
    if {"steps", "checkpoint"} <= params.keys():
        raise UsageError("--steps has no effect on a --checkpoint: leave one of them out")


def _check_output(output: Path, masks: Path | None, overwrite: bool) -> None:
    """Refuse places where something else is."""
    for path in (output, masks):
        if path is not None and path.exists() and not path.is_dir():
            raise OutputError(f"{path}: is a file; name another folder with -o or --masks")
    if masks is not None and masks.exists() and any(masks.iterdir()) and not overwrite:
        raise OutputError(
            f"{masks}: is not empty; write into it with --overwrite or name another folder with "
            "--masks"
        )
    from zeroguide.fitted.model import CONFIG, SCHEMA, WEIGHTS

    config = output / CONFIG
    if config.exists():
        import json

        try:
            schema = json.loads(config.read_text(encoding="utf-8"))["schema"]
        except (OSError, ValueError, KeyError, TypeError):
            schema = None
        if schema != SCHEMA:  # another program's folder: replacing its files would be a loss
            raise OutputError(
                f"{output}: holds another kind of model; choose another folder with -o"
            )
    existing = [path for path in (config, output / WEIGHTS) if path.exists()]
    if existing and not overwrite:
        raise OutputError(
            f"{existing[0]}: already exists; replace it with --overwrite or choose another folder "
            "with -o"
        )
