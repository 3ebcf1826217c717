"""What is scored: named segments of an image, whoever made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from zeroguide.evaluate.datasets import Sample
    from zeroguide.result.rle import RLE


@dataclass(frozen=True, eq=False)
class Prediction:
    """An image's segments and their names.

    Attributes:
        label_map: (H, W) int32, the segment of each pixel, 0..m-1, or -1.
        labels: m texts; "" for a segment without a name.
        scores: (m,) float64, higher is better; None: all alike.
        embeddings: (m, e) float32 of the segments, in one space with the texts'; None: unknown.
        text_embeddings: (m, e) float32 of the labels; None: unknown.
        masks: m COCO run-length codes, where they overlap or the label map hides parts; None: those
            of the label map.
        seconds: what the prediction took; None: unknown.
    """

    label_map: np.ndarray
    labels: Sequence[str]
    scores: np.ndarray | None = None
    embeddings: np.ndarray | None = None
    text_embeddings: np.ndarray | None = None
    masks: list[RLE] | None = None
    seconds: float | None = None


class Predictor(Protocol):
    """Where predictions come from.

    device_name: where they are computed; None if they are only read.
    """

    device_name: str | None

    def start(self) -> None:
        """Load what predicting needs: called once, if there is an image to predict."""

    def predict(self, sample: Sample) -> Prediction:
        """The sample's segments; any exception makes it a failed image."""

    def class_embeddings(self, texts: Sequence[str]) -> np.ndarray | None:
        """(n, e) float32 embeddings of texts in one space with the segments'; None without one."""

    def peak_memory(self) -> float:
        """MiB held at most so far; NaN if that says nothing."""
