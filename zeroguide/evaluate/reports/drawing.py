"""Pictures for a report: an image's segments and its truth, drawn alike, from the rows of a run."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from zeroguide.errors import ZeroguideError
from zeroguide.evaluate.datasets import Dataset, Regions
from zeroguide.evaluate.scoring.masks import rle
from zeroguide.evaluate.scoring.rows import Masks, read_rows
from zeroguide.result import Label, Labeling
from zeroguide.result.rle import decode

if TYPE_CHECKING:
    import PIL.Image

    from zeroguide.evaluate.reports.pictures import Pictures
    from zeroguide.image import Image

NOTHING = "-"
"""What pixels of no segment, or of no region, are called in a picture."""


def pictures(dataset: Dataset, folder: str | PathLike[str]) -> Pictures:
    """The name of an image -> its result and its truth; None if either can't be had."""
    samples = {sample.name: sample for sample in dataset}
    rows = read_rows(folder)

    def both(name: str) -> tuple[PIL.Image.Image, PIL.Image.Image] | None:
        row = rows[name]
        if row.masks is None:
            return None
        try:
            image = samples[name].open_image()
            regions = samples[name].regions()
        except ZeroguideError:
            return None
        result = labeling_of(image, segment_map(row.masks), row.labels)
        return result.overlay(), truth_labeling(dataset, image, regions).overlay()

    return both


def segment_map(masks: Masks) -> np.ndarray:
    """(H, W) int32 index of the segment at each pixel, -1 for none; the highest score is on top."""
    label_map = np.full(masks.size, -1, dtype=np.int32)
    for index in np.argsort(masks.scores, kind="stable"):
        label_map[decode(rle(masks.predicted[index], masks.size))] = index
    return label_map


def truth_labeling(dataset: Dataset, image: Image, regions: Regions) -> Labeling:
    """The truth as a labeling: each region by its class; the rest is `NOTHING`."""
    names = [dataset.classes[i].name if i >= 0 else NOTHING for i in regions.classes]
    return labeling_of(image, regions.label_map, names)


def labeling_of(image: Image, label_map: np.ndarray, labels: Sequence[str]) -> Labeling:
    """A labeling, its picture in it, of segments that may have no pixel.

    label_map: (H, W) index of each pixel's label, -1 for none. Pixels without a label, and those of
    an empty one, become segments called `NOTHING`.
    """
    present, numbers = np.unique(label_map, return_inverse=True)
    shown = [
        Label(labels[i] or NOTHING if i >= 0 else NOTHING, 0.0, 0.0, (), (1,)) for i in present
    ]
    numbers = numbers.reshape(label_map.shape).astype(np.int32)
    return Labeling.build(image, numbers, shown, {}).with_image(image.pixels)
