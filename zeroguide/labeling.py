"""The result of labelling one picture: which pixel belongs to which segment, and its name.

Every pixel belongs to exactly one segment. Ids run from 1 without gaps, because annotation tools
read 0 as "no label".
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, NamedTuple, Protocol

import numpy as np
from pycocotools import mask as coco_mask

SCHEMA = "zeroguide/1"


class Label(NamedTuple):
    """What is known of one segment before it is measured; the fields are as in `Segment`."""

    label: str
    score: float
    confidence: float
    alternatives: Sequence[tuple[str, float]]
    merged_from: Sequence[int]
    embedding: np.ndarray | None = None  # (e,), any length but zero


class ImageLike(Protocol):
    """What `Labeling.build` needs of a picture."""

    @property
    def file_name(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def pixels(self) -> np.ndarray: ...


@dataclass(frozen=True)
class Segment:
    """One region and its name.

    id: from 1. label: free text. score: the decoder's, comparable within one recipe only.
    confidence: estimated probability that the label is right, 0 to 1; as good as the recipe's
    calibration. alternatives: further (label, score), best first. merged_from: ids of the
    over-segments it is made of. bbox: (x, y, width, height) in pixels. area: number of pixels, at
    least 1.
    """

    id: int
    label: str
    score: float
    confidence: float
    alternatives: tuple[tuple[str, float], ...]
    merged_from: tuple[int, ...]
    bbox: tuple[int, int, int, int]
    area: int


@dataclass(frozen=True, eq=False)
class Labeling:
    """All segments of one picture.

    file_name, sha256: the picture's. label_map: (H, W) int32, the segment id of every pixel,
    read-only. segments: in order of id, 1..n, so that `segments[id - 1]` is the segment `id`.
    recipe: how the labels were made (name, versions, seed), only values that JSON has.
    embeddings: (n, e) float16, read-only: what CLIP sees in each segment, as unit vectors, row i
    for segment i + 1; None where none were made or kept.

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
    ) -> Labeling:
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
        segments = []
        for i in order:
            known = labels[i]
            bbox, area = measured[i]
            segments.append(
                Segment(
                    id=int(new_id[i]),
                    label=str(known.label),
                    score=float(known.score),
                    confidence=float(known.confidence),
                    alternatives=tuple((str(a), float(s)) for a, s in known.alternatives),
                    merged_from=tuple(int(m) for m in known.merged_from),
                    bbox=bbox,
                    area=area,
                )
            )
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
        """The pixels of segment `id`: (H, W) bool. Raises KeyError if there is no such segment."""
        if not 1 <= id <= len(self.segments):
            raise KeyError(f"no segment {id}: ids are 1..{len(self.segments)}")
        return self.label_map == id

    def rles(self) -> list[dict[str, Any]]:
        """Every segment's mask as COCO's compressed RLE, ready for JSON: {"size", "counts"}."""
        columns = np.asfortranarray(self.label_map)  # COCO's RLE runs down the columns
        found = []
        for s in self.segments:
            rle = coco_mask.encode((columns == s.id).view(np.uint8))
            found.append(
                {"size": [self.height, self.width], "counts": rle["counts"].decode("ascii")}
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """The schema zeroguide/1, ready for JSON.

        `segmentation` is COCO's compressed RLE; `embedding`, where there is one, base64 of
        little-endian float16.
        """
        segments: list[dict[str, Any]] = []
        for s, rle in zip(self.segments, self.rles(), strict=True):
            segments.append(
                {
                    "id": s.id,
                    "label": s.label,
                    "score": s.score,
                    "confidence": s.confidence,
                    "alternatives": [[label, score] for label, score in s.alternatives],
                    "merged_from": list(s.merged_from),
                    "bbox": list(s.bbox),
                    "area": s.area,
                    "segmentation": rle,
                }
            )
            if self.embeddings is not None:
                row = self.embeddings[s.id - 1].astype("<f2").tobytes()
                segments[-1]["embedding"] = base64.b64encode(row).decode("ascii")
        return {
            "schema": SCHEMA,
            "image": {
                "file_name": self.file_name,
                "width": self.width,
                "height": self.height,
                "sha256": self.sha256,
            },
            "recipe": self.recipe,
            "segments": segments,
        }

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> Labeling:
        """The inverse of `to_dict`. Raises ValueError if `d` is not a valid zeroguide/1."""
        schema = d.get("schema") if isinstance(d, dict) else None
        if schema != SCHEMA:
            raise ValueError(f"expected schema {SCHEMA!r}, got {schema!r}")
        try:
            image, entries = d["image"], d["segments"]
            size = [int(image["height"]), int(image["width"])]
            label_map = np.zeros(size, np.int32)
            segments = []
            encoded = [e["embedding"] for e in entries if "embedding" in e]
            if len(encoded) not in (0, len(entries)):
                raise ValueError("some segments have an embedding, others don't")
            rows = [np.frombuffer(base64.b64decode(row, validate=True), "<f2") for row in encoded]
            for e in entries:
                if e["segmentation"]["size"] != size:
                    raise ValueError(
                        f"segment {e['id']}: mask of size {e['segmentation']['size']} in a picture "
                        f"of size {size}"
                    )
                mask = coco_mask.decode(e["segmentation"]).astype(bool)
                if label_map[mask].any():
                    raise ValueError(f"segment {e['id']} overlaps another segment")
                label_map[mask] = e["id"]
                x, y, w, h = e["bbox"]
                segments.append(
                    Segment(
                        id=e["id"],
                        label=e["label"],
                        score=float(e["score"]),
                        confidence=float(e["confidence"]),
                        alternatives=tuple((label, float(s)) for label, s in e["alternatives"]),
                        merged_from=tuple(e["merged_from"]),
                        bbox=(x, y, w, h),
                        area=e["area"],
                    )
                )
            embeddings = np.stack(rows) if rows else None
            return cls(
                image["file_name"],
                image["sha256"],
                label_map,
                tuple(segments),
                d["recipe"],
                embeddings,
            )
        except KeyError as e:
            raise ValueError(f"the field {e} is missing") from e
        except TypeError as e:
            raise ValueError(f"a field has the wrong type: {e}") from e

    def save(self, path: str | PathLike[str]) -> None:
        """Write JSON; see `zeroguide.formats.json_.save`."""
        from zeroguide.formats import json_  # it imports this module

        json_.save(self, path)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Labeling:
        """Read what `save` wrote; see `zeroguide.formats.json_.load`."""
        from zeroguide.formats import json_

        return json_.load(path)


def regions(label_map: np.ndarray, n: int) -> list[tuple[tuple[int, int, int, int], int]]:
    """((x, y, width, height), area) of the ids 1..n of a label map (H, W) with ids 1..n.

    Raises ValueError if an id has no pixel.
    """
    height, width = label_map.shape
    in_row = np.zeros((height, n + 1), bool)  # which ids a row holds: one pass for all of them
    in_row[np.arange(height)[:, None], label_map] = True
    in_column = np.zeros((width, n + 1), bool)
    in_column[np.arange(width)[None, :], label_map] = True
    areas = np.bincount(label_map.ravel(), minlength=n + 1)
    found = []
    for id in range(1, n + 1):
        if areas[id] == 0:
            raise ValueError(f"segment {id} has no pixel")
        rows, columns = np.flatnonzero(in_row[:, id]), np.flatnonzero(in_column[:, id])
        x, y = int(columns[0]), int(rows[0])
        found.append(((x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1), int(areas[id])))
    return found
