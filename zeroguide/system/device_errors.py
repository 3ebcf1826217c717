"""What torch raises about the device, not the image: told by its words, without importing torch."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from zeroguide.errors import DeviceError

P = ParamSpec("P")
R = TypeVar("R")

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "STATUS_ALLOC_FAILED")
# "CUDA error: an illegal memory access was encountered", "cuDNN error: CUDNN_STATUS_...",
# "Triton Error [CUDA]: ...", "CUDA driver error: ..."; HIP and MIOpen are AMD's.
_FAILURE = re.compile(
    r"(?:CUDA|HIP|XPU|cuDNN|MIOpen|Triton)(?: driver)? error(?: \[\w+\])?: *(.+)"
    r"|(device-side assert triggered|No CUDA GPUs are available)",
    re.IGNORECASE,
)
# A call that was refused, maybe for the size of what it was given: the next one may well work.
_REFUSED = ("invalid argument", "invalid configuration", "NOT_SUPPORTED", "BAD_PARAM", "_INVALID_")


class _OnDevice(Protocol):
    @property
    def device(self) -> object: ...


S = TypeVar("S", bound=_OnDevice)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, torch's CPU allocator, CUDA or MPS ran out of memory."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)


def failure(error: BaseException) -> str | None:
    """Why the device has failed, in its own words; None if it hasn't, or is out of memory.

    After most such errors CUDA answers every call of the process with the same one.
    """
    if not isinstance(error, RuntimeError) or is_out_of_memory(error):
        return None
    found = _FAILURE.search(str(error))
    reason = (found[1] or found[2]).strip().rstrip(".") if found else None
    return None if reason is None or any(words in reason for words in _REFUSED) else reason


@contextmanager
def device_errors(device: object) -> Iterator[None]:
    """Around what is computed on a device: its failures become DeviceErrors."""
    try:
        yield
    except RuntimeError as error:
        reason = failure(error)
        if reason is None:
            raise
        raise DeviceError(str(device), reason) from error


def on_device(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """A method that computes on its object's `device`: see `device_errors`."""

    @functools.wraps(method)
    def guarded(self: S, *args: P.args, **kwargs: P.kwargs) -> R:
        with device_errors(self.device):
            return method(self, *args, **kwargs)

    return guarded
