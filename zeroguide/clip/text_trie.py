"""Causal text towers on many texts at once: every distinct beginning is computed once.

In a causal transformer a token's hidden state depends only on the tokens up to it. A batch of
texts is therefore a trie: a node is a token with all that goes before it, and "a photo of a dog"
and "a photo of a cat" share all nodes but the last ones. Nodes lie in depth-first order, so that a
node and all that continue it are a range of numbers: node b attends to node a exactly if
``a <= b < stops[a]``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

# Nodes computed at a time: enough for matrix products at full speed, little in memory.
_CHUNK = 2048
# Neighbouring nodes attend together. What they see lies in the block itself or on the path to its
# first node, so that a small block wastes little on what its nodes don't see.
_BLOCK = 64


@dataclass(frozen=True)
class Trie:
    """The distinct beginnings of some texts, in depth-first order.

    ids: (N,) each node's token. depths: (N,) its position in the text, from 0.
    stops: (N,) the number after its last descendant's, or after its own.
    ends: (n,) the node where each text ends.
    parents: (N,) the node before, -1 at the first token.
    """

    ids: np.ndarray
    depths: np.ndarray
    stops: np.ndarray
    ends: np.ndarray
    parents: np.ndarray


def encode_causal(tower: Any, tokens: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
    """What a causal tower reads out at the texts' ends, projected, not normalised: (n, e).

    Differentiable. Equal to the tower's own output up to rounding.

    Args:
        tower: an open_clip ``TextTransformer``, or a ``CLIP``, which has the same members.
        tokens: (n, context) int64, n at least 1; what follows the end doesn't matter.
        ends: (n,) int64, where each text ends, that token included.
    """
    rows, lengths = tokens.cpu().numpy(), ends.cpu().numpy() + 1
    outputs, places = [], []
    for place, trie in tries(rows[:, : lengths.max()], lengths):
        outputs.append(_run(tower, trie, tokens.device))
        places.append(place)
    inverse = np.argsort(np.concatenate(places))
    return torch.cat(outputs)[torch.from_numpy(inverse).to(tokens.device)]


def tries(tokens: np.ndarray, lengths: np.ndarray) -> Iterator[tuple[np.ndarray, Trie]]:
    """Texts in lexicographic order, in tries of about `_CHUNK` nodes.

    Args:
        tokens: (n, T) integers, n at least 1.
        lengths: (n,) how many of each row count, at least 1.

    Yields:
        Which texts (m,), and their trie, whose `ends` are in that order.
    """
    inside = np.arange(tokens.shape[1]) < lengths[:, None]  # (n, T)
    tokens = np.where(inside, tokens, -1)
    order = np.lexsort(tokens.T[::-1])
    tokens, inside = tokens[order], inside[order]
    grown = np.cumsum(_new(tokens, inside).sum(1))  # (n,) nodes up to each text
    cuts = np.flatnonzero(np.diff((grown - 1) // _CHUNK)) + 1
    parts = zip(*(np.split(x, cuts) for x in (order, tokens, inside)), strict=True)
    for part, part_tokens, part_inside in parts:
        yield part, _build(part_tokens, part_inside)


def _new(tokens: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Which tokens of sorted texts are nodes that the text before doesn't have: (n, T) bool."""
    differs = np.ones(tokens.shape, dtype=bool)
    differs[1:] = tokens[1:] != tokens[:-1]
    return np.logical_or.accumulate(differs, axis=1) & inside


def _build(tokens: np.ndarray, inside: np.ndarray) -> Trie:
    new = _new(tokens, inside)
    texts, depths = np.nonzero(new)  # (N,) each, in depth-first order
    numbers = np.where(new, np.cumsum(new).reshape(new.shape) - 1, 0)
    path = np.maximum.accumulate(numbers, axis=0)  # (n, T) each text's nodes
    starts = np.append(np.searchsorted(texts, np.arange(len(tokens))), len(texts))
    # The texts through a node follow one another; its descendants end where the next text begins.
    through = np.bincount(path[inside], minlength=len(texts))
    return Trie(
        ids=tokens[new],
        depths=depths,
        stops=starts[texts + through],
        ends=path[np.arange(len(path)), inside.sum(1) - 1],
        parents=np.where(depths > 0, path[texts, np.maximum(depths - 1, 0)], -1),
    )


@dataclass(frozen=True)
class _Sight:
    """Which nodes each block of nodes attends to.

    path: (blocks, P) the nodes before a block's first one in its texts.
    mask: (blocks, 1, block, P + block) bool, what each node sees of the path and the block.
    """

    path: torch.Tensor
    mask: torch.Tensor


def _run(tower: Any, trie: Trie, device: torch.device) -> torch.Tensor:
    """The tower on one trie: (n, e), in the order of the trie's ends."""
    sight = _sight(trie, device)
    ids, depths, ends = (torch.from_numpy(x).to(device) for x in (trie.ids, trie.depths, trie.ends))
    dtype = tower.transformer.get_cast_dtype()
    x = tower.token_embedding(ids).to(dtype) + tower.positional_embedding[depths].to(dtype)
    blocks = tower.transformer.resblocks
    for block in blocks:
        attended = _attend(block.attn, block.ln_1(x), sight)  # (N, d)
        if block is blocks[-1]:  # nothing is read of the others any more
            x, attended = x[ends], attended[ends]
        x = x + block.ls_1(block.attn.out_proj(attended))
        x = x + block.ls_2(block.mlp(block.ln_2(x)))
    return _project(tower, tower.ln_final(x))


def _project(tower: Any, x: torch.Tensor) -> torch.Tensor:
    projection = tower.text_projection
    if projection is None:
        return x
    return projection(x) if isinstance(projection, nn.Linear) else x @ projection


def _attend(attention: Any, x: torch.Tensor, sight: _Sight) -> torch.Tensor:
    """Multi-head attention of nodes to themselves and what is before them: (N, d) -> (N, d)."""
    n_blocks, _, block, _ = sight.mask.shape
    nodes, width = x.shape
    # The last block is filled up with nodes that see only themselves.
    x = F.pad(x, (0, 0, 0, n_blocks * block - nodes))
    q, kv = F.linear(x, attention.in_proj_weight, attention.in_proj_bias).split(
        [width, 2 * width], dim=1
    )
    q = q.reshape(n_blocks, block, attention.num_heads, -1).transpose(1, 2)  # (blocks, h, B, dh)
    kv = torch.cat([kv[sight.path], kv.reshape(n_blocks, block, -1)], dim=1)  # (blocks, P + B, 2d)
    k, v = kv.unflatten(2, (2, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=sight.mask)
    return out.transpose(1, 2).reshape(-1, width)[:nodes]


def _sight(trie: Trie, device: torch.device) -> _Sight:
    nodes = len(trie.ids)
    block = min(_BLOCK, nodes)
    n_blocks = -(-nodes // block)
    queries = np.arange(n_blocks * block).reshape(n_blocks, block)
    stops = np.append(trie.stops, queries.flat[nodes:] + 1)
    path = np.zeros((n_blocks, int(trie.depths[queries[:, 0]].max())), dtype=np.int64)
    on_path = np.zeros(path.shape, dtype=bool)
    for i, node in enumerate(queries[:, 0]):
        for depth in range(trie.depths[node] - 1, -1, -1):
            node = trie.parents[node]
            path[i, depth], on_path[i, depth] = node, True
    keys = np.concatenate([path, queries], axis=1)[:, None]  # (blocks, 1, P + B)
    seen = (keys <= queries[..., None]) & (queries[..., None] < stops[keys])
    seen[:, :, : path.shape[1]] &= on_path[:, None]
    return _Sight(torch.from_numpy(path).to(device), torch.from_numpy(seen[:, None]).to(device))
