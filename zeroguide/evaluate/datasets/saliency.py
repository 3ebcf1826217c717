"""Saliency sets: images and masks of what stands out; DUTS, ECSSD, DUT-OMRON and their like.

Two classes: background (0) and object (1). A mask's pixel is object from 128 of 255 on: published
masks are grey at their borders. Regions: the object pixels of an image as one region, as these
sets don't tell objects apart.

Layouts, by name: ``DUTS-TE-Image`` and ``DUTS-TE-Mask`` (DUTS; -TR for the split "train"),
``images`` and ``ground_truth_mask`` (ECSSD), ``DUT-OMRON-image`` and ``pixelwiseGT-new-PNG``
(DUT-OMRON), or plainly ``images`` and ``masks``.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.evaluate.datasets.base import ClassName, Dataset
from zeroguide.evaluate.datasets.files import find_root
from zeroguide.evaluate.datasets.lookup import Lookup
from zeroguide.evaluate.datasets.masks import MaskDataset, paired_entries
from zeroguide.image.ids import read_pixels

SOURCE = (
    "http://saliencydetection.net/duts/, http://saliencydetection.net/dut-omron/ or "
    "https://www.cse.cuhk.edu.hk/leojia/projects/hsaliency/dataset.html (ECSSD)"
)
_LAYOUTS = {
    "test": [
        ("DUTS-TE-Image", "DUTS-TE-Mask"),
        ("DUT-OMRON-image", "pixelwiseGT-new-PNG"),
        ("images", "ground_truth_mask"),
        ("images", "masks"),
    ],
    "train": [("DUTS-TR-Image", "DUTS-TR-Mask")],
}
_CLASSES = (ClassName("background"), ClassName("object", ("foreground",)))


def load_saliency(root: str | PathLike[str], split: str) -> Dataset:
    """The set in a folder of one of the layouts; UsageError names what is missing."""
    layouts = _LAYOUTS[split]
    root = find_root(root, [masks for _, masks in layouts], SOURCE)
    there = [(images, masks) for images, masks in layouts if (root / masks).is_dir()]
    if len(there) > 1:
        both = " and ".join(masks for _, masks in there)
        raise UsageError(f"{root}: holds both {both}; move one data set to a folder of its own.")
    images, masks = there[0]
    return MaskDataset(
        "saliency",
        _CLASSES,
        paired_entries(root / images, root / masks, mask_endings=(".png", ".bmp", ".jpg")),
        SOURCE,
        lookup=Lookup({0: 0, 1: 1}),
        read=_read_binary,
        background=0,
    )


def _read_binary(path: Path) -> np.ndarray:
    """(H, W) int32, 0 or 1; a mask of 0 and 1 alone is taken as it is.

    Some sets store grey masks as RGB, some with an alpha channel, which is ignored.
    """
    pixels = read_pixels(path)
    values = pixels if pixels.ndim == 2 else pixels[:, :, 0]
    if values.dtype.kind not in "bui" or values.min(initial=0) < 0 or values.max(initial=0) > 255:
        raise ZeroguideError(
            f"{path}: holds {values.dtype} values from {values.min():g} to {values.max():g}, not a "
            "mask of 8 bits; save it as a grey PNG of 0 and 255."
        )
    if values.max(initial=0) <= 1:
        return values.astype(np.int32)
    return (values >= 128).astype(np.int32)
