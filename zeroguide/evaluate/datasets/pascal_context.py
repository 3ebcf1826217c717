"""Pascal Context (Mottaghi et al., CVPR 2014): every pixel of VOC 2010's images named.

The original annotation is a MATLAB file per image with ids 1 to 459 and 0 for void. The usual
benchmark keeps the 59 most frequent classes; the rest is void. Layouts, the first that is there:

- ``pascal_ctx_d2/`` with ``images/validation/`` and ``annotations_ctx59/validation/NAME.png`` or
  ``annotations_ctx459/validation/NAME.tif`` (detectron2-style: from 0; 255 or 65535 void),
- ``VOC2010/`` with ``SegmentationClassContext/NAME.png`` (mmsegmentation; 59 only: 1 to 59 in the
  order of the original ids, 0 void),
- ``VOC2010/`` with ``trainval/NAME.mat`` (original; both class lists).

Failure modes: the converted masks of 59 classes come from another release of the annotation
(``trainval_merged.json``), where a pixel may have one of the 59 that is void in the original files:
name the layout beside the numbers. The PNGs of ``59_context_labels.tar.gz`` are numbered in
another order and aren't read.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np

from zeroguide.evaluate.datasets.base import Dataset, Entry
from zeroguide.evaluate.datasets.classes import read_classes
from zeroguide.evaluate.datasets.files import find_root, read_lines, read_mat
from zeroguide.evaluate.datasets.lookup import Lookup
from zeroguide.evaluate.datasets.masks import MaskDataset, paired_entries
from zeroguide.image.ids import read_ids

SOURCE = "https://cs.stanford.edu/~roozbeh/pascal-context/ (trainval.tar.gz, and VOC 2010's images)"
_LISTS = ("ImageSets/SegmentationContext", "ImageSets/Main")  # the same 4,998 and 5,105 images
_PNG = "SegmentationClassContext"


def load_pascal_context(root: str | PathLike[str], split: str, n_classes: int) -> Dataset:
    """The split ("val" or "train") with 59 or 459 classes; UsageError names what is missing."""
    name = f"context-{n_classes}"
    classes = read_classes(f"pascal_context_{n_classes}")
    converted = f"annotations_ctx{n_classes}"
    markers = [converted, *([_PNG] if n_classes == 59 else []), "trainval"]
    root = find_root(root, markers, SOURCE)
    in_order = {index: index for index in range(n_classes)}
    if (root / converted).is_dir():
        part = "validation" if split == "val" else "training"
        endings = (".png",) if n_classes == 59 else (".tif", ".tiff")
        void = 255 if n_classes == 59 else 65535
        return MaskDataset(
            name,
            classes.classes,
            paired_entries(root / "images" / part, root / converted / part, mask_endings=endings),
            SOURCE,
            lookup=Lookup(in_order | {void: -1}),
        )
    original = n_classes == 459 or not (root / _PNG).is_dir()
    masks, ending = (root / "trainval", ".mat") if original else (root / _PNG, ".png")
    folder = next((each for each in _LISTS if (root / each / f"{split}.txt").exists()), _LISTS[0])
    names = read_lines(root / folder / f"{split}.txt", SOURCE)
    entries = [
        Entry(each, root / "JPEGImages" / f"{each}.jpg", masks / f"{each}{ending}")
        for each in names
    ]
    lookup = (
        classes.lookup(0, others_void=n_classes == 59)
        if original
        else Lookup({0: -1} | {index + 1: index for index in range(n_classes)})
    )
    read = _read_label_map if original else read_ids
    return MaskDataset(name, classes.classes, entries, SOURCE, lookup=lookup, read=read)


def _read_label_map(path: Path) -> np.ndarray:
    """(H, W) int32 ids 0..459 of an original annotation."""
    return read_mat(path, "LabelMap").astype(np.int32)
