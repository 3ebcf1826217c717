"""A language model's keys and values as plain tensors, whatever transformers calls its cache."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from zeroguide.system import forks

# Sliding windows are longer than any context here.
_PLAIN = (DynamicLayer, DynamicSlidingWindowLayer)

KeysAndValues = list[torch.Tensor]
"""Keys and values of every layer in turn, each (rows, heads, length, d)."""


def read(
    network: Any, tokens: torch.Tensor, past: KeysAndValues | None = None
) -> tuple[torch.Tensor, KeysAndValues | None]:
    """Read tokens after a past: logits after the last one, and the past with them; differentiable.

    Args:
        network: a transformers causal language model.
        tokens: (rows, n) int64, n at least 1.
        past: of what goes before; None: nothing does.

    Returns:
        (rows, vocabulary), of the network's dtype; keys and values, or None if the network keeps
        anything else.
    """
    forks.computing()
    name = _argument(type(network))
    options = {} if past is None else {name: _cache(past)}
    out = network(tokens, use_cache=True, **options)
    layers = getattr(getattr(out, name, None), "layers", [])
    plain = bool(layers) and all(type(layer) in _PLAIN for layer in layers)
    kept = [x for layer in layers for x in (layer.keys, layer.values)] if plain else None
    return out.logits[:, -1], kept


def _argument(model: type) -> str:
    # transformers 5.24 has renamed the argument and what comes back; 5.40 forgets the old name.
    parameters = inspect.signature(model.forward).parameters  # type: ignore[attr-defined]
    return "cache" if "cache" in parameters else "past_key_values"


def _cache(past: KeysAndValues) -> DynamicCache:
    cache = DynamicCache()
    for layer, (keys, values) in enumerate(zip(past[::2], past[1::2], strict=True)):
        cache.update(keys, values, layer)
    return cache
