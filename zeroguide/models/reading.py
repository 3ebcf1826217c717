"""Reading a model's folder: configurations, weight files, and the libraries' loaders made safe."""

from __future__ import annotations

import json
import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeroguide.errors import WeightsError, ZeroguideError
from zeroguide.models.hub import Role, weights_file
from zeroguide.system import forks
from zeroguide.system.device_errors import device_errors

if TYPE_CHECKING:
    import torch

Triple = tuple[float, float, float]

# Heads and buffers that hub checkpoints hold and the bare networks don't use.
SURPLUS = (
    "pooler.",
    "classifier.",
    "head.",
    "lm_head.",
    ".attn.bias",
    ".attn.masked_bias",
    ".position_ids",
)

# transformers swaps torch's init functions and the default dtype while it loads, and the quiet
# context below changes logging: all global, so two models are never loaded at the same moment.
_LOADING = threading.Lock()


def read_json(path: Path) -> dict[str, Any]:
    """A configuration file; WeightsError if it isn't one."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise WeightsError(f"{path} is damaged ({e}): copy or download it again") from None
    if not isinstance(data, dict):
        raise WeightsError(f"{path} is damaged (not a JSON object): copy or download it again")
    return data


def model_type(folder: Path) -> str:
    """What transformers calls the folder's architecture."""
    path = folder / "config.json"
    kind = read_json(path).get("model_type")
    if not isinstance(kind, str):
        raise WeightsError(f"{path} has no model_type, so it isn't a transformers model: give one")
    return kind


def normalisation(path: Path, data: dict[str, Any], prefix: str = "") -> tuple[Triple, Triple]:
    """Mean and std of a preprocessing configuration, read from `path`."""
    try:
        mean, std = (tuple(float(x) for x in data[prefix + key]) for key in ("mean", "std"))
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ValueError(f"mean {mean}, std {std}")
    except (KeyError, TypeError, ValueError):
        raise WeightsError(
            f"{path} has no {prefix}mean and {prefix}std of 3 channels: copy or download it again"
        ) from None
    return mean, std


def safetensors_files(folder: Path, role: Role) -> list[Path]:
    """A folder's weight files, each opened once, so that a damaged one is named."""
    first = weights_file(folder, role)
    assert first is not None, "resolve() has checked the folder"
    paths = [first]
    if first.suffix == ".json":  # the index of several parts
        paths = sorted({folder / name for name in read_json(first)["weight_map"].values()})
    for path in paths:
        with opened(path) as file:
            file.keys()
    return paths


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A safetensors file, open for reading as torch tensors; WeightsError if it is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            yield file
    except (OSError, SafetensorError) as e:
        # In the hub's cache it is a link, and a download would link the same damaged file.
        culprit = path.resolve() if path.is_symlink() else "it"
        raise WeightsError(
            f"{path} is damaged ({e}): delete {culprit} and copy or download the weights again"
        ) from None


def read_ahead(folder: Path) -> None:
    """Ask the system to read a folder's weights into memory in the background."""
    if not hasattr(os, "posix_fadvise"):  # only an optimisation
        return
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)


def from_pretrained(
    auto: str, folder: Path, role: Role, dtype: torch.dtype | None, **options: Any
) -> Any:
    """A transformers model of a folder, every weight from its file. `auto` names the Auto class."""
    safetensors_files(folder, role)
    with loading(folder):
        import torch
        import transformers

        network, info = getattr(transformers, auto).from_pretrained(
            folder,
            dtype=dtype or torch.float32,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported like the others, below
            **options,
        )
    if wrong := sorted(str(entry[0]) for entry in info["mismatched_keys"]):
        raise WeightsError(
            f"{folder} has weights of another size than its config.json says ({_some(wrong)}): "
            "copy or download it again"
        )
    if missing := sorted(info["missing_keys"]):
        raise WeightsError(
            f"{folder} has no weights for {_some(missing)}: copy or download it again"
        )
    unexpected = (k for k in info["unexpected_keys"] if not _is_surplus(k))
    if surplus := sorted(unexpected):
        raise WeightsError(
            f"{folder} has weights that its config.json doesn't know ({_some(surplus)}): copy or "
            "download it again"
        )
    return network


def tokenizer_of(folder: Path, network: Any) -> Any:
    """A folder's fast tokenizer; WeightsError if it isn't the network's."""
    with loading(folder):
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    check_vocabulary(folder, tokenizer, network)
    return tokenizer


def check_vocabulary(folder: Path, tokenizer: Any, network: Any) -> None:
    """WeightsError if a tokenizer has more tokens than the network has embeddings."""
    known = network.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > known:
        raise WeightsError(
            f"{folder} has a tokenizer with {len(tokenizer)} tokens for a model that knows "
            f"{known}: copy the model's own tokenizer"
        )


def place(
    network: Any, device: torch.device | str, dtype: torch.dtype | None, checkpoint: str
) -> Any:
    """The network on its device, frozen and in eval mode; `dtype` None is float32.

    Raises ZeroguideError if it doesn't fit, DeviceError if the device has failed.
    """
    import torch

    try:
        with device_errors(device):
            network = network.to(device=device, dtype=dtype or torch.float32)
    except torch.OutOfMemoryError:
        raise ZeroguideError(
            f"{checkpoint} doesn't fit into the memory of {device}: use --device cpu or a smaller "
            "preset"
        ) from None
    return network.eval().requires_grad_(False)


def _is_surplus(key: str) -> bool:
    return key.startswith(SURPLUS) or key.endswith(SURPLUS)


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:2]) + (f" and {len(keys) - 2} more" if len(keys) > 2 else "")


@contextmanager
def loading(folder: Path) -> Iterator[None]:
    """One model at a time, nothing on stderr, every failure a WeightsError."""
    forks.check()
    with _LOADING:
        from transformers.utils import logging as transformers_logging

        bars, level = transformers_logging.is_progress_bar_enabled(), logging.root.manager.disable
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logging.disable(logging.WARNING)
            transformers_logging.disable_progress_bar()
            try:
                yield
            except (ZeroguideError, MemoryError):
                raise
            except ImportError as e:
                reason = " ".join(str(e).split())[:200].rstrip(".")
                raise WeightsError(
                    f"{folder} needs a Python package that isn't installed: {reason}"
                ) from e
            except Exception as e:  # the libraries raise whatever a file's content leads to
                reason = " ".join(str(e).split())[:200] or type(e).__name__
                raise WeightsError(
                    f"{folder} can't be loaded ({reason}): copy or download it again"
                ) from None
            finally:
                logging.disable(level)
                if bars:
                    transformers_logging.enable_progress_bar()


@contextmanager
def no_random_init() -> Iterator[None]:
    """Create modules without drawing random weights, for networks that get all of them loaded.

    For large models the drawing takes longer than everything else. Affects this thread only.
    """
    import torch
    from torch.nn import init
    from torch.overrides import TorchFunctionMode

    drawing: set[Any] = {torch.Tensor.normal_, torch.Tensor.uniform_, init.normal_, init.uniform_}
    drawing |= {init.trunc_normal_, init.xavier_uniform_, init.kaiming_uniform_}

    class NoRandomInit(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if func in drawing:
                return args[0] if args else kwargs["tensor"]
            return func(*args, **(kwargs or {}))

    with NoRandomInit():
        yield
