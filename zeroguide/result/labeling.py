"""The result of labelling one picture: which pixel belongs to which segment, and its name.

Every pixel belongs to exactly one segment. Ids run from 1 without gaps, because annotation tools
read 0 as "no label".
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from pycocotools import mask as coco_mask

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.result.formats import json_
from zeroguide.result.segment import Label, Segment, regions

if TYPE_CHECKING:
    import PIL.Image

    from zeroguide.image import ImageSource

PICTURES = (".png", ".jpg", ".jpeg", ".webp")  # what `save` writes the overlay to


class ImageLike(Protocol):
    """What `Labeling.build` needs of a picture."""

    @property
    def file_name(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def pixels(self) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class Labeling:
    """All segments of one picture.

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

    def rles(self) -> list[dict[str, Any]]:
        """Every segment's mask as COCO's compressed RLE, ready for JSON: {"size", "counts"}."""
        columns = np.asfortranarray(self.label_map)  # COCO's RLE runs down the columns
        encoded = (coco_mask.encode((columns == s.id).view(np.uint8)) for s in self.segments)
        size = [self.height, self.width]
        return [{"size": [*size], "counts": rle["counts"].decode("ascii")} for rle in encoded]

    @property
    def pixels(self) -> np.ndarray:
        """The picture that was labelled: (H, W, 3) uint8 RGB; a file is read at every use.

        Raises ZeroguideError if it isn't known or has changed, ImageError if it can't be read.
        """
        from zeroguide.result.pixels import read_pixels

        return read_pixels(self)

    def with_image(self, image: ImageSource) -> Labeling:
        """The same labels, which know their picture: for those that were loaded from JSON.

        image: the file that was labelled, or a copy of it as an array or a Pillow image, which
        stays in memory. Raises ZeroguideError for another picture, ImageError for none.
        """
        from zeroguide.result.pixels import reference

        known = replace(self, picture=reference(image, self.recipe))
        if known.pixels.shape[:2] != self.label_map.shape:
            height, width = known.pixels.shape[:2]
            raise ZeroguideError(
                f"{self.file_name}: has {self.width} x {self.height} pixels, not {width} x "
                f"{height}; give the picture that was labelled"
            )
        return known

    def overlay(self, *, legend: Literal["auto", "always", "never"] = "auto") -> PIL.Image.Image:
        """The picture with all segments and their labels; see `zeroguide.result.overlay.draw`."""
        from zeroguide.result.overlay import draw

        return draw(self, self.pixels, legend=legend)

    def show(self) -> None:
        """Show the overlay: in a notebook below the cell, else in a window.

        Raises ZeroguideError where there is no screen or no viewer of images, and what `pixels`
        raises.
        """
        from zeroguide.result.display import show

        show(self.overlay())

    def crop(self, id: int) -> PIL.Image.Image:
        """Segment `id` cut out, RGBA, of the size of its box; all other pixels are transparent.

        Raises UsageError if there is no such segment, and what `pixels` raises.
        """
        from zeroguide.result.pixels import cut_out

        return cut_out(self, id)

    def table(self) -> Any:
        """The segments as a pandas DataFrame by id; a list of dictionaries without pandas.

        Columns: id, label, confidence, score, share (of the picture, 0 to 1), area, bbox,
        alternatives, composed.
        """
        from zeroguide.result.display import to_table

        return to_table(self)

    def to_coco(self) -> dict[str, Any]:
        """COCO instances, ready for JSON or pycocotools; see `zeroguide.result.formats.coco`."""
        from zeroguide.result.formats.coco import to_coco

        return to_coco(self)

    def to_dict(self) -> dict[str, Any]:
        """The schema zeroguide/1, ready for JSON; see `zeroguide.result.formats.json_`."""
        return json_.to_dict(self)

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> Labeling:
        """The inverse of `to_dict`. Raises ValueError if `d` is not a valid zeroguide/1."""
        try:
            return cls(**json_.fields(d))
        except TypeError as e:
            raise ValueError(f"a field has the wrong type: {e}") from None

    def save(self, path: str | PathLike[str]) -> None:
        """Write JSON (.json), or the overlay (.png, .jpg, .jpeg, .webp).

        Raises UsageError for another ending and for the labelled picture's own file, ZeroguideError
        if the file can't be written, and for overlays what `pixels` raises.
        """
        from zeroguide.result.pixels import check_target, save_overlay

        path = Path(path)
        check_target(self, path)
        if path.suffix.lower() in PICTURES:
            save_overlay(self, path)
        elif path.suffix.lower() == ".json":
            json_.save(self, path)
        else:
            raise UsageError(
                f"{path}: ends neither in .json nor like a picture ({', '.join(PICTURES)}); choose "
                "another name"
            )

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Labeling:
        """Read the JSON that `save` wrote.

        The picture is known if it lies beside the JSON, or beside the folder of results. Raises
        ZeroguideError if the file is missing, damaged or another kind.
        """
        from zeroguide.result.pixels import find

        try:
            labeling = cls.from_dict(json.loads(Path(path).read_bytes()))
        except OSError as e:
            raise ZeroguideError(f"{path}: can't be read ({e.strerror}); check the path.") from None
        except ValueError as e:  # also JSONDecodeError and UnicodeDecodeError
            raise ZeroguideError(
                f"{path}: not a zeroguide result ({e}); label the picture again."
            ) from None
        return replace(labeling, picture=find(labeling, Path(path)))

    def __repr__(self) -> str:
        total = self.width * self.height
        found = [f"{' '.join(s.label.split())} {s.area / total:.0%}" for s in self.segments[:3]]
        more = f" and {len(self.segments) - 3} more" if len(self.segments) > 3 else ""
        return (
            f"<Labeling of {self.file_name}, {self.width} x {self.height}: "
            f"{', '.join(found)}{more}>"
        )

    def _repr_html_(self) -> str:
        from zeroguide.result.display import to_html

        return to_html(self)
