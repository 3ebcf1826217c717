"""Data sets by name: what can be asked for, and the one function that opens it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path

from zeroguide.errors import UsageError, nearest
from zeroguide.evaluate.datasets.ade20k import load_ade20k_150, load_ade20k_847
from zeroguide.evaluate.datasets.base import Dataset
from zeroguide.evaluate.datasets.bsds500 import load_bsds500
from zeroguide.evaluate.datasets.camvid import load_camvid
from zeroguide.evaluate.datasets.cityscapes import load_cityscapes
from zeroguide.evaluate.datasets.coco_instances import load_coco_instances
from zeroguide.evaluate.datasets.coco_panoptic import load_coco_panoptic
from zeroguide.evaluate.datasets.coco_stuff import load_coco_stuff, load_coco_stuff_27
from zeroguide.evaluate.datasets.cropped import SMALLEST, Cropped
from zeroguide.evaluate.datasets.folder import load_folder
from zeroguide.evaluate.datasets.pascal_context import load_pascal_context
from zeroguide.evaluate.datasets.playroom import SCENES, SIZE, TEST_SEED, Playroom
from zeroguide.evaluate.datasets.saliency import load_saliency
from zeroguide.evaluate.datasets.voc import load_voc


@dataclass(frozen=True)
class _Reader:
    description: str
    load: Callable[[Path, str], Dataset]
    splits: tuple[str, ...] = ("val", "train")  # the first is the usual one


_READERS = {
    "folder": _Reader(
        "your own images/, labels/ and classes.txt", lambda root, _: load_folder(root), ("all",)
    ),
    "coco-instances": _Reader(
        "COCO instances: 80 things; or your own objects in this format", load_coco_instances
    ),
    "coco-panoptic": _Reader("COCO panoptic: 80 things, 53 stuff", load_coco_panoptic),
    "coco-stuff-171": _Reader("COCO-Stuff: 80 things, 91 stuff", load_coco_stuff),
    "coco-stuff-27": _Reader(
        "COCO-Stuff, 27 coarse classes on the curated images", load_coco_stuff_27
    ),
    "voc2012": _Reader(
        "Pascal VOC 2012: 20 classes and background", load_voc, ("val", "train", "trainval")
    ),
    "context-59": _Reader(
        "Pascal Context: the 59 most frequent classes", partial(load_pascal_context, n_classes=59)
    ),
    "context-459": _Reader(
        "Pascal Context: all 459 classes", partial(load_pascal_context, n_classes=459)
    ),
    "ade20k-150": _Reader("ADE20K scene parsing: 150 classes", load_ade20k_150),
    "ade20k-847": _Reader("ADE20K full: 847 classes", load_ade20k_847),
    "cityscapes-19": _Reader(
        "Cityscapes: the 19 scored classes", partial(load_cityscapes, n_classes=19)
    ),
    "cityscapes-27": _Reader(
        "Cityscapes: the 27 classes of unsupervised work", partial(load_cityscapes, n_classes=27)
    ),
    "camvid": _Reader("CamVid: SegNet's 11 classes", load_camvid, ("test", "val", "train", "all")),
    "saliency": _Reader(
        "images and binary masks: DUTS, ECSSD, DUT-OMRON", load_saliency, ("test", "train")
    ),
    "bsds500": _Reader(
        "BSDS500: segmentations by several people", load_bsds500, ("test", "val", "train")
    ),
}

DATASETS: dict[str, str] = {
    "playroom": "rendered scenes with exact truth; needs no files",
    **{name: reader.description for name, reader in _READERS.items()},
}
"""Every data set's name and what it is, in one phrase."""


def load_dataset(
    name: str,
    root: str | PathLike[str] | None = None,
    *,
    split: str | None = None,
    limit: int | None = None,
    seed: int | None = None,
    size: int | None = None,
    crop: int | None = None,
) -> Dataset:
    """Open a data set; call its `check` before anything expensive.

    Args:
        name: a key of `DATASETS`.
        root: the folder it was unpacked to; None for Playroom.
        split: the part; None for the one that is usually reported. Playroom has none.
        limit: how many samples, >= 1; None for all (Playroom: `SCENES`).
        seed: which `limit` samples: drawn at random with this seed, instead of the first. For
            Playroom the world (default `TEST_SEED`).
        size: Playroom's height and width in pixels; None for `SIZE`.
        crop: score centre squares of this side, in pixels; see `cropped`. None: whole images.

    Raises UsageError: an unknown name or split, an argument the data set doesn't take, or files
    missing from the official layout.
    """
    root = None if root is None else Path(root)
    if name not in DATASETS:
        raise UsageError(f"unknown data set {name!r}: {nearest(name, tuple(DATASETS))}")
    if limit is not None and limit < 1:
        raise UsageError(f"the limit is {limit}; give at least 1, or none for all samples.")
    if seed is not None and seed < 0:
        raise UsageError(f"the seed is {seed}; give 0 or more.")
    if crop is not None and crop < SMALLEST:
        raise UsageError(f"the crop is {crop} pixels; give at least {SMALLEST}, or none.")
    if name == "playroom":
        dataset = _playroom(root, split, limit, seed, size)
    else:
        dataset = _from_files(name, root, split, size)
        dataset.select(limit, seed)
    return dataset if crop is None else Cropped(dataset, crop)


def _from_files(name: str, root: Path | None, split: str | None, size: int | None) -> Dataset:
    if size is not None:
        raise UsageError(f"the data set {name} has images of its own; give no size.")
    if root is None:
        raise UsageError(f"the data set {name} is read from files; name their folder (--data).")
    reader = _READERS[name]
    if split is None:
        split = reader.splits[0]
    if split not in reader.splits:
        raise UsageError(
            f"the data set {name} has no split {split!r}: {nearest(split, reader.splits)}"
        )
    dataset = reader.load(root.expanduser(), split)
    dataset.split = split
    return dataset


def _playroom(
    root: Path | None, split: str | None, limit: int | None, seed: int | None, size: int | None
) -> Dataset:
    if root is not None or split is not None:
        raise UsageError("the data set playroom is rendered; give no folder and no split.")
    if size is not None and size < 16:
        raise UsageError(f"the data set playroom can't be rendered at size {size}; give >= 16.")
    return Playroom(TEST_SEED if seed is None else seed, limit or SCENES, size or SIZE)
