"""What an evaluation found: results.json, schema zeroguide-evaluation/1.

Everything a report shows and a comparison needs: summary numbers with intervals, and the images'
own numbers from which intervals, and paired differences of two runs, can be computed again.
Numbers are in the unit of `METRICS`, percent mostly; NaN, where a metric has no value, is null.

    results = Results.load("out/results.json")
    numerators, denominators = results.image_sums("miou/TT")
    of_ratio(numerators, denominators)           # the summary's value and interval
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, TypeAdapter, ValidationError

from zeroguide.errors import ZeroguideError
from zeroguide.evaluate.scoring.metrics_table import METRICS, PROTOCOLS, Unit, key, split_key
from zeroguide.system.files import write_atomically

__all__ = [
    "METRICS", "PROTOCOLS", "SCHEMA", "ClassRow", "Confusion", "Curve", "DatasetInfo", "ImageRow",
    "Results", "Source", "Sums", "Value", "image_sums", "key", "make_value", "split_key",
]  # fmt: skip

WORDNET, SENTENCE_ENCODER = "WordNet", "sentence encoder"  # what a run may have to do without
RESULTS = "results.json"  # its name in the folder of an evaluation
SCHEMA: Literal["zeroguide-evaluation/1"] = "zeroguide-evaluation/1"
Stage = Literal["full", "true-masks", "true-names", "segments"]

Number = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
"""A float whose NaN is null in JSON."""


@dataclass(frozen=True)
class DatasetInfo:
    """What was scored: the data set's name, split (or world), number of images and of classes."""

    name: str
    split: str | None
    n_images: int
    n_classes: int


@dataclass(frozen=True)
class Source:
    """What made the predictions.

    kind: our pipeline, or a folder of predictions. stage: "full", or which part the truth stood in
    for: "true-masks" (true regions, our names), "true-names" (our segments, true names); or
    "segments" (ours without names). recipe: provenance and all knobs. folder: that of the
    predictions.
    """

    kind: Literal["pipeline", "predictions"]
    stage: Stage
    recipe: dict[str, Any] | None = None
    folder: str | None = None


@dataclass(frozen=True)
class Value:
    """One number of the summary, with its 95 % interval over images (NaN where it has none)."""

    protocol: str
    metric: str
    variant: str
    value: Number
    low: Number
    high: Number
    unit: Unit
    higher_is_better: bool
    n_images: int

    @property
    def key(self) -> str:
        """How images' and classes' rows name it."""
        return key(self.metric, self.variant)


@dataclass(frozen=True)
class ClassRow:
    """One class: its true pixels in all images, and its value by `key`, in the metric's unit."""

    name: str
    pixels: int
    values: dict[str, Number]


@dataclass(frozen=True)
class Sums:
    """One image's part of a ratio of sums over images, sparse.

    index: columns (classes) where the denominator isn't 0. num, den: one number for each; their
    quotient is a share in [0, 1].
    """

    index: tuple[int, ...]
    num: tuple[float, ...]
    den: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.index) == len(self.num) == len(self.den):
            raise ValueError("index, num and den of one image differ in length")
        if any(column < 0 for column in self.index):
            raise ValueError("an index is negative")


@dataclass(frozen=True)
class ImageRow:
    """One image: what went wrong, or its numbers by `key`.

    values: of metrics that are means over images, in the metric's unit. sums: of ratio metrics.
    """

    name: str
    error: str | None = None
    seconds: float | None = None
    n_segments: int | None = None
    values: dict[str, Number] = field(default_factory=dict)
    sums: dict[str, Sums] = field(default_factory=dict)


@dataclass(frozen=True)
class Confusion:
    """Pixels of the class `true` that were called `label`, and how many segments that were."""

    true: str
    label: str
    pixels: int
    segments: int


@dataclass(frozen=True)
class Curve:
    """y over x, of equal length."""

    x: tuple[Number, ...]
    y: tuple[Number, ...]


@dataclass(frozen=True, kw_only=True)
class Results:
    """One evaluation; see the module. The fields are those of results.json.

    seed: the recipe's. peak_memory_mib: NaN if not measured.
    seconds: of the whole run, from start or resumption to end.
    headline: `key` of the number that the run is known by; None if it has none of that kind.
    missing: what the run did without ("WordNet", "sentence encoder"), each with a sentence that
    says why and what to do.
    """

    schema: Literal["zeroguide-evaluation/1"] = SCHEMA
    dataset: DatasetInfo
    source: Source
    versions: dict[str, str]
    seed: int
    device: str | None
    sentence_encoder: str | None
    seconds: float
    peak_memory_mib: Number
    summary: tuple[Value, ...]
    classes: tuple[ClassRow, ...]
    images: tuple[ImageRow, ...]
    confusions: tuple[Confusion, ...] = ()
    curves: dict[str, Curve] = field(default_factory=dict)
    headline: str | None = None
    missing: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.headline is not None and self.headline not in {v.key for v in self.summary}:
            raise ValueError(f"the headline {self.headline} isn't in the summary")
        for value in self.summary:
            if value.metric not in METRICS or value.protocol != METRICS[value.metric].protocol:
                raise ValueError(f"{value.protocol} has no metric {value.metric}")
        names = [row.name for row in self.images]
        if len(set(names)) < len(names):
            raise ValueError("two images have the same name")

    @property
    def scored(self) -> tuple[ImageRow, ...]:
        """The images without an error."""
        return tuple(row for row in self.images if row.error is None)

    def value(self, name: str) -> Value:
        """The summary's number with this `key`; KeyError if there is none."""
        for value in self.summary:
            if value.key == name:
                return value
        raise KeyError(name)

    def image_sums(
        self, name: str, images: Sequence[str] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """What `metrics.bootstrap` takes: the images' numerators and denominators.

        Args:
            name: a `key`.
            images: names in the wanted order, all of them scored; None: all scored ones.

        Returns:
            Two (n, C) float64 arrays, C = 1 for means over images; the ratio is in the metric's
            unit.

        Raises KeyError if no image has such numbers, as for AP, or an image isn't scored.
        """
        by_name = {row.name: row for row in self.scored}
        rows = [by_name[image] for image in images] if images is not None else list(self.scored)
        return image_sums(rows, name)

    def to_json(self) -> str:
        """JSON text of the schema, NaN as null, without line breaks."""
        return _adapter().dump_json(self).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Results:
        """The inverse of `to_json`. ValueError if it isn't a valid zeroguide-evaluation/1."""
        try:
            return _adapter().validate_json(text, strict=False)
        except ValidationError as e:
            first = e.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise ValueError(f"{where}: {first['msg']}" if where else first["msg"]) from None

    def save(self, path: str | PathLike[str]) -> None:
        """Write results.json, whole or not at all. ZeroguideError if it can't be written."""
        write_atomically(path, (self.to_json() + "\n").encode())

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Results:
        """Read what `save` wrote, by its path or its folder's.

        Raises ZeroguideError if it is missing, damaged or another kind.
        """
        path = Path(path)
        try:
            return cls.from_json((path / RESULTS if path.is_dir() else path).read_bytes())
        except OSError as e:
            raise ZeroguideError(f"{path}: can't be read ({e.strerror}); check the path.") from None
        except ValueError as e:
            raise ZeroguideError(
                f"{path}: not a result of `zeroguide eval` ({e}); name its results.json."
            ) from None


def image_sums(rows: Sequence[ImageRow], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Numerators and denominators of rows without error; see `Results.image_sums`."""
    scale = split_key(name)[0].scale
    if any(name in row.sums for row in rows):
        none = Sums((), (), ())
        parts = [row.sums.get(name, none) for row in rows]
        width = 1 + max((max(part.index, default=0) for part in parts), default=0)
        numerators, denominators = np.zeros((2, len(rows), width))
        for i, part in enumerate(parts):
            index = list(part.index)
            numerators[i, index] = part.num
            denominators[i, index] = part.den
        return numerators * scale, denominators
    if not any(name in row.values for row in rows):
        raise KeyError(name)
    values = np.array([row.values.get(name, math.nan) for row in rows])[:, None]
    known = ~np.isnan(values)
    return np.where(known, values, 0.0), known.astype(np.float64)


def make_value(
    name: str, value: float, low: float, high: float, n_images: int, *, scale: float = 1.0
) -> Value:
    """A number of the summary by its `key`; the rest of its fields are those of the table."""
    metric, variant = split_key(name)
    return Value(
        protocol=metric.protocol,
        metric=metric.name,
        variant=variant,
        value=value * scale,
        low=low * scale,
        high=high * scale,
        unit=metric.unit,
        higher_is_better=metric.higher_is_better,
        n_images=n_images,
    )


@cache
def _adapter() -> TypeAdapter[Results]:
    return TypeAdapter(Results)
