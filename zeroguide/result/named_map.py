"""The data of a labelled picture: which pixel belongs to which segment, and its name.

Every pixel belongs to exactly one segment. Ids run from 1 without gaps, because annotation tools
read 0 as "no label".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from pycocotools import mask as coco_mask

from zeroguide.errors import UsageError
from zeroguide.result.segment import Label, Segment, regions


class ImageLike(Protocol):
    """What `NamedMap.build` needs of a picture."""

    @property
    def file_name(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def pixels(self) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class NamedMap:
    """All segments of one picture, as data.

    file_name, sha256: the picture's. label_map: (H, W) int32, the segment id of every pixel,
    read-only. segments: in order of id, 1..n, so that `segments[id - 1]` is the segment `id`.
    recipe: how the labels were made (name, versions, seed), only values that JSON has.
    embeddings: (n, e) float16, read-only: what CLIP sees in each segment, as unit vectors, row i
    for segment i + 1; None where none were made or kept. picture: where its pixels are, a file or
    (H, W, 3) uint8; None if that isn't known. It isn't saved.

    Raises ValueError if the segments are not exactly the regions of the label map: an id missing
    or out of order, a pixel without a segment, a segment without a pixel, a wrong area or bbox,
    a score or an embedding that is not finite, embeddings for another number of segments.
    """

    file_name: str
    sha256: str
    label_map: np.ndarray
    segments: tuple[Segment, ...]
    recipe: dict[str, Any]
    embeddings: np.ndarray | None = None
    picture: Path | np.ndarray | None = None

    def __post_init__(self) -> None:
        given = np.asarray(self.label_map)
        if given.ndim != 2 or given.size == 0 or given.dtype.kind not in "iu":
            raise ValueError(
                f"label map: expected a non-empty (H, W) integer array, got shape {given.shape} "
                f"of {given.dtype}"
            )
        n = len(self.segments)
        if [segment.id for segment in self.segments] != list(range(1, n + 1)):
            raise ValueError(
                f"segment ids must be 1..{n} in order, got {[s.id for s in self.segments][:20]}"
            )
        if given.min() < 1 or given.max() > n:
            raise ValueError(
                f"label map: expected ids 1..{n}, got {int(given.min())}..{int(given.max())}"
            )
        label_map = np.array(given, dtype=np.int32)  # a copy: the caller's array may change
        label_map.setflags(write=False)
        object.__setattr__(self, "label_map", label_map)
        object.__setattr__(self, "segments", tuple(self.segments))
        for segment, (bbox, area) in zip(self.segments, regions(label_map, n), strict=True):
            if (tuple(segment.bbox), segment.area) != (bbox, area):
                raise ValueError(
                    f"segment {segment.id}: bbox {tuple(segment.bbox)} and area {segment.area} do "
                    f"not match the label map, which has {bbox} and {area}"
                )
            scores = [segment.score, segment.confidence]
            scores += [score for _, score in segment.alternatives]
            if not all(map(math.isfinite, scores)):  # JSON has no NaN
                raise ValueError(f"segment {segment.id}: scores must be finite numbers")
        if self.embeddings is not None:
            embeddings = np.array(self.embeddings, dtype=np.float16)
            if embeddings.ndim != 2 or len(embeddings) != n or not np.isfinite(embeddings).all():
                raise ValueError(
                    f"embeddings: expected finite numbers of shape ({n}, e), got shape "
                    f"{embeddings.shape}"
                )
            embeddings.setflags(write=False)
            object.__setattr__(self, "embeddings", embeddings)

    @classmethod
    def build(
        cls,
        image: ImageLike,
        label_map: np.ndarray,
        labels: Sequence[Label],
        recipe: dict[str, Any],
    ) -> Self:
        """Measure the regions and number them 1..n from the largest to the smallest.

        label_map: (H, W) integers 0..n-1, of the picture's size, every value present. labels: n of
        them; labels[i] names the region i; embeddings are kept if all have one. Regions of equal
        area keep their order. Raises ValueError if map, labels and picture don't agree.
        """
        label_map = np.asarray(label_map)
        if label_map.shape != image.pixels.shape[:2]:
            raise ValueError(
                f"label map of shape {label_map.shape} for a picture of shape {image.pixels.shape}"
            )
        n = len(labels)
        if label_map.dtype.kind not in "iu" or label_map.min() < 0 or label_map.max() >= n:
            raise ValueError(f"label map: expected integers 0..{n - 1}, one for each of the labels")
        measured = regions(label_map + 1, n)
        order = sorted(range(n), key=lambda i: -measured[i][1])
        new_id = np.empty(n, np.int32)
        new_id[order] = np.arange(1, n + 1)
        segments = [labels[i].measured(int(new_id[i]), *measured[i]) for i in order]
        known_embeddings = [labels[i].embedding for i in order]
        embeddings = None
        if segments and all(one is not None for one in known_embeddings):
            rows = np.stack([np.asarray(one, np.float32) for one in known_embeddings])
            embeddings = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return cls(
            image.file_name, image.sha256, new_id[label_map], tuple(segments), recipe, embeddings
        )

    @property
    def width(self) -> int:
        return int(self.label_map.shape[1])

    @property
    def height(self) -> int:
        return int(self.label_map.shape[0])

    def mask(self, id: int) -> np.ndarray:
        """The pixels of segment `id`: (H, W) bool. Raises UsageError if there is none."""
        if not 1 <= id <= len(self.segments):
            raise UsageError(f"there is no segment {id}: ids are 1 to {len(self.segments)}")
        return self.label_map == id

    def rles(self, segments: Sequence[Segment] | None = None) -> list[dict[str, Any]]:
        """Masks as COCO's compressed RLE, ready for JSON: {"size", "counts"}; default: all."""
        chosen = self.segments if segments is None else segments
        columns = np.asfortranarray(self.label_map)  # COCO's RLE runs down the columns
        encoded = (coco_mask.encode((columns == s.id).view(np.uint8)) for s in chosen)
        size = [self.height, self.width]
        return [{"size": [*size], "counts": rle["counts"].decode("ascii")} for rle in encoded]
