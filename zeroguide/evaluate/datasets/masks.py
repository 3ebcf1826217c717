"""The common case: a mask file of class ids per image, turned into class indices by a lookup."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from zeroguide.evaluate.datasets.base import ClassName, Dataset, Entry, Regions
from zeroguide.evaluate.datasets.files import files_by_stem, pair
from zeroguide.evaluate.datasets.lookup import Lookup
from zeroguide.image.ids import read_ids


class MaskDataset(Dataset):
    """Images and masks; `read` decodes a mask to (H, W) ids, `lookup` makes them class indices."""

    def __init__(
        self,
        name: str,
        classes: Sequence[ClassName],
        entries: Sequence[Entry],
        source: str,
        *,
        lookup: Lookup,
        read: Callable[[Path], np.ndarray] = read_ids,
        background: int | None = None,
    ) -> None:
        super().__init__(name, classes, entries, source)
        self.lookup = lookup
        self.read = read
        self.background = background

    def read_semantic(self, entry: Entry) -> np.ndarray:
        """(H, W) int32 class indices of an entry, -1 void."""
        assert entry.truth is not None
        return self.lookup(self.read(entry.truth), entry.truth)


class ObjectMaskDataset(MaskDataset):
    """Class masks, and object masks beside them where the folder has them."""

    @abstractmethod
    def object_mask(self, class_mask: Path) -> Path:
        """The object mask that belongs to a class mask, whether it is there or not."""

    @abstractmethod
    def read_objects(self, entry: Entry, path: Path) -> Regions:
        """The regions of an entry by its object mask."""

    def truth_files(self, entry: Entry) -> tuple[Path, ...]:
        """The class mask and the object mask."""
        assert entry.truth is not None
        return entry.truth, self.object_mask(entry.truth)

    def read_annotations(self, entry: Entry) -> tuple[Regions, ...]:
        """What the object mask says; one region per class without one."""
        path = self.truth_files(entry)[1]
        return (
            (self.read_objects(entry, path),) if path.exists() else super().read_annotations(entry)
        )


def paired_entries(
    images: str | PathLike[str],
    masks: str | PathLike[str],
    *,
    mask_suffix: str = "",
    mask_endings: Sequence[str] = (".png",),
) -> list[Entry]:
    """Entries of two folders whose files share their names, by name.

    Args:
        images: the folder of the images.
        masks: the folder of the masks: each named as its image, plus `mask_suffix`.
        mask_suffix: what a mask's name ends in before its ending, "_L" for example.
        mask_endings: the masks' endings.

    Raises UsageError: a folder missing or empty, an image without a mask, two files of one name.
    Masks without an image are left alone: official archives hold more masks than a split needs.
    """
    masks = Path(masks)
    pictures = files_by_stem(images)
    truths = {
        stem.removesuffix(mask_suffix): path
        for stem, path in files_by_stem(masks, mask_endings).items()
        if stem.endswith(mask_suffix)
    }
    return [Entry(name, pictures[name], truths[name]) for name in pair(pictures, truths, masks)]
