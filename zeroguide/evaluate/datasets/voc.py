"""Pascal VOC 2012 segmentation (Everingham et al., IJCV 2015): 20 classes and background.

Palette PNGs hold the class in ``SegmentationClass`` and the object in ``SegmentationObject``; 0 is
background, 255 the border band around objects and what is too hard to tell, which is void. Regions
are the objects; background is none.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np

from zeroguide.errors import ZeroguideError
from zeroguide.evaluate.datasets.base import VOID, Dataset, Entry, Regions, number_regions
from zeroguide.evaluate.datasets.classes import read_classes
from zeroguide.evaluate.datasets.files import find_root, read_lines
from zeroguide.evaluate.datasets.masks import ObjectMaskDataset
from zeroguide.image.ids import read_ids

SOURCE = "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/ (VOCtrainval_11-May-2012.tar)"
_BORDER = 255


class Voc(ObjectMaskDataset):
    """Class masks, with those in ``SegmentationObject``."""

    def object_mask(self, class_mask: Path) -> Path:
        """``SegmentationObject/NAME.png``."""
        return class_mask.parents[1] / "SegmentationObject" / class_mask.name

    def read_objects(self, entry: Entry, path: Path) -> Regions:
        """The objects one by one."""
        objects = read_ids(path)
        semantic = self.read_semantic(entry)
        if objects.shape != semantic.shape:
            raise ZeroguideError(
                f"{path}: differs in size from {entry.truth}; unpack both again from {SOURCE}."
            )
        label_map, ids = number_regions(np.where(objects == _BORDER, 0, objects), void=0)
        # An object's class: that of most of its pixels.
        known = (label_map != VOID) & (semantic != VOID)
        counts = np.zeros((len(ids), len(self.classes)), dtype=np.int64)
        np.add.at(counts, (label_map[known], semantic[known]), 1)
        classes = np.where(counts.any(axis=1), counts.argmax(axis=1), VOID).astype(np.int32)
        return Regions(label_map, classes, np.zeros(len(ids), dtype=bool))


def load_voc(root: str | PathLike[str], split: str) -> Dataset:
    """The images of ``ImageSets/Segmentation/{split}.txt``; UsageError names what is missing."""
    list_name = f"ImageSets/Segmentation/{split}.txt"
    root = find_root(root, [list_name], SOURCE)
    entries = [
        Entry(name, root / "JPEGImages" / f"{name}.jpg", root / "SegmentationClass" / f"{name}.png")
        for name in read_lines(root / list_name, SOURCE)
    ]
    voc = read_classes("voc")
    return Voc("voc2012", voc.classes, entries, SOURCE, lookup=voc.lookup(_BORDER), background=0)
