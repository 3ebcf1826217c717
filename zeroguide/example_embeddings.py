"""What CLIP sees in the examples of a user's own names, each picture cut like any other.

A name's examples are what prototypical networks (Snell et al., "Prototypical networks for few-shot
learning", NeurIPS 2017) call its support; `name.phrases.own` says how likely a segment is another.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from zeroguide.clip import Region, SegmentedImage, SegmentEmbedder
from zeroguide.image import Image
from zeroguide.models.device import autocast
from zeroguide.name.examples import Examples, find_examples, open_example
from zeroguide.segmenter import Segmenter

# Spread of the weight around the middle, in shares of half a side.
_SPREAD = 0.5


def embed_examples(
    folder: str | None, segmenter: Segmenter, embedder: SegmentEmbedder
) -> Examples | None:
    """Embed the pictures of a folder, of which `name.examples.find_examples` says how it is made.

    None without a folder. Raises UsageError, naming the file, for a folder that isn't made so or a
    picture that can't be read.
    """
    if folder is None:
        return None
    found = find_examples(Path(folder).expanduser())
    values = segmenter.recipe.image.value_range
    rows = [
        torch.stack(
            [embed_example(*open_example(path, values), segmenter, embedder) for path in paths]
        )
        for paths in found.values()
    ]
    return Examples(tuple(found), tuple(rows))


def embed_example(
    image: Image, mask: np.ndarray | None, segmenter: Segmenter, embedder: SegmentEmbedder
) -> torch.Tensor:
    """What CLIP sees in the mask or, without one, in the segment that fills most of the middle.

    mask: (H, W) bool, with at least one pixel. Returns (e,) float32, unit.
    """
    if mask is None:
        label_map = segmenter.segment(image).label_map
        part = central(label_map)
    else:
        label_map = (mask & ~mask.all()).astype(np.int32)  # a map has no gaps: all is 0
        part = int(label_map.max())
    region = Region(SegmentedImage(image.pixels, label_map), (part,))
    with autocast(segmenter.device, segmenter.recipe.precision):
        embedding = embedder.embed(embedder.prepare([region.image]), [region])[0]
    return F.normalize(embedding, dim=-1)


def central(label_map: np.ndarray) -> int:
    """The label with most weight in a map (H, W) of labels from 0: pixels weigh by a Gaussian
    around the middle."""
    rows, columns = (
        np.exp(-(np.linspace(-1, 1, size) ** 2) / (2 * _SPREAD**2)) for size in label_map.shape
    )
    weights = np.bincount(label_map.ravel(), np.outer(rows, columns).ravel())
    return int(weights.argmax())
