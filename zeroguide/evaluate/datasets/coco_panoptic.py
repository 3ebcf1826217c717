"""COCO panoptic (Kirillov et al., CVPR 2019): a PNG of segment ids per image and one JSON file.

A pixel's id is R + 256 G + 256^2 B; 0 is void. The JSON's `segments_info` gives each id's class.
The classes are those of the JSON, so any data set in this format can be read; for COCO's own 133
categories names are spelled naturally and synonyms added. Layouts: the official one (images in
``val2017/``, ``annotations/panoptic_val2017.json``, PNGs in ``panoptic_val2017/`` beside the JSON
or one above) and a flat one (``images/``, ``panoptic.json``, ``panoptic/``).

Failure modes: `semantic` counts the pixels of crowd segments as their class, as COCO's own
conversion to semantic masks does; only `Regions.crowd` tells them apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.evaluate.datasets.base import (
    VOID,
    ClassName,
    Dataset,
    Entry,
    Regions,
    number_regions,
)
from zeroguide.evaluate.datasets.classes import read_classes
from zeroguide.evaluate.datasets.files import find_root, first_folder
from zeroguide.image.ids import read_colours

SOURCE = "https://cocodataset.org/#download (panoptic_annotations_trainval2017.zip, val2017.zip)"


class CocoPanoptic(Dataset):
    """Images, PNGs of segment ids and the `segments_info` of each image."""

    def __init__(
        self,
        classes: list[ClassName],
        entries: list[Entry],
        segments: dict[str, list[dict[str, Any]]],
        class_ids: list[int],
        json_file: Path,
    ) -> None:
        super().__init__("coco-panoptic", classes, entries, SOURCE)
        self.segments = segments
        self.class_index = {value: index for index, value in enumerate(class_ids)}
        self.json_file = json_file

    def truth_files(self, entry: Entry) -> tuple[Path, ...]:
        """The PNG, and the JSON that says what its ids are."""
        assert entry.truth is not None
        return entry.truth, self.json_file

    def read_semantic(self, entry: Entry) -> np.ndarray:
        """(H, W) int32 class indices of an entry, -1 void."""
        regions = self.read_annotations(entry)[0]
        return np.append(regions.classes, np.int32(VOID))[regions.label_map]

    def read_annotations(self, entry: Entry) -> tuple[Regions, ...]:
        """One annotation; a PNG id that `segments_info` doesn't list is a ZeroguideError."""
        assert entry.truth is not None
        rgb = read_colours(entry.truth).astype(np.int32)  # (H, W, 3)
        keys = rgb[:, :, 0] + 256 * rgb[:, :, 1] + 65536 * rgb[:, :, 2]
        label_map, ids = number_regions(keys, void=0)
        info = {segment["id"]: segment for segment in self.segments[entry.name]}
        classes = np.empty(len(ids), dtype=np.int32)
        crowd = np.zeros(len(ids), dtype=bool)
        for region, segment_id in enumerate(ids.tolist()):
            if segment_id not in info:
                raise ZeroguideError(
                    f"{entry.truth}: the segment id {segment_id} isn't in {self.json_file}; check "
                    "that PNGs and JSON belong together."
                )
            category = info[segment_id]["category_id"]
            if category not in self.class_index:
                raise ZeroguideError(
                    f"{self.json_file}: {entry.truth.name} has the class id {category}, which "
                    "isn't among its categories; use the original file."
                )
            classes[region] = self.class_index[category]
            crowd[region] = bool(info[segment_id].get("iscrowd", 0))
        return (Regions(label_map, classes, crowd),)


def load_coco_panoptic(root: str | PathLike[str], split: str) -> Dataset:
    """The split ("val" or "train") of COCO 2017 in a folder; UsageError names what is missing."""
    official = f"panoptic_{split}2017.json"
    root = find_root(root, [f"annotations/{official}", official, "panoptic.json"], SOURCE)
    json_file = next(
        path
        for path in (root / "annotations" / official, root / official, root / "panoptic.json")
        if path.exists()
    )
    name = json_file.stem
    masks = first_folder(root, [name, f"annotations/{name}"], SOURCE)
    images = first_folder(root, [f"{split}2017", f"images/{split}2017", "images"], SOURCE)
    content = _read_json(json_file)
    try:
        file_names = {each["id"]: each["file_name"] for each in content["images"]}
        again = _repeated(each["id"] for each in content["images"])
        if again is not None:
            raise UsageError(
                f"{json_file}: two images share the id {again}; use the original file."
            )
        entries, segments = [], {}
        for annotation in sorted(content["annotations"], key=lambda each: each["file_name"]):
            image = images / file_names[annotation["image_id"]]
            if image.stem in segments:
                raise UsageError(
                    f"{json_file}: annotates {image.name} twice; use the original file."
                )
            entries.append(Entry(image.stem, image, masks / annotation["file_name"]))
            segments[image.stem] = annotation["segments_info"]
            again = _repeated(each["id"] for each in annotation["segments_info"])
            if again is not None:
                raise UsageError(
                    f"{json_file}: has the segment {again} of {image.name} twice; use the "
                    "original file."
                )
        categories = [(each["id"], each["name"], each["isthing"]) for each in content["categories"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{json_file}: is not in COCO's panoptic format ({error!r}); use the original file."
        ) from None
    again = _repeated(number for number, _, _ in categories)
    if again is not None:
        raise UsageError(
            f"{json_file}: two categories share the id {again}; use the original file."
        )
    known = {each.official: each for each in read_classes("coco_panoptic").classes}
    classes = [
        known.get(title, ClassName(title, kind="thing" if is_thing else "stuff"))
        for _, title, is_thing in categories
    ]
    return CocoPanoptic(classes, entries, segments, [each[0] for each in categories], json_file)


def _repeated(ids: Iterable[int]) -> int | None:
    """The first id that comes a second time, if there is one."""
    seen: set[int] = set()
    for each in ids:
        if each in seen:
            return each
        seen.add(each)
    return None


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError):
        raise ZeroguideError(
            f"{path}: is not readable as JSON; unpack it again from {SOURCE}."
        ) from None
