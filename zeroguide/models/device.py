"""Where to compute."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from zeroguide.errors import UsageError

if TYPE_CHECKING:
    import torch


def choose_device(name: str) -> torch.device:
    """``"auto"`` (CUDA, else MPS, else CPU), ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"mps"``.

    Raises UsageError for an unknown name and for an explicit device that isn't there.
    """
    kind, colon, index = name.partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps") or (
        colon and not (kind == "cuda" and index.isdecimal())
    ):
        raise UsageError(f"unknown device {name!r}: choose auto, cpu, cuda, cuda:N or mps")

    import torch

    n_cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = torch.backends.mps.is_available()
    if kind == "auto":
        return torch.device("cuda" if n_cuda else "mps" if mps else "cpu")
    if (kind == "cuda" and not n_cuda) or (kind == "mps" and not mps):
        raise UsageError(f"device {name!r} isn't available here: choose auto or cpu")
    if colon and int(index) >= n_cuda:
        raise UsageError(f"device {name!r} isn't available here: the last is cuda:{n_cuda - 1}")
    return torch.device(name)


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Where networks run: nothing for "float32", matrix products in bfloat16 for "bfloat16"."""
    import torch

    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)
