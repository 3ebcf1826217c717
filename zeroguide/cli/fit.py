"""`zeroguide fit`: a segmenter that knows a folder's classes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zeroguide.cli import options
from zeroguide.cli.running import note_device
from zeroguide.errors import OutputError, UsageError
from zeroguide.runs.batch import EXIT_FAILED, Job, run
from zeroguide.system.console import Console
from zeroguide.system.files import output_folder

if TYPE_CHECKING:
    from zeroguide.image import Image
    from zeroguide.recipe import Recipe
    from zeroguide.segment.fitted import FeatureStore

CLASSES = 27
# Flags that only one method has.
OWN = {"over": "prototypes", "steps": "stego", "checkpoint": "stego", "masks": "maskdistill"}


def fit(
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="FOLDER", help="Folders or image files.")
    ] = None,
    method: Annotated[
        str, typer.Option(metavar="NAME|list", help="How; `list` says what there is.")
    ] = "prototypes",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="MODEL", help="The model's folder.")
    ] = None,
    classes: Annotated[
        int | None,
        typer.Option(min=1, help=f"Number of classes, at most; default: {CLASSES}, as COCO-Stuff."),
    ] = None,
    preset: options.Preset = "fast",
    over: Annotated[
        str | None,
        typer.Option(
            metavar="tokens|segments", help="prototypes: what is clustered; default: tokens."
        ),
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
    set_: options.Set = None,
    value_range: options.ValueRange = None,
    device: options.Device = "auto",
    seed: options.Seed = None,
    offline: options.Offline = False,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Fit a segmenter to the images of folders: its classes are the same in every image.

    Writes MODEL/model.safetensors and MODEL/config.json, for `zeroguide segment --model MODEL`;
    prints class, share of the tokens and number of images.
    """
    from zeroguide.models import choose_device, load_dino, prepare
    from zeroguide.runs.sources import find_images
    from zeroguide.segment.fitted import METHODS, FeatureStore, check
    from zeroguide.segment.segmenters import arguments

    console = Console(quiet=quiet, verbose=verbose)
    if method == "list":
        console.table(["method", "what it does"], list(METHODS.items()))
        return 0
    given: dict[str, Any] = {"over": over, "steps": steps, "checkpoint": checkpoint, "masks": masks}
    params = {name: value for name, value in given.items() if value is not None}
    _check(method, params, classes, list(METHODS))
    if not folders:
        raise UsageError("no FOLDER to fit to: name a folder of images")
    if output is None:
        raise UsageError("no place for the model: name its folder with -o MODEL")
    recipe = options.read_recipe(preset, set_ or [], seed, device, value_range)
    if over == "segments":
        params["segmenter"] = arguments(recipe.segmenter)
    _check_output(output, masks, overwrite)
    paths = find_images(folders, output, console.note)
    if masks is not None:  # those of an earlier run are no pictures to learn from
        paths = [path for path in paths if masks.resolve() not in path.resolve().parents]
    jobs = [Job(path, {}) for path in paths[:limit]]
    n_classes = classes or CLASSES
    check(method=method, n_classes=n_classes, n_images=len(jobs), **params)
    store = FeatureStore(recipe.models.dino, recipe.features.model_dump(), recipe.name)

    def start() -> Callable[[Job, Image], None]:
        console.note(recipe.introduction)
        prepare(recipe.checkpoints(labels=False), offline=offline)
        place = choose_device(device)  # imports torch
        note_device(console, device, place)
        dino = load_dino(recipe.models.dino, device=place, offline=offline)
        if checkpoint is not None:
            _check_checkpoint(checkpoint, recipe, dino.network.config.hidden_size)
        if method == "stego":
            params["device"] = str(place)
        from zeroguide.segment.fitted.store import add_image

        def work(job: Job, image: Image) -> None:
            add_image(store, job.source, image, dino, recipe)
            if len(store) == 1:
                store.check_room(len(jobs))

        return work

    with ExitStack() as stack:
        stack.enter_context(store)
        stack.enter_context(output_folder(output))
        if masks is not None:
            stack.enter_context(output_folder(masks))
        stack.enter_context(console.progress())
        code = run(
            jobs, start, output=output, console=console, value_range=recipe.image.value_range
        )
        if code == EXIT_FAILED:
            return code
        _fit(store, method, n_classes, recipe, params, output, console)
    return code


def _fit(
    store: FeatureStore,
    method: str,
    n_classes: int,
    recipe: Recipe,
    params: dict[str, Any],
    output: Path,
    console: Console,
) -> None:
    """Fit, save and count; say what came out."""
    from zeroguide.segment.fitted import count_classes, fit

    model = fit(
        store,
        method=method,
        n_classes=n_classes,
        seed=recipe.seed,
        progress=console.step,
        **params,
    )
    model.save(output)
    console.step("counting classes")
    tokens, images = count_classes(store, model, seed=recipe.seed)
    if model.n_classes < n_classes and "checkpoint" not in params:
        console.note(f"{model.n_classes} classes instead of {n_classes}: no more differ")
    rows = [
        (str(i), f"{n / store.n_tokens:.4f}", str(m))
        for i, (n, m) in enumerate(zip(tokens, images, strict=True))
    ]
    console.table(["class", "share", "images"], rows)
    console.note(f"the model is in {output}")


def _check_checkpoint(path: Path, recipe: Recipe, width: int) -> None:
    """Read it once before all features, to find out whether it can be used with them."""
    from zeroguide.segment.fitted import Backbone
    from zeroguide.segment.fitted.stego_checkpoint import read_checkpoint

    read_checkpoint(path, Backbone(recipe.models.dino, recipe.features.model_dump(), width))


def _check(method: str, params: dict[str, Any], classes: int | None, methods: list[str]) -> None:
    """UsageError for an unknown method, and for a flag that has no effect."""
    if method not in methods:
        from zeroguide.errors import nearest

        raise UsageError(f"unknown --method {method!r}: {nearest(method, methods)}")
    for name in params:
        if OWN[name] != method:
            raise UsageError(
                f"--{name} is for --method {OWN[name]}, not {method}: leave it out or change the "
                "method"
            )
    for name, value in (("steps", params.get("steps")), ("classes", classes)):
        if value is not None and "checkpoint" in params:
            raise UsageError(f"--{name} has no effect on a --checkpoint: leave one of them out")


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
    from zeroguide.segment.fitted.config import CONFIG, SCHEMA, WEIGHTS

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
