"""What a data set with ground truth is: classes, samples, and a check before the run.

A reader (one module per data set) lists its entries and decodes one truth at a time. What all
readers promise is here: a fixed order, void as -1, image and truth of one size, and errors of one
sentence that name the file and the remedy.

Failure modes: `Dataset.check` finds every missing file, but decodes only `CHECKED` truths, evenly
spread: a damaged mask between them is reported when its sample is read. Images are turned as their
EXIF data say, masks are not: one that was drawn on the unturned image is refused if it is a quarter
turn off, and not noticed if it is upside down.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from zeroguide.errors import ImageError, UsageError, ZeroguideError
from zeroguide.evaluate.datasets.files import image_size, require_files
from zeroguide.evaluate.metrics.overlap import VOID
from zeroguide.image import Image, open_image
from zeroguide.image.value_range import Range

CHECKED = 50
"""How many samples `Dataset.check` decodes: a second or two, also for a set of 100,000."""


@dataclass(frozen=True)
class ClassName:
    """One class: a natural name, what else it may be called, and the name in the data set's files.

    Attributes:
        name: spelled as a person would write it ("dining table"); unique within a data set.
        synonyms: other words for the same; none is the name of another class of the data set.
        kind: "thing" (countable), "stuff", or None where the data set doesn't say.
        official: the data set's own spelling ("diningtable"), equal to `name` if it is the same.
    """

    name: str
    synonyms: tuple[str, ...] = ()
    kind: Literal["thing", "stuff"] | None = None
    official: str = ""

    def __post_init__(self) -> None:
        if not self.official:
            object.__setattr__(self, "official", self.name)


@dataclass(frozen=True)
class Regions:
    """The annotated regions of one image.

    Attributes:
        label_map: (H, W) int32, region ids 0..n-1, -1 where there is no region.
        classes: (n,) int32, the class index of each region; -1 where regions have no names.
        crowd: (n,) bool, True for a group of objects under one mask, which PQ and AP leave out.
    """

    label_map: np.ndarray
    classes: np.ndarray
    crowd: np.ndarray


@dataclass(frozen=True)
class Entry:
    """Where one sample lies: a name unique in the data set, its image and its truth.

    image: the file with the very pixels that are scored; None where they are rendered or cut out.
    """

    name: str
    image: Path | None
    truth: Path | None


@dataclass(frozen=True)
class Sample:
    """One image with its truth; nothing is read before it is asked for, nothing is kept."""

    dataset: Dataset
    entry: Entry

    @property
    def name(self) -> str:
        """Unique in the data set: the image file's name without its ending, with folders if any."""
        return self.entry.name

    @property
    def image(self) -> Path | None:
        """The image file; None where images are rendered or cut out of others."""
        return self.entry.image

    def open_image(self, value_range: Range | None = None) -> Image:
        """The picture, (H, W, 3) uint8, upright; ImageError if the file can't be read.

        value_range : as of `zeroguide.image.opening.open_image`
        """
        return self.dataset.open_image(self.entry, value_range)

    def semantic(self) -> np.ndarray:
        """(H, W) int32 class indices 0..C-1, -1 void.

        Raises ZeroguideError: a damaged file, a size other than the image's, an unknown class id.
        """
        return self._of_image_size(self.dataset.read_semantic(self.entry))

    def regions(self) -> Regions:
        """The first (mostly: the only) annotation of the regions; errors as in `semantic`.

        Objects one by one where the data set tells them apart; otherwise one region per class
        that occurs, without the background class.
        """
        return self.annotations()[0]

    def annotations(self) -> tuple[Regions, ...]:
        """Every annotator's regions, at least one; errors as in `semantic`."""
        annotations = self.dataset.read_annotations(self.entry)
        for regions in annotations:
            self._of_image_size(regions.label_map)
        return annotations

    def check_size(self, size: tuple[int, ...]) -> None:
        """ZeroguideError unless (height, width) are the image's, whose header alone is read."""
        if self.entry.image is None:
            return
        expected = image_size(self.entry.image)
        if size != expected:
            raise ZeroguideError(
                f"{self.entry.truth}: the truth is {size[1]} x {size[0]} pixels but its image "
                f"{self.entry.image} is {expected[1]} x {expected[0]}; "
                + (
                    "turn it as the image's EXIF data turn the image."
                    if size == expected[::-1]
                    else "use masks made for these very images."
                )
            )

    def _of_image_size(self, label_map: np.ndarray) -> np.ndarray:
        """Pass a truth on if it is as large as the image."""
        self.check_size(label_map.shape)
        return label_map


class Dataset(ABC):
    """A sequence of `Sample` in a fixed order.

    Attributes:
        name: the name in the registry.
        classes: index i of a semantic truth is `classes[i]`.
        background: index of a class that means "nothing of interest", or None.
        split: the part that was opened; None where there are no parts.
        entries: what the samples are made from, in order; `select` shortens it.
        source: where the data is had, for messages.
    """

    background: int | None = None
    split: str | None = None

    def __init__(
        self, name: str, classes: Sequence[ClassName], entries: Sequence[Entry], source: str
    ) -> None:
        self.name = name
        self.classes = tuple(classes)
        self.entries = tuple(entries)
        self.source = source

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Sample:
        return Sample(self, self.entries[index])

    def __iter__(self) -> Iterator[Sample]:
        return (Sample(self, entry) for entry in self.entries)

    def select(self, limit: int | None, seed: int | None) -> None:
        """Keep the first `limit` samples, or with a seed that many drawn at random, in order."""
        if limit is None or limit >= len(self.entries):
            return
        if seed is None:
            self.entries = self.entries[:limit]
            return
        drawn = np.random.default_rng(seed).choice(len(self.entries), limit, replace=False)
        self.entries = tuple(self.entries[i] for i in sorted(drawn))

    def check(self) -> None:
        """Raise one sentence about the first thing that is wrong, before anything expensive runs.

        Every file must be there (each folder is listed once), every mask that is a picture must be
        as large as its image (headers only), and `CHECKED` samples are decoded: class ids, damage.
        UsageError or ZeroguideError.
        """
        if not self.entries:
            raise UsageError(f"the data set {self.name} is empty: get it from {self.source}.")
        require_files([entry.image for entry in self.entries if entry.image], self.source)
        require_files([entry.truth for entry in self.entries if entry.truth], self.source)
        for entry in self.entries:
            if entry.image and entry.truth and entry.truth.suffix.lower() in (".png", ".tif"):
                sample = Sample(self, entry)
                try:
                    sample.check_size(image_size(entry.truth))
                except ImageError:
                    sample.semantic()  # says what is wrong with it as a mask
        step = max(1, len(self.entries) // CHECKED)
        for entry in self.entries[::step][:CHECKED]:
            sample = Sample(self, entry)
            sample.semantic()
            sample.annotations()

    def open_image(self, entry: Entry, value_range: Range | None = None) -> Image:
        """The picture of an entry, (H, W, 3) uint8."""
        if entry.image is None:
            raise ValueError(f"{entry.name} has no image file")
        return open_image(entry.image, value_range)

    @property
    def tells_objects_apart(self) -> bool:
        """Whether regions can be more than one per class."""
        return type(self).read_annotations is not Dataset.read_annotations

    def truth_files(self, entry: Entry) -> tuple[Path, ...]:
        """Every file that an entry's truth is read from, whether it is there or not."""
        return () if entry.truth is None else (entry.truth,)

    def stamp(self, entry: Entry) -> str:
        """Names, sizes and times of change of its `truth_files`: results of another are stale."""
        found = []
        for path in self.truth_files(entry):
            with contextlib.suppress(OSError):  # reading it says what is wrong
                stat = path.stat()
                found.append(f"{path.name} {stat.st_size} {stat.st_mtime_ns}")
        return "; ".join(found)

    @abstractmethod
    def read_semantic(self, entry: Entry) -> np.ndarray:
        """(H, W) int32 class indices of an entry, -1 void."""

    def read_annotations(self, entry: Entry) -> tuple[Regions, ...]:
        """All annotators' regions of an entry; by default one region per class that occurs."""
        return (semantic_regions(self.read_semantic(entry), self.background),)


def semantic_regions(semantic: np.ndarray, background: int | None) -> Regions:
    """One region per class that occurs in (H, W) class indices, background and void left out."""
    keys = semantic if background is None else np.where(semantic == background, VOID, semantic)
    label_map, classes = number_regions(keys, VOID)
    return Regions(label_map, classes.astype(np.int32), np.zeros(len(classes), dtype=bool))


def number_regions(keys: np.ndarray, void: int) -> tuple[np.ndarray, np.ndarray]:
    """Region ids in the order of their keys.

    Args:
        keys: (H, W) integers, at least one, equal within a region.
        void: the key of what is no region.

    Returns:
        (H, W) int32 ids 0..n-1, -1 void, and the (n,) keys.
    """
    # Neighbours mostly are of one region: sorting runs instead of pixels is ten times faster.
    flat = keys.ravel()
    starts = np.append(0, np.flatnonzero(flat[1:] != flat[:-1]) + 1)
    present, ids = np.unique(flat[starts], return_inverse=True)
    numbers = np.cumsum(present != void, dtype=np.int32) - 1
    numbers[present == void] = VOID
    label_map = np.repeat(numbers[ids], np.diff(starts, append=len(flat)))
    return label_map.reshape(keys.shape), present[present != void]
