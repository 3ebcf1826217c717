"""What a decoder says of a region, and a region with that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch

from zeroguide.clip import Region

UNNAMED = "unnamed"
"""The label of a region for which a decoder found no phrase."""


class Name(NamedTuple):
    """A label and how it was found.

    text: a noun phrase. score: the cosine of the region's embedding and the label's text.
    certainty: how probable it is that the region is one, 0 to 1; None where the decoder can't tell.
    composed: the language model put words around a phrase of the list.
    """

    text: str
    score: float
    certainty: float | None = None
    composed: bool = False


@dataclass(frozen=True)
class NamedSegment:
    """What a segment is made of, what CLIP sees in it, and what it may be called, best first.

    embedding: (e,) float32, not normalised.
    """

    region: Region
    embedding: torch.Tensor
    labels: list[Name]
