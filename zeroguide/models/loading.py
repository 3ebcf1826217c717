"""Folder -> network: DINO, CLIP and language model, and all of a recipe's models.

No weight is ever left at its random initialisation: missing and surplus tensors are errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeroguide.errors import WeightsError
from zeroguide.models.hub import CLIP_WEIGHTS, ROLES, Role, resolve, weights_file
from zeroguide.models.reading import (
    Triple,
    from_pretrained,
    loading,
    model_type,
    no_random_init,
    normalisation,
    place,
    read_ahead,
    read_json,
    safetensors_files,
    tokenizer_of,
)
from zeroguide.models.text_memory import TextMemory, load_text_memory
from zeroguide.models.usable import text_tower
from zeroguide.models.vlm import Vlm, load_vlm

if TYPE_CHECKING:
    import torch

DINO_TYPES = ("vit", "dinov2", "dinov2_with_registers", "dinov3_vit")


@dataclass(frozen=True)
class Dino:
    """A self-supervised vision transformer.

    network: transformers' ViTModel, Dinov2Model, Dinov2WithRegistersModel or DINOv3ViTModel.
    n_prefix: tokens before the patch tokens: class token and registers.
    mean, std: the normalisation of RGB values in 0..1.
    """

    network: Any
    patch_size: int
    n_prefix: int
    mean: Triple
    std: Triple


@dataclass(frozen=True)
class Clip:
    """An open_clip model.

    tokenize: texts -> (n, context) int64. image_size: side of the square input in pixels.
    """

    network: Any
    tokenize: Callable[[list[str]], torch.Tensor]
    image_size: int
    mean: Triple
    std: Triple


@dataclass(frozen=True)
class LanguageModel:
    """A transformers causal language model and its fast tokenizer."""

    network: Any
    tokenizer: Any


@dataclass(frozen=True)
class LoadedModels:
    """A recipe's models; what wasn't asked for is None, and DINO where CLIP's tower is it."""

    dino: Dino | None
    clip: Clip
    language_model: LanguageModel | None = None
    text_memory: TextMemory | None = None
    vlm: Vlm | None = None


def load_dino(
    checkpoint: str | PathLike[str],
    *,
    device: torch.device | str,
    dtype: torch.dtype | None = None,
    offline: bool = False,
) -> Dino:
    """Load a DINO, DINOv2 (with or without registers) or DINOv3 ViT; `dtype` None is float32.

    The folder of a CLIP whose image tower is a DINOv2 is one, too: see `trunk`.

    Raises WeightsError if it can't be found, downloaded or read, or is another kind of model.
    """
    checkpoint = fspath(checkpoint)
    folder = resolve(checkpoint, "dino", offline=offline)
    if weights_file(folder, "dino") == folder / CLIP_WEIGHTS:
        return trunk_of(load_clip(folder, device=device, dtype=dtype, offline=True), checkpoint)
    kind = model_type(folder)
    if kind not in DINO_TYPES:
        raise WeightsError(
            f"{folder} holds a model of type {kind!r}, which isn't a DINO: choose one of the types "
            f"{', '.join(DINO_TYPES)}"
        )
    path = folder / "preprocessor_config.json"
    mean, std = normalisation(path, read_json(path), "image_")
    # Hub checkpoints of DINO come with and without a pooler, which features never use.
    options = {"add_pooling_layer": False} if kind == "vit" else {}
    network = from_pretrained("AutoModel", folder, "dino", dtype, **options)
    config = network.config
    registers = getattr(config, "num_register_tokens", 0)
    network = place(network, device, dtype, checkpoint)
    return Dino(network, int(config.patch_size), 1 + registers, mean, std)


def load_clip(
    checkpoint: str | PathLike[str],
    *,
    device: torch.device | str,
    dtype: torch.dtype | None = None,
    offline: bool = False,
) -> Clip:
    """Load an open_clip folder and its tokenizer; `dtype` None is float32.

    Raises WeightsError if it can't be found, downloaded or read.
    """
    checkpoint = fspath(checkpoint)
    folder = resolve(checkpoint, "clip", offline=offline)
    path = folder / "open_clip_config.json"
    config = read_json(path)
    weights = safetensors_files(folder, "clip")[0]
    name = f"local-dir:{folder}"
    with loading(folder):
        import open_clip

        _check_activation(checkpoint, path, config)
        options: dict[str, Any] = {}
        if text_tower(folder) is not None:  # its configuration is beside the weights
            text_config = config["model_cfg"]["text_cfg"] | {"hf_model_name": str(folder)}
            options["text_cfg"] = text_config | {"hf_model_pretrained": False}
        with no_random_init():
            network = open_clip.create_model(
                name, load_weights=False, pretrained_text=False, pretrained_image=False, **options
            )
        # The file's tensors, memory-mapped, become the parameters instead of being copied into
        # them, which takes forty times as long.
        plain_load = network.load_state_dict
        network.load_state_dict = lambda state, strict: plain_load(state, strict, assign=True)
        open_clip.load_checkpoint(network, str(weights))
        del network.load_state_dict
        has_own_tokenizer = "hf_tokenizer_name" in config["model_cfg"]["text_cfg"]
        local = {"local_files_only": True} if has_own_tokenizer else {}
        tokenize = open_clip.get_tokenizer(name, **local)
    size = network.visual.image_size
    height, width = (size, size) if isinstance(size, int) else size
    if height != width:
        raise WeightsError(f"{folder} takes images of {height}x{width}: choose a square CLIP")
    mean, std = normalisation(path, network.visual.preprocess_cfg)
    return Clip(place(network, device, dtype, checkpoint), tokenize, int(height), mean, std)


def trunk_of(clip: Clip, checkpoint: str) -> Dino:
    """The DINOv2 that a CLIP's image tower is; WeightsError if it is none. Nothing is copied."""
    from zeroguide.models.trunk import dinov2_of

    network = dinov2_of(clip.network.visual, checkpoint)
    return Dino(network, int(network.config.patch_size), 1, clip.mean, clip.std)


def _check_activation(checkpoint: str, path: Path, config: dict[str, Any]) -> None:
    """WeightsError for weights that want QuickGELU under a configuration without it.

    Under the usual GELU they would load without a complaint, and embeddings merely be worse.
    open_clip's list of checkpoints says which they are: OpenAI's, MetaCLIP's, some of DFN's.
    """
    import open_clip

    listed = (open_clip.get_pretrained_cfg(*each) for each in open_clip.list_pretrained())
    quick = {cfg["hf_hub"].strip("/") for cfg in listed if cfg.get("quick_gelu")} - {""}
    names = {hub_id.rpartition("/")[2] for hub_id in quick}  # of folders, too
    model = config.get("model_cfg")
    says_so = isinstance(model, dict) and model.get("quick_gelu") is True
    if Path(checkpoint).name in names and not says_so:
        raise WeightsError(
            f"{path} doesn't say that {checkpoint} uses QuickGELU, as these weights do, so they "
            'would compute wrong embeddings: write "quick_gelu": true into the model_cfg of a '
            "copy of the folder, and name that as models.clip"
        )


def load_language_model(
    checkpoint: str | PathLike[str],
    *,
    device: torch.device | str,
    dtype: torch.dtype | None = None,
    offline: bool = False,
) -> LanguageModel:
    """Load a causal language model and its tokenizer; `dtype` None is float32.

    Raises WeightsError if it can't be found, downloaded or read.
    """
    checkpoint = fspath(checkpoint)
    folder = resolve(checkpoint, "language_model", offline=offline)
    model_type(folder)
    network = from_pretrained("AutoModelForCausalLM", folder, "language_model", dtype)
    tokenizer = tokenizer_of(folder, network)
    return LanguageModel(place(network, device, dtype, checkpoint), tokenizer)


def prepare(checkpoints: Mapping[str, str], *, offline: bool = False) -> None:
    """Find models by role, download what isn't here, and have the disk read their weights.

    Imports nothing heavy, so that a missing model is said at once, and the reading goes on while
    Python is busy with imports. Raises WeightsError.
    """
    for role in ROLES:
        if role in checkpoints:
            read_ahead(resolve(checkpoints[role], role, offline=offline))


def load_all(
    checkpoints: Mapping[str, str],
    *,
    device: torch.device | str,
    dtype: torch.dtype | None = None,
    offline: bool = False,
) -> LoadedModels:
    """Load what `Recipe.checkpoints` names: DINO and CLIP always, the others if they are asked for.

    A checkpoint that is both is one network: its DINO is `trunk_of` that CLIP, for who needs it.

    One after another: mapping a file takes milliseconds, and imports can't share Python. Raises
    WeightsError like the loaders.
    """
    prepare(checkpoints, offline=offline)
    one_trunk = checkpoints["dino"] == checkpoints["clip"]
    loaders: dict[Role, Callable[..., Any]] = {
        "dino": load_dino,
        "clip": load_clip,
        "language_model": load_language_model,
        "text_memory": load_text_memory,
        "vlm": load_vlm,
    }
    loaded = {
        role: load(checkpoints[role], device=device, dtype=dtype, offline=offline)
        for role, load in loaders.items()
        if role in checkpoints and (role != "dino" or not one_trunk)
    }
    if one_trunk:
        from zeroguide.models.trunk import check_dinov2

        check_dinov2(loaded["clip"].network.visual, checkpoints["clip"])
        loaded["dino"] = None
    return LoadedModels(**loaded)
