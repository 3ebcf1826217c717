"""A stand-in for zeroguide.labeler that needs no models."""

from __future__ import annotations

import types
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from zeroguide.image import Image, ImageSource, to_image
from zeroguide.recipe import Recipe
from zeroguide.result import Label, Labeling
from zeroguide.result.provenance import provenance
from zeroguide.segment.segmenters import SegmenterResult


class FakeLabeler:
    """Two segments: the left third and the rest."""

    device = "cpu"
    made: ClassVar[list[Recipe]] = []

    @staticmethod
    def hook(file_name: str) -> None:
        """Called for each image; tests put a failure here."""

    def __init__(self, recipe: Recipe, device: str = "auto", offline: bool = False) -> None:
        self.made.append(recipe)
        self.recipe, self.offline = recipe, offline

    def segment(self, image: Image) -> SegmenterResult:
        self.hook(image.file_name)
        label_map = np.ones(image.pixels.shape[:2], np.int32)
        label_map[:, : max(1, label_map.shape[1] // 3)] = 0
        return SegmenterResult(label_map)

    def label(self, source: ImageSource) -> Labeling:
        image = to_image(source)
        labels = [
            Label("tall tree", 0.25, 0.5, (("bush", 0.2),), (0,), np.array([1.0, 0.0])),
            Label("blue sky", 0.75, 0.9, (), (1, 2), np.array([0.0, 1.0])),
        ]
        label_map = self.segment(image).label_map
        labeling = Labeling.build(image, label_map, labels, provenance(self.recipe))
        is_file = isinstance(source, (str, Path))
        return replace(labeling, picture=Path(source).absolute()) if is_file else labeling

    def label_batch(self, images: Sequence[Image]) -> list[Labeling]:
        return [self.label(image) for image in images]


def module() -> types.ModuleType:
    """To be put into sys.modules as zeroguide.labeler or zeroguide.segmenter."""
    fake = types.ModuleType("zeroguide.labeler")
    fake.Labeler = fake.Segmenter = FakeLabeler  # type: ignore[attr-defined]
    return fake
