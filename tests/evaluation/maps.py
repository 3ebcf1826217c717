"""Data sets and predictions from label maps in memory, and an encoder that needs no model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from zeroguide.evaluate.datasets import ClassName, Dataset, Regions, Sample
from zeroguide.evaluate.datasets.base import Entry
from zeroguide.evaluate.metrics.lac import same_text
from zeroguide.evaluate.predictions.prediction import Prediction
from zeroguide.evaluate.runner import evaluate
from zeroguide.evaluate.scoring.protocols import Available, impossible
from zeroguide.evaluate.scoring.results import PROTOCOLS, Results, Source
from zeroguide.image import Image, from_array


class Maps(Dataset):
    """Truths given as arrays by name: (H, W) class indices."""

    def __init__(
        self,
        truths: dict[str, np.ndarray],
        classes: Sequence[ClassName | str],
        background: int | None = None,
    ) -> None:
        names = [each if isinstance(each, ClassName) else ClassName(each) for each in classes]
        super().__init__("maps", names, [Entry(name, None, None) for name in truths], "a test")
        self.truths = {name: truth.astype(np.int32) for name, truth in truths.items()}
        self.background = background

    def open_image(self, entry: Entry, value_range: object = None) -> Image:
        height, width = self.truths[entry.name].shape
        return from_array(np.zeros((height, width, 3), np.uint8), f"{entry.name}.png")

    def read_semantic(self, entry: Entry) -> np.ndarray:
        return self.truths[entry.name]


class Objects(Maps):
    """The same with objects told apart: here still one region per class."""

    def read_annotations(self, entry: Entry) -> tuple[Regions, ...]:
        return super().read_annotations(entry)


class Given:
    """Predictions by name; an exception in place of one is raised."""

    device_name = None

    def __init__(self, predictions: dict[str, Prediction | BaseException]) -> None:
        self.predictions = predictions
        self.asked: list[str] = []

    def start(self) -> None:
        pass

    def predict(self, sample: Sample) -> Prediction:
        self.asked.append(sample.name)
        found = self.predictions[sample.name]
        if isinstance(found, BaseException):
            raise found
        return found

    def class_embeddings(self, texts: Sequence[str]) -> np.ndarray | None:
        return None

    def peak_memory(self) -> float:
        return float("nan")


class Words:
    """Equal texts have a cosine of 1, different ones one near 0."""

    name = "words"

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        rows = np.zeros((len(texts), 512), np.float32)
        for row, text in zip(rows, texts, strict=True):
            seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
            row[:] = np.random.default_rng(seed).normal(size=512)
            row /= np.linalg.norm(row)
        return rows


def prediction(label_map: np.ndarray, labels: Sequence[str]) -> Prediction:
    """With scores that differ."""
    scores = np.linspace(0.9, 0.1, len(labels))
    return Prediction(label_map.astype(np.int32), list(labels), scores)


def of_truth(sample: Sample) -> Prediction:
    """The true regions with their true names."""
    regions = sample.regions()
    names = [each.name for each in sample.dataset.classes]
    return prediction(regions.label_map, [names[i] for i in regions.classes])


def run(dataset: Dataset, predictor: Given, folder, **more) -> Results:
    """All protocols that are possible without models."""
    have = Available(encoder=True, embeddings=False, relation=True)
    possible = [name for name in PROTOCOLS if name not in impossible(dataset, have)]
    given = {
        "source": Source("predictions", "full", folder="made"),
        "protocols": possible,
        "encoder": Words(),
        "relation": same_text,
    }
    folder.mkdir(exist_ok=True)
    return evaluate(dataset, predictor, folder, **(given | more))


def values(results: Results) -> dict[str, float]:
    """The summary by key."""
    return {value.key: value.value for value in results.summary}
