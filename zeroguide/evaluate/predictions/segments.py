"""Our segments alone, as a predictor: no CLIP, no language model, no names.

The classes of a fitted model (`zeroguide fit`) mean the same in every image: they are the labels,
"class 3", and can be matched to the data set's classes once for all images, as unsupervised
segmentation is scored. Other segmenters' segments have no labels and are scored image by image.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from zeroguide.evaluate.predictions.pipeline import peak_memory
from zeroguide.evaluate.predictions.prediction import Prediction

if TYPE_CHECKING:
    from zeroguide.evaluate.datasets import Sample
    from zeroguide.segmenter import Segmenter


class Segments:
    """A segmenter as a predictor.

    Args:
        load: makes the segmenter; called by `start`.
        device_name: for the results.
    """

    def __init__(self, load: Callable[[], Segmenter], device_name: str | None = None) -> None:
        self._load = load
        self.device_name = device_name

    def start(self) -> None:
        """Load the models; WeightsError if they can't be had."""
        self.segmenter = self._load()

    def predict(self, sample: Sample) -> Prediction:
        """The sample's segments, each with its class of a fitted model or with no label."""
        image = sample.open_image(self.segmenter.recipe.image.value_range)
        started = time.perf_counter()
        over = self.segmenter.segment(image)
        seconds = time.perf_counter() - started
        labels = [""] * (int(over.label_map.max()) + 1)
        if over.classes is not None:
            labels = [f"class {number}" for number in over.classes.tolist()]
        return Prediction(over.label_map.astype(np.int32), labels, seconds=seconds)

    def class_embeddings(self, texts: Sequence[str]) -> np.ndarray | None:
        """None: nothing is embedded."""
        return None

    def peak_memory(self) -> float:
        """MiB; see `pipeline.peak_memory`."""
        return peak_memory(self.segmenter.device)
