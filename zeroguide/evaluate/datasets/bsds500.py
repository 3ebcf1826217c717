"""BSDS500 (Arbelaez et al., PAMI 2011): segmentations by several people each, without names.

``BSR/BSDS500/data/images/test/NAME.jpg`` and ``groundTruth/test/NAME.mat``, a MATLAB cell array
with one struct per annotator whose ``Segmentation`` numbers the regions from 1.

There are no classes: a semantic truth is void everywhere, and the regions' classes are -1.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np

from zeroguide.errors import ZeroguideError
from zeroguide.evaluate.datasets.base import VOID, Dataset, Entry, Regions, number_regions
from zeroguide.evaluate.datasets.files import find_root, image_size, read_mat
from zeroguide.evaluate.datasets.masks import paired_entries

SOURCE = "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html (BSR)"


class Bsds500(Dataset):
    """Images and the segmentations of four to nine people."""

    def read_semantic(self, entry: Entry) -> np.ndarray:
        """(H, W) int32, all -1: the regions have no names."""
        assert entry.image is not None
        return np.full(image_size(entry.image), VOID, dtype=np.int32)

    def read_annotations(self, entry: Entry) -> tuple[Regions, ...]:
        """Every annotator's regions, in the file's order."""
        assert entry.truth is not None
        cell = read_mat(entry.truth, "groundTruth")
        try:
            maps = [each["Segmentation"][0, 0].astype(np.int64) for each in cell.ravel()]
        except (IndexError, ValueError, TypeError, AttributeError):
            raise ZeroguideError(
                f"{entry.truth}: its groundTruth has no Segmentation; use the original file."
            ) from None
        if not maps:
            raise ZeroguideError(f"{entry.truth}: has no annotator; use the original file.")
        return tuple(_regions(each) for each in maps)


def _regions(keys: np.ndarray) -> Regions:
    label_map, ids = number_regions(keys, void=0)
    return Regions(label_map, np.full(len(ids), VOID, np.int32), np.zeros(len(ids), bool))


def load_bsds500(root: str | PathLike[str], split: str) -> Dataset:
    """The split "test", "val" or "train"; UsageError names what is missing."""
    root = Path(root)
    # Below the folder somebody unpacked lie BSR/BSDS500/data: one level more than is searched.
    for deeper in (root / "BSR" / "BSDS500" / "data", root / "BSDS500" / "data"):
        if deeper.is_dir():
            root = deeper
    root = find_root(root, [f"groundTruth/{split}"], SOURCE)
    entries = paired_entries(
        root / "images" / split, root / "groundTruth" / split, mask_endings=(".mat",)
    )
    return Bsds500("bsds500", (), entries, SOURCE)
