"""Cityscapes (Cordts et al., CVPR 2016): 19 evaluated classes, or the 27 of unsupervised work.

Masks are ``gtFine/val/CITY/NAME_gtFine_labelIds.png`` with ids 0 to 33. The 19 are those the
benchmark scores; the 27 (IIC, PiCIE, STEGO) are the ids 7 to 33. All other ids are void. Objects
come from ``NAME_gtFine_instanceIds.png``: id * 1000 + number for a single object; for a group of
objects, and for stuff, the id itself.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np

from zeroguide.errors import UsageError
from zeroguide.evaluate.datasets.base import VOID, Dataset, Entry, Regions, number_regions
from zeroguide.evaluate.datasets.classes import read_classes
from zeroguide.evaluate.datasets.files import files_by_stem, find_root
from zeroguide.evaluate.datasets.masks import ObjectMaskDataset
from zeroguide.image.ids import read_ids

SOURCE = "https://www.cityscapes-dataset.com/downloads/ (leftImg8bit and gtFine)"
_IMAGE, _MASK, _OBJECTS = "_leftImg8bit", "_gtFine_labelIds.png", "_gtFine_instanceIds.png"
_N_IDS = 34


class Cityscapes(ObjectMaskDataset):
    """Class masks, with instanceIds.png beside them."""

    def object_mask(self, class_mask: Path) -> Path:
        """``NAME_gtFine_instanceIds.png``."""
        return class_mask.with_name(class_mask.name.replace(_MASK, _OBJECTS))

    def read_objects(self, entry: Entry, path: Path) -> Regions:
        """Objects one by one, stuff by class."""
        keys = read_ids(path)
        single = keys >= 1000
        classes = self.lookup(np.where(single, keys // 1000, keys), path)
        label_map, ids = number_regions(np.where(classes == VOID, VOID, keys), void=VOID)
        class_of = self.lookup(np.where(ids >= 1000, ids // 1000, ids), path)
        things = np.array([each.kind == "thing" for each in self.classes])
        return Regions(label_map, class_of, (ids < 1000) & things[class_of])


def load_cityscapes(root: str | PathLike[str], split: str, n_classes: int) -> Dataset:
    """The split ("val", "train") with 19 or 27 classes; UsageError names what is missing."""
    root = find_root(root, [f"gtFine/{split}"], SOURCE)
    cities = sorted(folder for folder in (root / "gtFine" / split).iterdir() if folder.is_dir())
    entries = []
    for city in cities:
        pictures = root / "leftImg8bit" / split / city.name
        for name, image in files_by_stem(pictures, (".png",)).items():
            name = name.removesuffix(_IMAGE)
            entries.append(Entry(f"{city.name}/{name}", image, city / f"{name}{_MASK}"))
    if not entries:
        raise UsageError(f"{root / 'gtFine' / split}: holds no city; get it from {SOURCE}.")
    name = f"cityscapes-{n_classes}"
    listed = read_classes(name.replace("-", "_"))
    others = set(range(_N_IDS)) - set(listed.ids)
    return Cityscapes(name, listed.classes, entries, SOURCE, lookup=listed.lookup(*others))
