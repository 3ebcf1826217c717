"""Correspondence distillation: how the head of STEGO is trained.

Hamilton et al., ICLR 2022. Two places of two images correspond as far as their features' cosine
F says. The head's codes, with cosine S, are to agree where F is above a shift b and not to agree
below it: loss = -max(S, 0) * (F - b), F with its mean over the second image's places taken off, so
that places in front of a common background still differ. It is taken over pairs of an image with
itself, with one of its nearest neighbours (by mean feature) and with random others of the batch.

Shifts, weights, sampling, dropout and learning rate are the published defaults. As in the source,
places are continuous and features are interpolated between cells; the head runs only on the cells
around them, which gives the same codes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from zeroguide.segment.fitted.sphere import unit
from zeroguide.segment.fitted.stego_head import WIDTH
from zeroguide.segment.fitted.store import FeatureStore

BATCH = 32  # pairs of images per step
N_NEIGHBOURS = 7
N_NEGATIVES = 5  # random others per image and step
N_PLACES = 11 * 11  # per image and step
DROPOUT = 0.1  # of whole channels of an image
LEARNING_RATE = 5e-4
SHIFTS = {"self": 0.18, "neighbour": 0.12, "other": 0.46}
WEIGHTS = {"self": 0.67, "neighbour": 0.25, "other": 0.63}


def train(
    store: FeatureStore,
    *,
    steps: int,
    seed: int,
    device: str,
    progress: Callable[[str], None],
) -> dict[str, np.ndarray]:
    """The trained head in the published layout (see `fitted.stego`), float32 arrays.

    The store has two images or more. On "cpu" the same seed gives the same head.
    """
    place = torch.device(device)
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = Head(store.backbone.width, WIDTH).to(place)
    optimizer = torch.optim.Adam(head.parameters(), lr=LEARNING_RATE)
    neighbours = nearest_images(store)
    batches = _batches(len(store), rng)
    for step in range(1, steps + 1):
        anchors = next(batches)
        columns = rng.integers(neighbours.shape[1], size=len(anchors))
        partners = neighbours[anchors, columns]
        first, second = (_places(store, images, rng, place) for images in (anchors, partners))
        loss = _step_loss(head, first, second, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 0 or step == steps:
            progress(f"step {step} of {steps}, loss {loss.item():.3f}")
    return head.arrays()


class Head(nn.Module):
    """Features (..., d) -> codes (..., k): a linear map plus a network of one hidden layer.

    A convolution of size 1 is a linear map of every cell.
    """

    def __init__(self, d: int, k: int) -> None:
        super().__init__()
        self.cluster1 = nn.Sequential(nn.Linear(d, k))
        self.cluster2 = nn.Sequential(nn.Linear(d, d), nn.ReLU(), nn.Linear(d, k))

    def forward(self, x1: torch.Tensor, x2: torch.Tensor) -> torch.Tensor:
        """Codes of features that went through dropout twice, once for each branch."""
        codes: torch.Tensor = self.cluster1(x1) + self.cluster2(x2)
        return codes

    def arrays(self) -> dict[str, np.ndarray]:
        """The weights by the names of the published checkpoints."""
        return {f"net.{k}": v.detach().cpu().numpy().copy() for k, v in self.state_dict().items()}


def correlation_loss(
    features1: torch.Tensor,
    features2: torch.Tensor,
    codes1: torch.Tensor,
    codes2: torch.Tensor,
    shift: float,
) -> torch.Tensor:
    """The loss of b pairs of images, n places each: features (b, n, d), codes (b, n, k) -> scalar.

    No gradient goes through the features.
    """
    with torch.no_grad():
        f = F.normalize(features1, dim=-1) @ F.normalize(features2, dim=-1).mT  # (b, n, n)
        f = f - f.mean(dim=2, keepdim=True) + f.mean()
    s = F.normalize(codes1, dim=-1) @ F.normalize(codes2, dim=-1).mT
    return (-s.clamp(min=0) * (f - shift)).mean()


def corners(h: int, w: int, coords: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cells around places of an (h, w) grid and their bilinear weights: (n, 4) each.

    coords: (n, 2), x and y in -1..1, the ends being the centres of the outermost cells. Cells are
    counted row by row.
    """
    at = (coords + 1) / 2 * np.array([w - 1, h - 1])
    low = np.floor(at).astype(np.int64)
    share = at - low
    high = np.minimum(low + 1, [w - 1, h - 1])
    index = np.stack(
        [y[:, 1] * w + x[:, 0] for y in (low, high) for x in (low, high)], axis=1
    )  # (n, 4)
    x, y = share[:, 0], share[:, 1]
    weight = np.stack([(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x], axis=1)
    return index, weight.astype(np.float32)


def nearest_images(store: FeatureStore) -> np.ndarray:
    """Each image's neighbours by the cosine of mean features, nearest first: (n, m), m <= 7."""
    means = np.stack(
        [store.features(i).mean(axis=(0, 1), dtype=np.float64) for i in range(len(store))]
    )
    means = unit(means).astype(np.float32)
    m = min(N_NEIGHBOURS, len(means) - 1)
    nearest = np.empty((len(means), m), dtype=np.int64)
    for i, mean in enumerate(means):  # row by row: all pairs of many images are too much memory
        cosines = means @ mean
        cosines[i] = -np.inf
        nearest[i] = np.argsort(-cosines, kind="stable")[:m]
    return nearest


def _step_loss(
    head: Head, first: Places, second: Places, generator: torch.Generator
) -> torch.Tensor:
    """The weighted loss over the three kinds of pairs."""
    features1, codes1 = _sampled(head, first, generator)
    features2, codes2 = _sampled(head, second, generator)
    losses = {
        "self": correlation_loss(features1, features1, codes1, codes1, SHIFTS["self"]),
        "neighbour": correlation_loss(features1, features2, codes1, codes2, SHIFTS["neighbour"]),
    }
    others = []
    for _ in range(N_NEGATIVES):
        # The source samples the others anew; their places are as random when drawn as anchors.
        other = other_images(len(features1), generator).to(features1.device)
        others.append(
            correlation_loss(features1, features1[other], codes1, codes1[other], SHIFTS["other"])
        )
    losses["other"] = torch.stack(others).mean()
    return torch.stack([WEIGHTS[kind] * loss for kind, loss in losses.items()]).sum()


def other_images(n: int, generator: torch.Generator) -> torch.Tensor:
    """For each of n images of a batch another one, at random: (n,) int64, n >= 2."""
    order = torch.randperm(n, generator=generator)
    itself = order == torch.arange(n)
    return torch.where(itself, (order + 1) % n, order)


class Places(NamedTuple):
    """Random places of b images: the cells (b, n, 4, d) around them, their weights (b, n, 4, 1)."""

    cells: torch.Tensor
    weights: torch.Tensor


def _places(
    store: FeatureStore, images: np.ndarray, rng: np.random.Generator, device: torch.device
) -> Places:
    cells, weights = [], []
    for image in images:
        coords = rng.uniform(-1, 1, size=(N_PLACES, 2))
        h, w = store.entries[image].grid
        index, weight = corners(h, w, coords)
        cells.append(store.cells(int(image), index.ravel()).reshape(*index.shape, -1))
        weights.append(weight)
    return Places(
        torch.from_numpy(np.stack(cells)).to(device),
        torch.from_numpy(np.stack(weights)).to(device)[..., None],
    )


def _sampled(
    head: Head, places: Places, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Features (b, n, d) and codes (b, n, k) at the places, both after dropout."""
    cells, weights = places
    codes = head(*(cells * _dropout(cells, generator) for _ in range(2)))
    features = (cells * weights).sum(dim=2) * _dropout(cells, generator)[:, :, 0]
    return features, (codes * weights).sum(dim=2)


def _dropout(cells: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Factors (b, 1, 1, d): 0 for some of an image's channels, the others scaled up for them."""
    shape = (cells.shape[0], 1, 1, cells.shape[-1])
    keep = torch.rand(shape, generator=generator) >= DROPOUT
    return (keep / (1 - DROPOUT)).to(cells.device)


def _batches(n: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Endless batches of image indices, every image once before any comes again."""
    size = min(BATCH, n)
    while True:
        order = rng.permutation(n)
        for start in range(0, n - size + 1, size):
            yield order[start : start + size]
