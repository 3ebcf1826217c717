"""COCO-Stuff (Caesar et al., CVPR 2018): all of COCO's 80 things and 91 stuff classes as masks.

The masks of ``stuffthingmaps_trainval2017.zip`` hold COCO's category id minus one, 0 to 181 with
gaps, and 255 where unlabelled.

`coco-stuff-171` is every image of a split. `coco-stuff-27` is the coarse set of unsupervised
segmentation (Ji et al., IIC, ICCV 2019; used by PiCIE and STEGO): the super-categories, 12 of
things and 15 of stuff, on the images of the curated list (val: 2,175), which isn't part of COCO.
``classes/coco_stuff_coarse.tsv`` says which ids make up each.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from zeroguide.errors import UsageError
from zeroguide.evaluate.datasets.base import VOID, Dataset, Entry
from zeroguide.evaluate.datasets.classes import read_classes, read_table
from zeroguide.evaluate.datasets.files import find_root, first_folder, read_lines
from zeroguide.evaluate.datasets.lookup import Lookup
from zeroguide.evaluate.datasets.masks import MaskDataset, paired_entries

SOURCE = "https://github.com/nightrome/cocostuff (stuffthingmaps_trainval2017.zip, val2017.zip)"
LIST_SOURCE = "https://github.com/xu-ji/IIC/tree/master/datasets"
_CURATED = "Coco164kFull_Stuff_Coarse_7.txt"


def load_coco_stuff(root: str | PathLike[str], split: str) -> Dataset:
    """All images of a split with the 171 classes; UsageError names what is missing."""
    root = Path(root)
    images, masks = _folders(root, split)
    entries = paired_entries(images, masks)
    fine = read_classes("coco_stuff")
    return MaskDataset("coco-stuff-171", fine.classes, entries, SOURCE, lookup=fine.lookup(255))


def load_coco_stuff_27(root: str | PathLike[str], split: str) -> Dataset:
    """The images of the curated list with the 27 coarse classes; UsageError as above."""
    root = Path(root)
    images, masks = _folders(root, split)
    top = find_root(root, [f"curated/{split}2017/{_CURATED}"], LIST_SOURCE)
    list_file = top / "curated" / f"{split}2017" / _CURATED
    names = read_lines(list_file, LIST_SOURCE)
    if len(set(names)) < len(names):
        raise UsageError(f"{list_file}: lists an image twice; get it again from {LIST_SOURCE}.")
    entries = [Entry(name, images / f"{name}.jpg", masks / f"{name}.png") for name in names]
    coarse = read_classes("coco_stuff_27")
    return MaskDataset(
        "coco-stuff-27", coarse.classes, entries, SOURCE, lookup=Lookup(fine_to_coarse())
    )


def fine_to_coarse() -> dict[int, int]:
    """A mask's id, gaps included -> index among the 27 classes; 255 -> -1."""
    indices = {255: VOID}
    for coarse, ids in read_table("coco_stuff_coarse"):
        indices |= dict.fromkeys(map(int, ids.split()), int(coarse))
    return indices


def _folders(root: Path, split: str) -> tuple[Path, Path]:
    """The folders of images and masks."""
    name = f"{split}2017"
    masks = [
        f"{folder}/{name}"
        for folder in ("stuffthingmaps", "stuffthingmaps_trainval2017", "annotations")
    ]
    top = find_root(root, masks, SOURCE)
    return first_folder(top, [f"images/{name}", name], SOURCE), first_folder(top, masks, SOURCE)
