"""Errors a user can cause and mend: one sentence each, naming file, problem and remedy."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from importlib import import_module
from typing import Any


class ZeroguideError(Exception):
    """Base of all errors reported to the user without a traceback; exit code 1."""

    exit_code = 1


class UsageError(ZeroguideError):
    """A wrong flag, preset, key or value; exit code 2."""

    exit_code = 2


class ImageError(ZeroguideError):
    """An image file that can't be read or is outside the supported limits."""


class OutputError(ZeroguideError):
    """Results can't be written: unlike a bad image, this ends the run."""


class WeightsError(ZeroguideError):
    """A model's weights are missing, incomplete, damaged or can't be downloaded."""


class DeviceError(ZeroguideError):
    """A GPU has failed: whatever the image, this process can compute nothing more on it.

    device: such as ``"cuda:0"``. reason: the device's own words. images: what it was given, if that
    is known.
    """

    def __init__(self, device: str, reason: str, images: str = "") -> None:
        super().__init__(device, reason, images)  # so that it can be pickled
        self.device, self.reason, self.images = device, reason, images

    def __str__(self) -> str:
        about = f"{self.images}: " if self.images else ""
        return (
            f"{about}the device {self.device} has failed ({self.reason}) and computes nothing more "
            "in this process: start again, or use the device cpu"
        )


def require(module: str, extra: str, what: str) -> Any:
    """Import what only an extra of the package brings; UsageError with the remedy without it.

    what: what needs it, as the beginning of the sentence.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.split(".")[0]:  # it is there, but something of its own is missing
            raise
        raise UsageError(f"{what} need {error.name}: pip install 'zeroguide[{extra}]'") from None


def nearest(word: str, choices: Sequence[str]) -> str:
    """``"did you mean 'fast'? Choices: fast, base"``, or only the choices if none is near."""
    match = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    hint = f"did you mean {match[0]!r}? " if match else ""
    return f"{hint}Choices: {', '.join(choices)}"
