"""Sentence embeddings: what TT compares labels and class names by.

The paper's encoder is all-mpnet-base-v2 (sentence-transformers); the threshold of 0.5 was chosen
for it, and another encoder's numbers don't belong in one table with its own. Texts are encoded as
they are, without a template.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from zeroguide.errors import UsageError, WeightsError
from zeroguide.models.hub import LAYOUTS, SHIPPED, find, resolve

DEFAULT = "sentence-transformers/all-mpnet-base-v2"


class SentenceEncoder(Protocol):
    """Texts -> unit vectors; `name` goes into results."""

    name: str

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """(n, d) float32, rows of length 1."""


class SentenceTransformer:
    """A sentence-transformers model from a folder or the hub; every distinct text encoded once.

    Args:
        checkpoint: a hub id, or a folder in sentence-transformers' format.
        device: a torch device.
        offline: never ask the hub.

    Raises:
        UsageError: the package isn't installed.
        WeightsError: there is no such model, or it has weights as pickle only.
    """

    def __init__(
        self, checkpoint: str = DEFAULT, *, device: str = "cpu", offline: bool = False
    ) -> None:
        _check_package()
        folder = _resolve(checkpoint, offline)
        check_modules(folder)
        self._folder = folder
        self._device = device
        self.name = checkpoint
        self._known: dict[str, np.ndarray] = {}

    @cached_property
    def _model(self) -> Any:
        """Loaded when a first text is encoded: all that is checked before costs no time."""
        from zeroguide.models.reading import loading

        with loading(self._folder):
            import sentence_transformers

            return sentence_transformers.SentenceTransformer(
                str(self._folder),
                device=self._device,
                local_files_only=True,
                model_kwargs={"use_safetensors": True},
            )

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """(n, d) float32, rows of length 1."""
        if not texts:
            return self.encode([""])[:0]
        new = sorted({text for text in texts if text not in self._known})
        if new:
            rows = self._model.encode(
                new, normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False
            )
            self._known |= zip(new, np.asarray(rows, dtype=np.float32), strict=True)
        return np.stack([self._known[text] for text in texts])


def _check_package() -> None:
    if find_spec("sentence_transformers") is None:
        raise UsageError(
            "comparing texts with texts needs sentence-transformers: install zeroguide[eval], or "
            "choose other families with --protocol"
        )


def _resolve(checkpoint: str, offline: bool) -> Path:
    """The model's folder; WeightsError with the remedy for an encoder if it isn't here."""
    folder = Path(checkpoint).expanduser()
    wrong = None
    if folder.is_dir():
        needed = LAYOUTS["sentence_encoder"].required
        missing = [name for name in needed if not (folder / name).is_file()]
        if missing:
            wrong = f"{folder} has no {missing[0]}, so it isn't a whole sentence-transformers model"
    elif checkpoint.startswith((".", "/", "~")) and not folder.exists():
        wrong = f"there is no folder {checkpoint}"
    if wrong is not None:
        raise WeightsError(
            f"{wrong}: name the folder or the hub id of a sentence-transformers model with "
            "--sentence-encoder"
        )
    # What is wrong with one that is here is no download.
    local = folder.exists() or checkpoint.startswith(SHIPPED)
    if offline and not local and find(checkpoint, "sentence_encoder") is None:
        raise WeightsError(_not_here(checkpoint, "offline is set"))
    try:
        return resolve(checkpoint, "sentence_encoder", offline=offline)
    except WeightsError as error:
        if not _unreachable(error.__context__):
            raise
        raise WeightsError(_not_here(checkpoint, "the hub can't be reached")) from None


def _unreachable(cause: BaseException | None) -> bool:
    """Whether a download failed since there is no network."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    return isinstance(cause, LocalEntryNotFoundError)


def _not_here(checkpoint: str, why: str) -> str:
    return (
        f"the sentence encoder {checkpoint} is neither a folder nor downloaded, and {why}: run "
        f"`hf download {checkpoint}` once with network access, name another's folder with "
        "--sentence-encoder, or choose families that compare no texts with --protocol"
    )


def check_modules(folder: Path) -> None:
    """WeightsError for a module whose weights are a pickle: the library would open it."""
    path = folder / "modules.json"
    try:
        modules = [str(module["path"]) for module in json.loads(path.read_bytes())]
    except (OSError, ValueError, TypeError, KeyError):
        raise WeightsError(f"{path} is damaged: copy or download the model again") from None
    for module in modules:
        own = folder / module
        pickles = sorted(p.name for p in own.glob("*.bin")) if module else []
        if pickles and not any(own.glob("*.safetensors")):
            raise WeightsError(
                f"{own} has weights as pickle only ({pickles[0]}), which can run code and is never "
                "loaded: convert them to model.safetensors"
            )
