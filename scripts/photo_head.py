"""What joins photographs and words: a projection of DINOv2's tokens, a reading of MiniLM's phrases.

The embedding of a region is ``W (x - m)``, x the mean of its tokens and m that of many regions.
That of a phrase is an MLP of what MiniLM makes of it, so that words which no photograph came with
lie near their kin, and, where the phrase means a name that was learned, a vector of the name's own
beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from zeroguide.name.hypernyms import Hypernyms

WIDTH = 384  # of DINOv2-S, of MiniLM and of the embeddings
FLOOR = 0.3  # of the whitening


class Head(nn.Module):
    """Both projections.

    Args:
        nodes: (n,) the nodes of `Hypernyms` whose names are learned.
        means: (regions, 384) some regions' means, for what all have in common. None: it is loaded.
    """

    def __init__(self, nodes: torch.Tensor, means: torch.Tensor | None = None) -> None:
        super().__init__()
        self.nodes: torch.Tensor
        self.centre: torch.Tensor
        self.whitening: torch.Tensor
        means = torch.eye(WIDTH) if means is None else means
        self.register_buffer("centre", means.mean(0))
        self.register_buffer("whitening", whitening(means))
        self.image = nn.Linear(WIDTH, WIDTH, bias=False)
        nn.init.orthogonal_(self.image.weight)
        self.plain = nn.Linear(WIDTH, WIDTH, bias=False)
        self.bent = nn.Sequential(
            nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH)
        )
        self.own = nn.Parameter(torch.zeros(len(nodes), WIDTH))
        self.bias = nn.Parameter(torch.full((len(nodes),), -4.0))
        self.log_scale = nn.Parameter(torch.tensor(10.0).log())
        self.register_buffer("nodes", nodes.long())

    def embed_regions(self, means: torch.Tensor) -> torch.Tensor:
        """Means of tokens (..., 384) -> unit embeddings (..., 384)."""
        return self.embed(self.whitened(means))

    def whitened(self, means: torch.Tensor) -> torch.Tensor:
        """(..., 384), centred, in which no direction counts much more than another."""
        return (means - self.centre) @ self.whitening

    def embed(self, whitened: torch.Tensor) -> torch.Tensor:
        """(..., 384) -> unit embeddings (..., 384)."""
        return F.normalize(self.image(whitened), dim=-1)

    def projection(self) -> torch.Tensor:
        """(384, 384), from the right of centred means."""
        return self.whitening @ self.image.weight.T

    def read(self, minilm: torch.Tensor) -> torch.Tensor:
        """MiniLM's unit embeddings (n, 384) -> (n, 384), not normalised."""
        out: torch.Tensor = self.plain(minilm) + self.bent(minilm)
        return out

    @torch.inference_mode()
    def texts(self, phrases: Sequence[str], minilm: torch.Tensor) -> torch.Tensor:
        """Unit embeddings of any phrases: (n, 384).

        A phrase whose head noun alone is known ("black dog") has half of the noun's own vector.
        """
        hypernyms = Hypernyms.load()
        column = {int(node): i for i, node in enumerate(self.nodes)}
        found = self.read(minilm)
        for i, phrase in enumerate(phrases):
            whole, head = hypernyms.whole_node_of(phrase), hypernyms.node_of(phrase)
            if whole in column:
                found[i] += self.own[column[whole]]
            elif head in column:
                found[i] += 0.5 * self.own[column[head]]
        return F.normalize(found, dim=-1)


def whitening(means: torch.Tensor) -> torch.Tensor:
    """(384, 384), symmetric: evens out how much regions (n, 384) differ in each direction.

    Directions of little variance stay below the others: `FLOOR` of the mean variance is added.
    """
    values, vectors = torch.linalg.eigh(torch.cov(means.T))
    return vectors @ torch.diag((values + FLOOR * values.mean()).rsqrt()) @ vectors.T


def save_head(head: Head, path: Path) -> None:
    """All tensors in one file."""
    save_file({key: value.contiguous() for key, value in head.state_dict().items()}, path)


def load_head(path: Path) -> Head:
    """What `save_head` wrote."""
    state = load_file(path)
    head = Head(state["nodes"])
    head.load_state_dict(state)
    return head.eval()
