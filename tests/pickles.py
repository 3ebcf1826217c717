"""Pickles that leave a trace when they are opened, under the names that libraries look for."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import torch

NAMES = (
    "pytorch_model.bin",
    "open_clip_pytorch_model.bin",
    "model.pt",
    "model.pth",
    "model.ckpt",
    "model.pkl",
    "text_memory.pt",
    "training_args.bin",
    "optimizer.pt",
    "tokenizer.pkl",
    "vocab.pkl",
    "rng_state.pth",
)


class _Trap:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return (open, (str(self.trace), "w"))


def plain(trace: Path) -> bytes:
    """A pickle that makes the file `trace` when it is opened."""
    return pickle.dumps(_Trap(trace), protocol=2)


def torch_file(trace: Path) -> bytes:
    """The same as torch.save writes it, a zip file."""
    out = io.BytesIO()
    torch.save({"weight": _Trap(trace)}, out)
    return out.getvalue()


def plant(folder: Path, trace: Path) -> None:
    """Both kinds in a folder, under every name that isn't taken."""
    kinds = (plain(trace), torch_file(trace))
    for i, name in enumerate(NAMES):
        if not (folder / name).exists():
            (folder / name).write_bytes(kinds[i % 2])
