"""The presets' models: which there are, fetching them, trying them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeroguide.errors import WeightsError
from zeroguide.models import loading
from zeroguide.models.device import choose_device
from zeroguide.models.hub import ROLES, SHIPPED, Role, check_content, download, find, resolve
from zeroguide.recipe import Recipe, list_recipes, load_recipe

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ModelInfo:
    """One checkpoint of a recipe; folder is None and size 0 while it isn't on this machine."""

    recipe: str
    role: Role
    checkpoint: str
    used: bool
    """Whether the recipe's own decoder needs it; if not, it is there to change the decoder."""
    folder: Path | None
    size: int
    """Bytes on disk."""


@dataclass(frozen=True)
class CheckedModel:
    """A model that has been compared with its checksums, loaded and run."""

    role: Role
    checkpoint: str
    architecture: str
    parameters: int
    output: tuple[int, ...]
    """Shape of the forward pass's result."""
    seconds: float
    n_sums: int
    """Files whose checksum is known and right; 0 if none is known."""


def list_models() -> list[ModelInfo]:
    """The checkpoints of all presets and whether they are on this machine. No network."""
    return [
        _info(recipe, role, checkpoint, find(checkpoint, role))
        for recipe in map(load_recipe, list_recipes())
        for role, checkpoint in _named(recipe)
    ]


def pull(recipes: Iterable[Recipe]) -> Iterator[ModelInfo]:
    """Download what recipes use and bring what is cached up to date, one by one.

    A model that is named for other decoders than the recipe's is left where it is.

    Raises WeightsError at the first that can't be had; run again to go on.
    """
    done = set()
    for recipe in recipes:
        for role, checkpoint in _used(recipe):
            if (role, checkpoint) in done:
                continue
            done.add((role, checkpoint))
            if not checkpoint.startswith(SHIPPED) and not Path(checkpoint).expanduser().is_dir():
                download(checkpoint, role)
            yield _info(recipe, role, checkpoint, resolve(checkpoint, role, offline=True))


def check(recipe: Recipe, *, device: str = "auto", offline: bool = False) -> Iterator[CheckedModel]:
    """Compare each of a recipe's models with its checksums, load it and run it on a made-up input.

    Those that it uses, and of those that it names for other decoders what is on this machine.

    Raises WeightsError for a model that can't be had or loaded, is damaged or computes anything but
    numbers; UsageError for the device.
    """
    used = _used(recipe)
    models = [(r, c) for r, c in _named(recipe) if (r, c) in used or find(c, r) is not None]
    n_sums = {  # say what is missing or damaged before any import
        (role, checkpoint): check_content(resolve(checkpoint, role, offline=offline), checkpoint)
        for role, checkpoint in models
    }
    target = choose_device(device)
    for role, checkpoint in models:
        start = time.perf_counter()
        network, output = _run(role, checkpoint, recipe.decoder.prompt or "a", target)
        if not bool(output.isfinite().all()):
            raise WeightsError(
                f"{checkpoint} ({role}) computes values that aren't numbers, so its weights are "
                "damaged: copy or download them again"
            )
        yield CheckedModel(
            role,
            checkpoint,
            type(network).__name__,
            sum(p.numel() for p in network.parameters()),
            tuple(output.shape),
            time.perf_counter() - start,
            n_sums[role, checkpoint],
        )


def _run(role: Role, checkpoint: str, text: str, device: torch.device) -> tuple[Any, torch.Tensor]:
    """Load a model that is on this machine, and run it once: the network and its output."""
    import numpy as np
    import torch

    with torch.inference_mode():
        if role == "dino":
            network: Any = loading.load_dino(checkpoint, device=device, offline=True).network
            size = network.config.image_size
            return network, network(torch.zeros(1, 3, size, size, device=device))[0]
        if role == "clip":
            clip = loading.load_clip(checkpoint, device=device, offline=True)
            network, size = clip.network, clip.image_size
            return network, network.encode_image(torch.zeros(1, 3, size, size, device=device))
        if role == "language_model":
            model = loading.load_language_model(checkpoint, device=device, offline=True)
            network, ids = model.network, model.tokenizer(text)["input_ids"]
            return network, network(torch.tensor([ids], device=device)).logits
        if role == "text_memory":
            memory = loading.load_text_memory(checkpoint, device=device, offline=True)
            prefix = memory.prefix(memory.memory[:1])  # (1, 1, d)
            return memory.network, memory.network(inputs_embeds=prefix).logits
        vlm = loading.load_vlm(checkpoint, device=device, offline=True)
        grey = np.full((64, 64, 3), 128, np.uint8)
        return vlm.network, vlm.network(**vlm.encode([grey], "What is it?", text)).logits


def _used(recipe: Recipe) -> list[tuple[Role, str]]:
    """The checkpoints that a recipe's flow loads."""
    used = recipe.checkpoints()
    return [(role, used[role]) for role in ROLES if role in used]


def _named(recipe: Recipe) -> list[tuple[Role, str]]:
    """A recipe's checkpoints, whether its decoder uses them or not."""
    named = recipe.models.model_dump(exclude_none=True)
    return [(role, named[role]) for role in ROLES if role in named]


def _info(recipe: Recipe, role: Role, checkpoint: str, folder: Path | None) -> ModelInfo:
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) if folder else 0
    return ModelInfo(recipe.name, role, checkpoint, role in recipe.checkpoints(), folder, size)
