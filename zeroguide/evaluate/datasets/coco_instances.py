"""COCO instances (Lin et al., ECCV 2014): objects as polygons or run-length codes in one JSON file.

The classes are the JSON's `categories`, so any data set in this format can be read; for COCO's own
80 things names are spelled naturally and synonyms added. Layouts: the official one (images in
``val2017/``, ``annotations/instances_val2017.json``), and a flat one (``images/``,
``instances.json``). `file_name` may have folders.

Objects may overlap and leave pixels out, where metrics want at most one region a pixel: the smaller
object lies on top of the larger, of equal ones the later. Pixels without an object are void: COCO
doesn't say what is there, so no label is wrong there. Crowds lie below all objects and are void in
`semantic`; among the regions they are marked as crowds. Images without annotations are left out.

Failure modes: an object that smaller ones hide is not asked for, and one that they hide partly is
the rest of it. The JSON is held in memory, for COCO's train2017 a few GB.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.evaluate.datasets.base import VOID, ClassName, Dataset, Entry, Regions
from zeroguide.evaluate.datasets.classes import read_classes
from zeroguide.evaluate.datasets.files import find_root, first_folder, image_size
from zeroguide.result.rle import decode, enclose_nothing, from_coco
from zeroguide.runs.masks.coco_tables import (
    Image,
    check_categories,
    group_by_name,
    identity,
    read_categories,
    read_images,
    read_json,
)

SOURCE = "https://cocodataset.org/#download (annotations_trainval2017.zip, val2017.zip)"


@dataclass(frozen=True)
class _Object:
    """An annotation: the index of its class, its mask as COCO writes it, whether it is a crowd."""

    category: int
    code: Any
    crowd: bool


class CocoInstances(Dataset):
    """Images, and the objects of each, by the image's name."""

    def __init__(
        self,
        classes: list[ClassName],
        entries: list[Entry],
        objects: Mapping[str, list[_Object]],
        sizes: Mapping[str, Image],
    ) -> None:
        super().__init__("coco-instances", classes, entries, SOURCE)
        self._objects = objects
        self._sizes = sizes

    def read_semantic(self, entry: Entry) -> np.ndarray:
        """(H, W) int32 class indices of an entry, -1 void: no object, or a crowd."""
        regions = self.read_annotations(entry)[0]
        classes = np.where(regions.crowd, np.int32(VOID), regions.classes)
        return np.append(classes, np.int32(VOID))[regions.label_map]

    def read_annotations(self, entry: Entry) -> tuple[Regions, ...]:
        """One annotation, its objects in the file's order; ZeroguideError for a damaged mask."""
        objects = self._objects[entry.name]
        masks = self._masks(entry, objects)
        order = sorted(
            range(len(objects)), key=lambda i: (not objects[i].crowd, -int(masks[i].sum()), i)
        )
        size = masks[0].shape
        owner = np.full(size, VOID, np.int32)
        for i in order:
            owner[masks[i]] = i
        seen = np.unique(owner[owner != VOID])  # the others are hidden
        region_of = np.full(len(objects) + 1, VOID, np.int32)
        region_of[seen] = np.arange(len(seen))
        shown = [objects[i] for i in seen.tolist()]
        regions = Regions(
            region_of[owner],
            np.array([each.category for each in shown], np.int32),
            np.array([each.crowd for each in shown], bool),
        )
        return (regions,)

    def _masks(self, entry: Entry, objects: list[_Object]) -> list[np.ndarray]:
        """The objects' masks, (H, W) bool each."""
        assert entry.image is not None
        known = self._sizes[entry.name]
        if known.height is not None and known.width is not None:
            size = known.height, known.width
        else:
            size = image_size(entry.image)
        try:
            return [decode(from_coco(each.code, size)) for each in objects]
        except ValueError as error:
            raise ZeroguideError(
                f"{entry.truth}: a mask of {entry.image.name} {error}; use the original file."
            ) from None


def load_coco_instances(root: str | PathLike[str], split: str) -> Dataset:
    """The split ("val" or "train") of COCO 2017 in a folder; UsageError names what is missing."""
    official = f"instances_{split}2017.json"
    choices = [f"annotations/{official}", official, "instances.json"]
    root = find_root(root, choices, SOURCE)
    path = next(root / choice for choice in choices if (root / choice).exists())
    folder = first_folder(root, [f"{split}2017", f"images/{split}2017", "images"], SOURCE)
    documents = {path: read_json(path)}
    try:
        images, names = read_images(documents), read_categories(documents)
        rows = documents[path]["annotations"]
        annotations = [(identity(r, "image_id"), identity(r, "category_id"), r) for r in rows]
        check_categories(path, (category for _, category, _ in annotations), names)
        index = {category: i for i, category in enumerate(names)}
        found = [
            (image, _Object(index[category], row["segmentation"], bool(row.get("iscrowd", 0))))
            for image, category, row in annotations
            if not (isinstance(row["segmentation"], list) and enclose_nothing(row["segmentation"]))
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"{path}: is not COCO instances ({error!r} is missing or wrong); it needs images, "
            "categories, and annotations with image_id, category_id and segmentation."
        ) from None
    again = next((n for n in names.values() if list(names.values()).count(n) > 1), None)
    if again is not None:
        raise UsageError(f"{path}: two categories are called {again!r}; give each its own name.")
    entries, objects, sizes = [], {}, {}
    for name, (image, own) in sorted(group_by_name(path, images, found).items()):
        if image.file_name is None:
            raise UsageError(f"{path}: doesn't tell the file_name of the image {name}; add it.")
        if own:
            entries.append(Entry(name, folder / image.file_name, path))
            objects[name], sizes[name] = own, image
    known = {each.official: each for each in read_classes("coco_panoptic").classes}
    classes = [known.get(title, ClassName(title, kind="thing")) for title in names.values()]
    return CocoInstances(classes, entries, objects, sizes)
