"""Centre squares of a data set's images and truths, as unsupervised segmentation is scored.

The protocol of PiCIE's and STEGO's tables (Hamilton et al., ICLR 2022; released code): shorter side
320, centre crop 320. A crop is part of what is scored, not of how it is counted: the method sees
the square alone, so its features, its segments and its time are those of the square. That is why it
is a view of the data set that every protocol, stage and predictor can be given, and why it has a
name of its own, "coco-stuff-27, crop 320": rows of another crop are never gone on with, comparisons
refuse it as other data, tables and reports say it.

As in the released code images, too, are scaled to the nearest pixel (STEGO's `get_transform`), and
sizes are rounded as torchvision's Resize and CenterCrop do: the same pixels as there.

Failure modes: objects outside the square are gone, and those cut by its border count as what is
left of them. Predictions made elsewhere must be of the squares; `zeroguide eval --crop` hands them
to our own pipeline.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image

from zeroguide.evaluate.datasets.base import VOID, Dataset, Entry, Regions, Sample, number_regions
from zeroguide.image import Image, from_array
from zeroguide.image.value_range import Range

STEGO_CROP = 320
"""Side of the published tables' crops, in pixels."""

SMALLEST = 16
"""Of sides, in pixels: what a network's patches need."""


class Cropped(Dataset):
    """A data set's samples, each scaled to a shorter side of `side` and cut to its centre square.

    Args:
        whole: the data set; its samples are read, checked and selected as ever.
        side: of the square, in pixels.
    """

    def __init__(self, whole: Dataset, side: int) -> None:
        super().__init__(cropped_name(whole.name, side), whole.classes, (), whole.source)
        self.whole = whole
        self.side = side
        self.background = whole.background
        self.split = whole.split
        self._take_entries()

    def select(self, limit: int | None, seed: int | None) -> None:
        """As `Dataset.select`, of the whole data set too."""
        self.whole.select(limit, seed)
        self._take_entries()

    def check(self) -> None:
        """As `Dataset.check`, of the files as they are."""
        self.whole.check()

    def open_image(self, entry: Entry, value_range: Range | None = None) -> Image:
        """The square of the picture, (side, side, 3) uint8."""
        image = self.whole.open_image(self._originals[entry.name], value_range)
        return from_array(centre_square(image.pixels, self.side), image.file_name)

    def read_semantic(self, entry: Entry) -> np.ndarray:
        """(side, side) int32 class indices of an entry, -1 void."""
        return centre_square(self._sample(entry).semantic(), self.side)

    def read_annotations(self, entry: Entry) -> tuple[Regions, ...]:
        """All annotators' regions of an entry, without those outside the square."""
        return tuple(_crop_regions(each, self.side) for each in self._sample(entry).annotations())

    @property
    def tells_objects_apart(self) -> bool:
        """Whether the whole data set does."""
        return self.whole.tells_objects_apart

    def truth_files(self, entry: Entry) -> tuple[Path, ...]:
        """Those of the whole sample."""
        return self.whole.truth_files(self._originals[entry.name])

    def _take_entries(self) -> None:
        self._originals = {entry.name: entry for entry in self.whole.entries}
        self.entries = tuple(Entry(each.name, None, each.truth) for each in self.whole.entries)

    def _sample(self, entry: Entry) -> Sample:
        """The whole sample, which compares truth and image before anything is cut off."""
        return Sample(self.whole, self._originals[entry.name])


def cropped_name(name: str, side: int) -> str:
    """What a data set's crop is called in results and tables."""
    return f"{name}, crop {side}"


def centre_square(pixels: np.ndarray, side: int) -> np.ndarray:
    """(side, side, ...) of (H, W, 3) uint8 pixels, or of (H, W) int32 ids, to the nearest pixel."""
    height, width = pixels.shape[:2]
    shorter = min(height, width)
    # Rounded down, and to even: as torchvision does it.
    new_height, new_width = (int(side * n / shorter) for n in (height, width))
    scaled = PIL.Image.fromarray(pixels).resize(
        (new_width, new_height), PIL.Image.Resampling.NEAREST
    )
    top, left = round((new_height - side) / 2), round((new_width - side) / 2)
    return np.asarray(scaled.crop((left, top, left + side, top + side)))


def _crop_regions(regions: Regions, side: int) -> Regions:
    """The regions in the square, numbered anew in their order."""
    label_map, kept = number_regions(centre_square(regions.label_map, side), VOID)
    return Regions(label_map, regions.classes[kept], regions.crowd[kept])
