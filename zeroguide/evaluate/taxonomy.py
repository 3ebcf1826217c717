"""A survey of a folder: the segments of all its images, their classes, and what to say of each.

Memory holds an embedding a segment; the segments' maps lie in a temporary folder as PNG.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Self

import numpy as np
import PIL.Image
import torch

from zeroguide.clip import Region, SegmentedImage
from zeroguide.clip.region import region_map
from zeroguide.errors import ImageError
from zeroguide.evaluate.discovery import Classes, discover_classes
from zeroguide.image import Image, open_image
from zeroguide.labeler import Labeler
from zeroguide.name.decoder import Ranked
from zeroguide.name.name import UNNAMED, Name
from zeroguide.result import Label, Labeling
from zeroguide.result.overlay.contact_sheet import Card, cut_out
from zeroguide.result.provenance import provenance
from zeroguide.system.device_errors import device_errors
from zeroguide.system.files import readable_name

SCHEMA = "zeroguide-taxonomy/1"
N_EXAMPLES = 5
TOGETHER = 8  # classes that are named at once: the picture of an example of each is held


@dataclass(frozen=True)
class Example:
    """A segment that is typical of its class: the image's file, and (x, y, width, height) in it."""

    path: Path
    bbox: tuple[int, int, int, int]


@dataclass(frozen=True)
class DiscoveredClass:
    """One class of a folder.

    id: from 1, the largest class first; the value in the maps. label, score, confidence,
    alternatives: as in `zeroguide.result.labeling.Segment`, for the mean of the class's embeddings.
    n_segments, n_images: how many belong to it. share: of all pixels of the folder, 0 to 1.
    """

    id: int
    label: str
    score: float
    confidence: float
    alternatives: tuple[tuple[str, float], ...]
    n_segments: int
    n_images: int
    share: float
    examples: tuple[Example, ...]


@dataclass(frozen=True, eq=False)
class Taxonomy:
    """A folder's classes, the largest first, and how they were made."""

    classes: tuple[DiscoveredClass, ...]
    n_images: int
    recipe: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The schema zeroguide-taxonomy/1, ready for JSON; files as they were named."""
        classes = [
            {
                "id": c.id,
                "label": c.label,
                "score": c.score,
                "confidence": c.confidence,
                "alternatives": [list(pair) for pair in c.alternatives],
                "segments": c.n_segments,
                "images": c.n_images,
                "share": c.share,
                "examples": [
                    {"file": readable_name(str(e.path)), "bbox": list(e.bbox)} for e in c.examples
                ],
            }
            for c in self.classes
        ]
        return {
            "schema": SCHEMA,
            "recipe": self.recipe,
            "images": self.n_images,
            "classes": classes,
        }


class Survey:
    """Collects the segments of images one by one, then finds their classes; a context manager.

    Args:
        labeler: segments and names every image first; its recipe's merge section weighs embeddings
            and texts between images too.
    """

    def __init__(self, labeler: Labeler) -> None:
        self.labeler = labeler
        self._maps = tempfile.TemporaryDirectory(prefix="zeroguide-")
        self.paths: list[Path] = []
        self._embeddings: list[np.ndarray] = []
        self._labels: list[str] = []
        self._areas: list[int] = []
        self._image_of: list[int] = []  # of each segment
        self._first: list[int] = []  # segment of each image

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._maps.cleanup()

    def add(self, path: str | PathLike[str], image: Image) -> None:
        """Segment and name one image, and keep what its segments are like."""
        path = Path(path)
        segments = self.labeler.describe([image])[0]
        label_map = region_map([segment.region for segment in segments])
        PIL.Image.fromarray(label_map.astype(np.uint16)).save(self._map_path(len(self.paths)))
        self._first.append(len(self._labels))
        self._image_of += [len(self.paths)] * len(segments)
        self._areas += np.bincount(label_map.ravel(), minlength=len(segments)).tolist()
        self._embeddings += [segment.embedding.float().cpu().numpy() for segment in segments]
        self._labels += [segment.labels[0][0] for segment in segments]
        self.paths.append(path)

    def find_classes(self, n_classes: int | None) -> tuple[Taxonomy, Classes]:
        """The folder's classes, named, and which of them each segment is of; of >= 1 image.

        n_classes: at most so many; None: as many as the silhouette says.
        """
        recipe = self.labeler.recipe
        texts = self.labeler.texts.embed(self._labels).float().cpu().numpy().copy()
        texts[[label == UNNAMED for label in self._labels]] = 0
        found = discover_classes(
            np.stack(self._embeddings),
            texts,
            n_classes=n_classes,
            embedding_weight=recipe.merge.embedding_weight,
            seed=recipe.seed,
        )
        images = np.array(self._image_of)
        areas = np.array(self._areas)
        typical = [found.examples(i, images, N_EXAMPLES) for i in range(len(found.centres))]
        centres = torch.from_numpy(found.centres).to(self.labeler.device)
        named: list[Ranked] = []
        with device_errors(self.labeler.device):
            for start in range(0, len(centres), TOGETHER):
                some = slice(start, start + TOGETHER)
                named += self.labeler.decode(
                    centres[some], [self._readable(own) for own in typical[some]]
                )
            confidences = self.labeler.confidences(centres, [Name(*labels[0]) for labels in named])
        classes = []
        for i, (labels, confidence) in enumerate(zip(named, confidences, strict=True)):
            members = np.flatnonzero(found.labels == i)
            classes.append(
                DiscoveredClass(
                    id=i + 1,
                    label=labels[0][0],
                    score=labels[0][1],
                    confidence=confidence,
                    alternatives=tuple((name[0], name[1]) for name in labels[1:]),
                    n_segments=len(members),
                    n_images=len(np.unique(images[members])),
                    share=float(areas[members].sum() / areas.sum()),
                    examples=tuple(self._example(j) for j in typical[i]),
                )
            )
        return Taxonomy(tuple(classes), len(self.paths), provenance(recipe)), found

    def class_map(self, number: int, found: Classes) -> np.ndarray:
        """(H, W) int32 of the image added as that number, from 0: each pixel's class, from 1."""
        first = self._first[number]
        own = self._segments(number)
        classes: np.ndarray = found.labels[first : first + int(own.max()) + 1][own] + 1
        return classes.astype(np.int32)

    def _segments(self, number: int) -> np.ndarray:
        """(H, W) int32 segments of an image, from 0."""
        with PIL.Image.open(self._map_path(number)) as picture:
            return np.asarray(picture).astype(np.int32)

    def _map_path(self, number: int) -> Path:
        return Path(self._maps.name, f"{number}.png")

    def _region(self, segment: int) -> Region:
        """A segment with its picture, for decoders that look at it."""
        number = self._image_of[segment]
        image = open_image(self.paths[number], self.labeler.recipe.image.value_range)
        picture = SegmentedImage(image.pixels, self._segments(number))
        return Region(picture, (segment - self._first[number],))

    def _readable(self, segments: Sequence[int]) -> Region:
        """The first of these segments whose picture can still be read, else the error."""
        for segment in segments[:-1]:
            with contextlib.suppress(ImageError):
                return self._region(segment)
        return self._region(segments[-1])

    def _example(self, segment: int) -> Example:
        number = self._image_of[segment]
        y, x = np.nonzero(self._segments(number) == segment - self._first[number])
        box = (int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1)
        return Example(self.paths[number], box)

    def cards(self, taxonomy: Taxonomy, found: Classes, n: int) -> list[Card]:
        """What the contact sheet shows of the first n classes; pictures gone since are left out."""
        images = np.array(self._image_of)
        cards = []
        for own in taxonomy.classes[:n]:
            about = (
                f"{counted(own.n_segments, 'segment', 'segments')} in "
                f"{counted(own.n_images, 'image', 'images')}, {100 * own.share:.1f} % of all pixels"
            )
            tiles = []
            for segment in found.examples(own.id - 1, images, N_EXAMPLES):
                with contextlib.suppress(ImageError):
                    region = self._region(segment)
                    tiles.append(cut_out(region.image.pixels, region.mask))
            cards.append(Card(own.label or f"class {own.id}", about, tiles))
        return cards


def counted(n: int, one: str, many: str) -> str:
    """ "1 image", "2 images"."""
    return f"{n} {one if n == 1 else many}"


def labeling_of(
    image: Image, class_map: np.ndarray, classes: Sequence[DiscoveredClass], recipe: dict[str, Any]
) -> Labeling:
    """An image's classes, (H, W) from 1, as its labels: one segment a class."""
    present, label_map = np.unique(class_map, return_inverse=True)
    own = [classes[number - 1] for number in present]
    labels = [Label(c.label, c.score, c.confidence, c.alternatives, ()) for c in own]
    return Labeling.build(image, label_map.reshape(class_map.shape), labels, recipe)
