"""A device of its own memory that needs no hardware: what a CPU tensor is mixed with raises.

Importing it registers the device "far" with torch, for the whole process. Its tensors hold a CPU
tensor that nobody else sees; every operation is checked as CUDA would, and done on the CPU. Such
tensors can't be turned into numpy arrays, and what isn't moved explicitly isn't moved at all.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch.utils import _pytree as pytree
from torch.utils import backend_registration

_aten = torch.ops.aten
# Made for moving.
_MOVES = {_aten._to_copy.default, _aten.copy_.default}
# CUDA takes indices from the CPU.
_INDEXING = {_aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default}


class _Module(backend_registration._DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


backend_registration._setup_privateuseone_for_python_backend("far", _Module())
DEVICE = torch.device("far", 0)


class Far(torch.Tensor):
    """A tensor on the device; raw: what it holds."""

    raw: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, raw: torch.Tensor) -> Far:
        made = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            raw.shape,
            strides=raw.stride(),
            storage_offset=raw.storage_offset(),
            dtype=raw.dtype,
            device=DEVICE,
        )
        made.raw = raw
        return made

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"Far({self.raw})"

    def tolist(self) -> Any:  # the copy is part of it, on every device
        return self.raw.tolist()

    def numpy(self, *, force: bool = False) -> Any:
        if not force:
            raise TypeError("can't convert a far:0 tensor to numpy: use Tensor.cpu() first")
        return self.raw.detach().numpy()

    @classmethod
    def __torch_dispatch__(cls, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(op, *args, **(kwargs or {}))


def _run(op: Any, *args: Any, **kwargs: Any) -> Any:
    """An operation with tensors of the device, or that is to make one.

    Always outside of inference mode, in which torch takes no tensors of such a kind for views.
    """
    with torch.inference_mode(False):
        return _checked(op, args, kwargs)


def _checked(op: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    leaves = [x for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
    is_far = [isinstance(x, Far) for x in leaves]
    if op is _aten._fused_sdp_choice.default:
        return 0  # in plain operations: those that are fused are other devices' own
    if op is _aten._has_compatible_shallow_copy_type.default:
        return False
    if op not in _MOVES and any(is_far):
        near = [x for x, far in zip(leaves, is_far, strict=True) if not far and x.ndim]
        if op in _INDEXING:
            near = [x for x in near if all(x is not index for index in args[1])]
        if near:
            raise RuntimeError(
                f"{op}: expected all tensors to be on the same device, but found far:0 and cpu"
            )
    places = [x for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, torch.device)]
    stays_near = any(place.type == "cpu" for place in places)
    outer = {id(x.raw): x for x in leaves if isinstance(x, Far)}

    def wrapped(x: Any) -> Any:
        if not isinstance(x, torch.Tensor):
            return x
        far = outer[id(x)] if id(x) in outer else Far(x)
        assert far.shape == x.shape, f"{op} changes a tensor's shape, which nothing here can follow"
        return far

    def bare(x: Any) -> Any:
        if isinstance(x, torch.device):
            return torch.device("cpu")
        return x.raw if isinstance(x, Far) else x

    result = op(*pytree.tree_map(bare, args), **pytree.tree_map(bare, kwargs))
    # What is copied into a CPU tensor is one.
    if stays_near or (op is _aten.copy_.default and not isinstance(args[0], Far)):
        return result
    return pytree.tree_map(wrapped, result)


# What makes tensors of the device is sent here by the device that is asked for; some operations
# would otherwise make an empty tensor first and enlarge it.
_LIBRARIES = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
_LIBRARIES[0].fallback(_run, "PrivateUse1")
for _name in (
    "copy_.default", "arange.default", "arange.start", "arange.start_step", "eye.default", "eye.m",
    "linspace.default", "randperm.default", "randperm.generator",
):  # fmt: skip
    _op = getattr(getattr(_aten, _name.split(".")[0]), _name.split(".")[1])
    _LIBRARIES[1].impl(_name.removesuffix(".default"), functools.partial(_run, _op), "PrivateUse1")
