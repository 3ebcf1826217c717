"""ADE20K (Zhou et al., CVPR 2017): scene parsing with 150 classes, or 847 of the full set.

`ade20k-150` reads ``ADEChallengeData2016`` (0 void, 1 to 150). `ade20k-847` are the classes of
the full set that occur in training and validation (Cheng et al., MaskFormer, NeurIPS 2021), from
either layout of ``ADE20K_2021_17_01``:

- ``annotations_detectron2/validation/NAME.tif`` with ``images_detectron2/`` (16 bit, 0 to 846,
  65535 void; pictures over 512 pixels were shrunk to a shorter side of 512),
- the original ``images/ADE/validation/.../NAME_seg.png``: a colour picture whose object id is
  ``R // 10 * 256 + G``, at full size. Objects outside the 847 classes are void.

Failure modes: the object ids are those of the release 2021_17_01; older releases number otherwise
and can't be told apart by their files.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np

from zeroguide.errors import UsageError
from zeroguide.evaluate.datasets.base import Dataset, Entry
from zeroguide.evaluate.datasets.classes import read_classes
from zeroguide.evaluate.datasets.files import find_root
from zeroguide.evaluate.datasets.lookup import Lookup
from zeroguide.evaluate.datasets.masks import MaskDataset, paired_entries
from zeroguide.image.ids import read_colours

SOURCE = "http://sceneparsing.csail.mit.edu/ (ADEChallengeData2016.zip)"
FULL_SOURCE = "https://ade20k.csail.mit.edu/ (full set, release 2021_17_01)"
_PARTS = {"val": "validation", "train": "training"}


def load_ade20k_150(root: str | PathLike[str], split: str) -> Dataset:
    """The split ("val" or "train") of the benchmark; UsageError names what is missing."""
    part = _PARTS[split]
    root = find_root(root, [f"annotations/{part}"], SOURCE)
    entries = paired_entries(root / "images" / part, root / "annotations" / part)
    ade = read_classes("ade20k_150")
    return MaskDataset("ade20k-150", ade.classes, entries, SOURCE, lookup=ade.lookup(0))


def load_ade20k_847(root: str | PathLike[str], split: str) -> Dataset:
    """The split of the full set in either layout; UsageError names what is missing."""
    part = _PARTS[split]
    converted, original = f"annotations_detectron2/{part}", f"images/ADE/{part}"
    root = find_root(root, [converted, original], FULL_SOURCE)
    ade = read_classes("ade20k_847")
    if (root / converted).is_dir():
        entries = paired_entries(
            root / "images_detectron2" / part, root / converted, mask_endings=(".tif", ".tiff")
        )
        lookup = Lookup({index: index for index in range(len(ade.ids))} | {65535: -1})
        return MaskDataset("ade20k-847", ade.classes, entries, FULL_SOURCE, lookup=lookup)
    images = sorted((root / original).rglob("*.jpg"))
    if not images:
        raise UsageError(f"{root / original}: holds no .jpg file; get it from {FULL_SOURCE}.")
    entries = [Entry(path.stem, path, path.with_name(f"{path.stem}_seg.png")) for path in images]
    return MaskDataset(
        "ade20k-847",
        ade.classes,
        entries,
        FULL_SOURCE,
        lookup=ade.lookup(0, others_void=True),
        read=_read_object_ids,
    )


def _read_object_ids(path: Path) -> np.ndarray:
    """(H, W) int32 object ids of an original mask."""
    rgb = read_colours(path).astype(np.int32)
    return rgb[:, :, 0] // 10 * 256 + rgb[:, :, 1]
