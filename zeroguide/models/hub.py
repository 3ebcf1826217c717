"""Checkpoint -> folder on this machine: shipped with the package, the user's own, or from the hub.

Every source ends in a folder of the same format, which is all that the loaders see. Only
safetensors, JSON and text are ever downloaded; pickles are neither fetched nor read.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Literal

from zeroguide.errors import WeightsError
from zeroguide.models.checksums import compare
from zeroguide.models.hub_errors import pull_command, refusal, remedy
from zeroguide.models.usable import CONFIG, CONFIGS, check_usable

Role = Literal["dino", "clip", "language_model", "text_memory", "vlm", "sentence_encoder"]
# What recipes name; the sentence encoder belongs to an evaluation.
ROLES: tuple[Role, ...] = ("dino", "clip", "language_model", "text_memory", "vlm")
WEIGHTS = Path(__file__).parent / "weights"
SHIPPED = "shipped:"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")


@dataclass(frozen=True)
class Layout:
    """The files of one kind of folder."""

    required: tuple[str, ...]
    weights: tuple[tuple[str, ...], ...]
    """Alternatives, best first; of each, the first file must exist, the rest are patterns."""
    extra: tuple[str, ...] = ()


CLIP_CONFIG = "open_clip_config.json"
CLIP_WEIGHTS = "open_clip_model.safetensors"
_TRANSFORMERS = (("model.safetensors",), ("model.safetensors.index.json", "model-*.safetensors"))
_TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
)
_PROCESSOR = ("preprocessor_config.json", "processor_config.json")
# No videos are shown, but some processors don't come without their part for them.
_VIDEO = "video_preprocessor_config.json"
# A text memory is a language model's folder with this file beside it.
TEXT_MEMORY = "text_memory.safetensors"
LAYOUTS: dict[Role, Layout] = {
    # The last is a CLIP whose image tower is a DINOv2.
    "dino": Layout(
        ("config.json", "preprocessor_config.json"),
        (*_TRANSFORMERS, (CLIP_WEIGHTS,)),
        (CLIP_CONFIG, *_TOKENIZER),
    ),
    "clip": Layout(
        (CLIP_CONFIG,),
        ((CLIP_WEIGHTS,), ("open_clip_pytorch_model.safetensors",)),
        (*_TOKENIZER, CONFIG),
    ),
    "language_model": Layout(
        ("config.json",), _TRANSFORMERS, ("generation_config.json", *_TOKENIZER)
    ),
    "text_memory": Layout(
        ("config.json", TEXT_MEMORY), _TRANSFORMERS, ("generation_config.json", *_TOKENIZER)
    ),
    "vlm": Layout(
        ("config.json",),
        _TRANSFORMERS,
        ("generation_config.json", *_TOKENIZER, *_PROCESSOR, _VIDEO, "chat_template.*"),
    ),
    "sentence_encoder": Layout(
        ("config.json", "modules.json"),
        _TRANSFORMERS,
        (
            *_TOKENIZER,
            "vocab.txt",
            "sentence_bert_config.json",
            "config_sentence_transformers.json",
            "*/config.json",
            "*/model.safetensors",
        ),
    ),
}


def resolve(checkpoint: str | PathLike[str], role: Role, *, offline: bool = False) -> Path:
    """The folder with a checkpoint's files.

    checkpoint : ``shipped:tiny/dino`` (in the package), a folder, or a hub id. A hub model that is
        in the cache is taken from there without asking the network; else it is downloaded.

    Raises WeightsError, with the remedy, if there is no such folder or model, if the hub can't be
    reached (or `offline` forbids it) and if files are missing.
    """
    checkpoint = fspath(checkpoint)
    folder = _local(checkpoint) or _cached(checkpoint, role)
    if folder is None:
        if offline:
            raise WeightsError(
                f"the weights of {checkpoint} ({role}) aren't on this machine (offline): "
                f"{remedy(checkpoint)}"
            )
        folder = download(checkpoint, role)
    check_folder(folder, role)
    return folder


def find(checkpoint: str, role: Role) -> Path | None:
    """The folder of a checkpoint that is complete on this machine, or None. No network."""
    try:
        folder = _local(checkpoint) or _cached(checkpoint, role)
        if folder is not None:
            check_folder(folder, role)
        return folder
    except WeightsError:
        return None


def download(checkpoint: str, role: Role) -> Path:
    """Fetch a hub model's files, what the cache has up to date excepted; returns the folder.

    Files that don't have the hub's checksum, just fetched or long in the cache, are fetched once
    more. Progress shows on stderr if that is a terminal. Raises WeightsError if the download fails,
    and before the weights are fetched if they would be of no use.
    """
    try:
        with hub_output():
            if role in CONFIGS:
                check_usable(_fetch(checkpoint, list(CONFIGS[role])), role, checkpoint)
            for _ in range(2):
                folder = _snapshot(checkpoint, role, local_files_only=False)
                damaged = [path for path, sound in compare(folder).items() if not sound]
                if not damaged:
                    return folder
                for path in damaged:  # the hub's client takes what is in its cache for sound
                    path.resolve().unlink()
                    path.unlink()
    except WeightsError:
        raise
    except Exception as e:  # the network's, the disk's and the hub client's many ways to fail
        raise refusal(e, checkpoint, role) from None
    raise WeightsError(
        f"{damaged[0].name} of {checkpoint} ({role}) arrives damaged (its checksum isn't the "
        "hub's): try another network or mirror"
    )


def check_content(folder: Path, checkpoint: str) -> int:
    """The number of files whose checksum is known and right; see `zeroguide.models.checksums`.

    Raises WeightsError if one is damaged.
    """
    compared = compare(folder)
    for path, sound in compared.items():
        if not sound:
            mend = "copy it again"
            if checkpoint.startswith(SHIPPED):
                mend = "reinstall zeroguide"
            elif path.is_symlink():
                mend = f"delete {path.resolve()} and run `{pull_command(checkpoint)}`"
            raise WeightsError(
                f"{path} is damaged or missing (its checksum isn't the recorded one): {mend}"
            )
    return len(compared)


def check_folder(folder: Path, role: Role) -> None:
    """WeightsError unless a folder has the files of its kind; says what is missing."""
    layout = LAYOUTS[role]
    for name in layout.required:
        if not (folder / name).is_file():
            raise WeightsError(f"{folder} has no {name}, so it isn't a complete {role} folder")
    writes = role in ("language_model", "text_memory", "vlm")
    if writes and not _has_one(folder, ("tokenizer.json",), ("vocab.json", "merges.txt")):
        raise WeightsError(f"{folder} has no tokenizer.json: a language model needs its tokenizer")
    if role == "vlm" and not _has_one(folder, *((name,) for name in _PROCESSOR)):
        raise WeightsError(f"{folder} has no {_PROCESSOR[0]}, so it isn't a complete vlm folder")
    check_usable(folder, role)
    if weights_file(folder, role) is None:
        wanted = layout.weights[0][0]
        pickles = sorted(p.name for p in folder.iterdir() if p.suffix in _PICKLES)
        if pickles:
            raise WeightsError(
                f"{folder} has weights as pickle only ({pickles[0]}), which can run code and is "
                f"never loaded: convert them to {wanted}"
            )
        raise WeightsError(f"{folder} has no {wanted}: copy or download the weights again")


def _has_one(folder: Path, *alternatives: tuple[str, ...]) -> bool:
    return any(all((folder / name).is_file() for name in names) for names in alternatives)


def weights_file(folder: Path, role: Role) -> Path | None:
    """The folder's weights, or the index of their parts."""
    names = [alternative[0] for alternative in LAYOUTS[role].weights]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _local(checkpoint: str) -> Path | None:
    """The folder of a shipped checkpoint or of a path; None for a hub id."""
    if checkpoint.startswith(SHIPPED):
        folder = WEIGHTS / checkpoint.removeprefix(SHIPPED)
        if not folder.is_dir():
            raise WeightsError(f"{folder} is missing from this installation: reinstall zeroguide")
        return folder
    path = Path(checkpoint).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        raise WeightsError(f"{checkpoint} is a file: give the folder with its configuration")
    if not _HUB_ID.fullmatch(checkpoint):
        raise WeightsError(f"there is no folder {checkpoint}, and it isn't a hub id (owner/name)")
    return None


def _cached(checkpoint: str, role: Role) -> Path | None:
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = _snapshot(checkpoint, role, local_files_only=True)
        check_folder(folder, role)
    except (LocalEntryNotFoundError, WeightsError):
        return None  # never downloaded, or not all of it
    return folder


def _snapshot(checkpoint: str, role: Role, *, local_files_only: bool) -> Path:
    layout = LAYOUTS[role]
    for alternative in layout.weights:  # one at a time: some repositories hold the weights twice
        patterns = [*layout.required, *layout.extra, *alternative]
        folder = _fetch(checkpoint, patterns, local_files_only=local_files_only)
        if (folder / alternative[0]).is_file():
            break
    return folder


def _fetch(checkpoint: str, patterns: list[str], *, local_files_only: bool = False) -> Path:
    """The folder with a repository's files of these names."""
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(checkpoint, allow_patterns=patterns, local_files_only=local_files_only)
    )


@contextmanager
def hub_output() -> Iterator[None]:
    """The hub client's progress bars on a terminal only, and none of its warnings."""
    from huggingface_hub import utils

    level = utils.logging.get_verbosity()
    bars = not utils.are_progress_bars_disabled()
    utils.logging.set_verbosity_error()
    if not sys.stderr.isatty():
        utils.disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        utils.logging.set_verbosity(level)
        if bars:
            utils.enable_progress_bars()
