"""Predictions of our own pipeline: whole, or with one stage replaced by the truth.

- "full": as `zeroguide label` does it.
- "true-masks": the true regions are given, embedded and named: what is lost is the names' fault.
- "true-names": our segments, each named with the class of the true region it overlaps most, by
  IoU: what is lost is the masks' fault. Their embeddings play no part, so there is no ST.

Our segments without any names are in `segments`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from zeroguide.errors import UsageError
from zeroguide.evaluate.datasets import Dataset, Sample
from zeroguide.evaluate.metrics.overlap import intersections
from zeroguide.evaluate.predictions.prediction import Prediction
from zeroguide.evaluate.scoring.results import Stage
from zeroguide.system.device_errors import device_errors

if TYPE_CHECKING:
    import torch

    from zeroguide.labeler import Labeler, NamedSegment


def check_stage(stage: Stage, dataset: Dataset) -> None:
    """UsageError if the data set's truth can't stand in for a stage."""
    if stage != "full" and not dataset.classes:
        raise UsageError(
            f"the data set {dataset.name} has no class names to stand in for ours: leave --stage "
            "full"
        )


class Pipeline:
    """Our pipeline as a predictor; see the module for the stages.

    Args:
        load: makes the labeler; called by `start`.
        stage: what is ours.
        device_name: for the results.
    """

    def __init__(
        self,
        load: Callable[[], Labeler],
        stage: Stage = "full",
        device_name: str | None = None,
    ) -> None:
        self._load = load
        self.stage = stage
        self.device_name = device_name

    def start(self) -> None:
        """Load the models; WeightsError if they can't be had."""
        self.labeler = self._load()

    def predict(self, sample: Sample) -> Prediction:
        """The sample's segments, named. Raises what `Labeler.label` raises."""
        with device_errors(self.labeler.device):
            return self._predict(sample)

    def _predict(self, sample: Sample) -> Prediction:
        from zeroguide.clip.region import region_map

        image = sample.open_image(self.labeler.recipe.image.value_range)
        if self.stage == "true-masks":
            return self._name_true(sample, image.pixels)
        started = time.perf_counter()
        segments = self.labeler.describe([image])[0]
        seconds = time.perf_counter() - started
        label_map = region_map([segment.region for segment in segments])
        if self.stage == "true-names":
            labels = true_names(label_map, len(segments), sample)
            scores = _scores(segments)
            return Prediction(label_map, labels, scores, seconds=seconds)
        labels = [segment.labels[0][0] for segment in segments]
        embeddings = np.stack([segment.embedding.cpu().numpy() for segment in segments])
        return Prediction(
            label_map,
            labels,
            _scores(segments),
            embeddings,
            self._embed(labels),
            seconds=seconds,
        )

    def class_embeddings(self, texts: Sequence[str]) -> np.ndarray | None:
        """(n, e) float32 CLIP embeddings of texts; None where segments have true names."""
        return None if self.stage == "true-names" else self._embed(texts)

    def peak_memory(self) -> float:
        """MiB; see the function of this name."""
        return peak_memory(self.labeler.device)

    def _embed(self, texts: Sequence[str]) -> np.ndarray:
        rows: np.ndarray = self.labeler.texts.embed(texts).cpu().numpy()
        return rows

    def _name_true(self, sample: Sample, pixels: np.ndarray) -> Prediction:
        """The true regions with our names; what is no region has no segment."""
        from zeroguide.clip import Region, SegmentedImage
        from zeroguide.models.device import autocast

        truth = sample.regions()
        n = len(truth.classes)
        if not n:
            return Prediction(truth.label_map, [])
        started = time.perf_counter()
        # Embedders want every pixel to be of some part: what is no region is one more.
        parts = np.where(truth.label_map < 0, n, truth.label_map)
        picture = SegmentedImage(pixels, parts)
        regions = [Region(picture, (index,)) for index in range(n)]
        embedder = self.labeler.embedder
        with autocast(self.labeler.device, self.labeler.recipe.precision):
            embeddings = embedder.embed(embedder.prepare([picture]), regions)
        ranked = self.labeler.decode(embeddings, regions)
        seconds = time.perf_counter() - started
        labels = [own[0][0] for own in ranked]
        return Prediction(
            truth.label_map,
            labels,
            np.array([own[0][1] for own in ranked], dtype=np.float64),
            embeddings.cpu().numpy(),
            self._embed(labels),
            seconds=seconds,
        )


def true_names(label_map: np.ndarray, n_segments: int, sample: Sample) -> list[str]:
    """The class of the true region each segment overlaps most by IoU; "" where all is void.

    A background class is one more region. Ties go to the first.
    """
    truth = sample.regions()
    regions, classes = truth.label_map, truth.classes
    background = sample.dataset.background
    if background is not None:
        rest = (regions < 0) & (sample.semantic() == background)
        regions = np.where(rest, len(classes), regions)
        classes = np.append(classes, background)
    overlap = intersections(label_map, regions, n_segments, len(classes))
    names = [each.name for each in sample.dataset.classes]
    return [
        names[classes[row.argmax()]] if row.any() and classes[row.argmax()] >= 0 else ""
        for row in overlap.iou
    ]


def peak_memory(device: torch.device) -> float:
    """MiB: of the graphics card if that is where the models are, else of the process."""
    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return process_memory()


def process_memory() -> float:
    """MiB: the most this process has held in main memory so far; NaN where that isn't told."""
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _scores(segments: Sequence[NamedSegment]) -> np.ndarray:
    return np.array([segment.labels[0][1] for segment in segments], dtype=np.float64)
