"""`zeroguide models`: list, pull, check."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from zeroguide.cli import options
from zeroguide.system.console import Console

if TYPE_CHECKING:
    from zeroguide.models import ModelInfo

app = typer.Typer(help="List, download and check the models of the presets.")


@app.command("list")
def models_list() -> int:
    """List the presets, their models, and which of these are on this machine."""
    from zeroguide.models import list_models
    from zeroguide.recipe import list_recipes, load_recipe

    console = Console()
    models = list_models()
    for name in list_recipes():
        rows = [(m.role, m.checkpoint, _where(m)) for m in models if m.recipe == name]
        about = load_recipe(name).description
        console.table(["model", "checkpoint", "on this machine"], rows, name, about)
    return 0


def _where(model: ModelInfo) -> str:
    """A model's size if it is on this machine; if not, whether that matters."""
    if model.folder is not None:
        return f"{model.size / 1e6:.0f} MB"
    return "not here" if model.used else "not here, not needed"


@app.command("pull")
def models_pull(
    preset: options.Presets = None,
    set_: options.Set = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Download the models of presets and embed their lists; later runs need no network."""
    from zeroguide.models import pull
    from zeroguide.recipe import DEFAULT, load_recipe

    console = Console(quiet=quiet, verbose=verbose)
    recipes = [load_recipe(name, set_ or []) for name in preset or [DEFAULT]]
    for model in pull(recipes):
        row = (model.role, model.checkpoint, str(model.folder))
        console.table(["model", "checkpoint", "folder"], [row], model.recipe)
    from zeroguide.name.label_lists import embed_lists

    for recipe in recipes:
        n_phrases = embed_lists(recipe, offline=True)
        cells = ("phrases", recipe.decoder.vocabulary, f"{n_phrases} embedded")
        console.table(["model", "checkpoint", "folder"], [cells], recipe.name)
    return 0


@app.command("check")
def models_check(
    preset: options.Presets = None,
    set_: options.Set = None,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Compare checksums, load and run every model of presets, offline; says what is amiss."""
    from zeroguide.models import check
    from zeroguide.recipe import DEFAULT

    console = Console(quiet=quiet, verbose=verbose)
    for recipe in [
        options.read_recipe(name, set_ or [], None, device) for name in preset or [DEFAULT]
    ]:
        rows = []
        with console.progress():
            console.step(f"checking {recipe.name}")
            for m in check(recipe, device=device, offline=True):
                size = f"{m.parameters / 1e6:.1f} M"
                sums = f"{m.n_sums} right" if m.n_sums else "none known"
                time = f"{m.seconds:.1f} s"
                rows.append((m.role, m.checkpoint, m.architecture, size, sums, time))
        columns = ["model", "checkpoint", "architecture", "parameters", "checksums", "time"]
        console.table(columns, rows, recipe.name, recipe.description)
    return 0
