"""What a block of a vision transformer computes inside, by hooks that only listen.

Modules are shared by threads, so a hook is put there once, stays, and does nothing but where the
thread that runs the module wants its output.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Set
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import WeakSet

import torch

# Each facet's projection inside a block; transformers has renamed them once.
FACETS = {
    "key": ("k_proj", "key"),
    "query": ("q_proj", "query"),
    "value": ("v_proj", "value"),
    "token": (),
}

_wanted: ContextVar[dict[Any, Any] | None] = ContextVar("wanted", default=None)
_installing = threading.Lock()
_listened: WeakSet[torch.nn.Module] = WeakSet()
_entered: WeakSet[torch.nn.Module] = WeakSet()


@contextmanager
def captured_outputs(network: Any, layer: int, facets: Set[str]) -> Iterator[dict[str, Any]]:
    """Collects the outputs of the facets' modules of a block while this thread runs the model.

    "rope" are the cosines and sines by which DINOv3's attention rotates queries and keys.
    """
    block = _blocks(network)[layer]
    modules = {facet: _module(block, facet) for facet in facets}
    with _installing:
        for module in modules.values():
            if module not in _listened:
                module.register_forward_hook(_keep_output)
                _listened.add(module)
        if block not in _entered:
            block.register_forward_pre_hook(_keep_rope, with_kwargs=True)
            _entered.add(block)
    wanted: dict[Any, Any] = dict.fromkeys([*modules.values(), (block, "rope")])
    captured: dict[str, Any] = {}
    before = _wanted.set(wanted)
    try:
        yield captured
        captured["rope"] = wanted.pop((block, "rope"))
        captured |= {facet: wanted[module] for facet, module in modules.items()}
    finally:
        _wanted.reset(before)


def _keep_output(module: torch.nn.Module, _inputs: object, output: torch.Tensor | tuple) -> None:
    wanted = _wanted.get()
    if wanted is not None and module in wanted:
        wanted[module] = output[0] if isinstance(output, tuple) else output


def _keep_rope(block: torch.nn.Module, _inputs: object, kwargs: dict[str, Any]) -> None:
    wanted = _wanted.get()
    if wanted is not None and (block, "rope") in wanted:
        wanted[block, "rope"] = kwargs.get("position_embeddings")


def _module(block: torch.nn.Module, facet: str) -> torch.nn.Module:
    """The module whose output is that facet of a block's."""
    names = FACETS[facet]
    if not names:
        return block
    return next(m for name, m in block.named_modules() if name.split(".")[-1] in names)


def _blocks(network: Any) -> torch.nn.ModuleList:
    """The transformer blocks: the list as long as the config says, whatever it is called."""
    n_layers = network.config.num_hidden_layers
    lists = (m for m in network.modules() if isinstance(m, torch.nn.ModuleList))
    return next(m for m in lists if len(m) == n_layers)
