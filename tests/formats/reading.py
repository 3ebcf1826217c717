"""Every format read back by the tool it is for: key -> (label, mask) of each segment, in order.

The tools are imported inside the functions: not every environment has them all. Each function gets
the exported folder and the run it was made of, whose segments tell which regions belong together
and how large the pictures are; pixels and labels come from the tool alone.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from zeroguide.result.formats.base import Entries, stems

Segments = dict[str, list[tuple[str, np.ndarray]]]


def read_coco(folder: Path, run: Entries) -> Segments:
    """pycocotools."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(folder / "instances.json"))
    found: Segments = {}
    for image in coco.loadImgs(sorted(coco.imgs)):
        annotations = coco.loadAnns(coco.getAnnIds(image["id"]))
        found[image["file_name"]] = [
            (coco.cats[a["category_id"]]["name"], coco.annToMask(a).astype(bool))
            for a in annotations
        ]
    return found


def read_coco_panoptic(folder: Path, run: Entries) -> Segments:
    """panopticapi's rules: what its evaluation asks of a JSON and its PNGs, written anew."""
    document = json.loads((folder / "panoptic.json").read_text("utf-8"))
    categories = {c["id"]: c for c in document["categories"]}
    assert len(categories) == len(document["categories"])
    assert all(
        {"id", "name", "supercategory", "isthing", "color"} <= c.keys() for c in categories.values()
    )
    images = {image["id"]: image for image in document["images"]}
    assert len(images) == len(document["images"]) == len(document["annotations"])
    found: Segments = {}
    for annotation in document["annotations"]:
        image = images[annotation["image_id"]]
        with PIL.Image.open(folder / "panoptic" / annotation["file_name"]) as png:
            assert png.size == (image["width"], image["height"])
            rgb = np.asarray(png, np.uint32)
        ids = rgb[..., 0] + 256 * rgb[..., 1] + 256**2 * rgb[..., 2]
        info = {s["id"]: s for s in annotation["segments_info"]}
        assert len(info) == len(annotation["segments_info"])
        assert 0 not in info  # void
        present, areas = np.unique(ids[ids > 0], return_counts=True)
        # "segment in the PNG but not in the JSON", and the other way round
        assert set(present.tolist()) == set(info)
        for id, area in zip(present.tolist(), areas.tolist(), strict=True):
            segment = info[id]
            assert segment["area"] == area
            assert segment["category_id"] in categories
            assert segment["iscrowd"] == 0
            y, x = np.nonzero(ids == id)
            box = [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]
            assert segment["bbox"] == box
        found[image["file_name"]] = [
            (categories[s["category_id"]]["name"], ids == id) for id, s in sorted(info.items())
        ]
    return found


def read_labelme(folder: Path, run: Entries) -> Segments:
    """labelme: LabelFile (which opens the photo, too) and shape_to_mask."""
    from labelme import LabelFile
    from labelme.utils import img_data_to_arr, shape_to_mask

    found: Segments = {}
    for key, stem in stems(run.keys()).items():
        file = LabelFile(str(folder / f"{stem}.json"))
        size = img_data_to_arr(file.image_data).shape[:2]
        by_group: dict[int, tuple[str, np.ndarray]] = {}
        for shape in file.shapes:
            mask = shape_to_mask(size, shape["points"], shape["shape_type"])
            group = shape["group_id"]
            if group in by_group:
                assert by_group[group][0] == shape["label"]
                mask = mask | by_group[group][1]
            by_group[group] = (shape["label"], mask)
        found[key] = [by_group[group] for group in sorted(by_group)]
    return found


def _label_studio_tasks(folder: Path) -> list[dict[str, Any]]:
    """Tasks as they are exported after an annotator has accepted the predictions."""
    tasks = json.loads((folder / "tasks.json").read_text("utf-8"))
    return [
        {"id": i, "data": t["data"], "annotations": [{"id": i, **p} for p in t["predictions"]]}
        for i, t in enumerate(tasks)
    ]


def read_label_studio(folder: Path, run: Entries) -> Segments:
    """label-studio-sdk: its converter to COCO, whose polygons pycocotools draws."""
    from label_studio_sdk.converter import Converter

    tasks = _label_studio_tasks(folder)
    file = folder / "accepted.json"
    file.write_text(json.dumps(tasks), "utf-8")
    converter = Converter(
        (folder / "config.xml").read_text("utf-8"), str(folder), download_resources=False
    )
    converter.convert_to_coco(str(file), str(folder / "converted"), is_dir=False)
    document = json.loads((folder / "converted" / "result.json").read_text("utf-8"))
    names = {c["id"]: c["name"] for c in document["categories"]}
    found: Segments = {}
    for i, task in enumerate(tasks):
        regions = task["annotations"][0]["result"]
        annotations = [a for a in document["annotations"] if a["image_id"] == i]
        size = regions[0]["original_height"], regions[0]["original_width"]
        by_segment: dict[str, tuple[str, np.ndarray]] = {}
        for region, annotation in zip(regions, annotations, strict=True):
            codes = coco_mask.frPyObjects(annotation["segmentation"], *size)
            mask = coco_mask.decode(coco_mask.merge(codes)).astype(bool)
            segment = region.get("parentID", region["id"])
            if segment in by_segment:
                mask = mask | by_segment[segment][1]
            by_segment[segment] = (names[annotation["category_id"]], mask)
        found[task["data"]["key"]] = list(by_segment.values())
    return found


def read_label_studio_brush(folder: Path, run: Entries) -> Segments:
    """label-studio-sdk: its decoder of brush masks."""
    from label_studio_sdk.converter.brush import decode_rle

    found: Segments = {}
    for task in _label_studio_tasks(folder):
        found[task["data"]["key"]] = []
        for region in task["annotations"][0]["result"]:
            assert region["type"] == "brushlabels" and region["value"]["format"] == "rle"
            size = region["original_height"], region["original_width"], 4
            image = decode_rle(region["value"]["rle"]).reshape(size)
            (label,) = region["value"]["brushlabels"]
            found[task["data"]["key"]].append((label, image[:, :, 3] > 0))
    return found


def read_cvat(folder: Path, run: Entries) -> Segments:
    """datumaro, which wants the pictures in images/."""
    from datumaro import Dataset
    from datumaro.components.annotation import AnnotationType

    for entry in run:
        assert entry.image is not None
        place = folder / "images" / entry.key
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(entry.image.absolute())
    dataset = Dataset.import_from(str(folder / "annotations.xml"), "cvat")
    names = [c.name for c in dataset.categories()[AnnotationType.label]]
    by_id = {
        item.id: [(names[a.label], np.asarray(a.image).astype(bool)) for a in item.annotations]
        for item in dataset
    }
    return {entry.key: by_id[os.path.splitext(entry.key)[0]] for entry in run}


def read_yolo(folder: Path, run: Entries) -> Segments:
    """ultralytics: its loader of labels and its masks, at the picture's size.

    It leaves out pictures of less than 10 pixels; so does this.
    """
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset, polygon2mask

    data = check_det_dataset(str(folder / "data.yaml"), autodownload=False)
    dataset = YOLODataset(img_path=data["train"], data=data, task="segment", augment=False)
    photos = {os.stat(e.image).st_ino: e.key for e in run if e.image is not None}  # hard links
    found: Segments = {}
    for label in dataset.labels:
        height, width = label["shape"]
        found[photos[os.stat(label["im_file"]).st_ino]] = [
            (
                data["names"][int(number)],
                polygon2mask((height, width), [s * (width, height)]).astype(bool),
            )
            for number, s in zip(label["cls"][:, 0], label["segments"], strict=True)
        ]
    return found


def read_fiftyone(folder: Path, run: Entries) -> Segments:
    """fiftyone: the importer that `Dataset.from_dir` uses, without a database."""
    import fiftyone.types  # noqa: F401
    from fiftyone.utils.data.importers import FiftyOneDatasetImporter, _handle_legacy_formats

    importer = _handle_legacy_formats(FiftyOneDatasetImporter(str(folder)))
    by_path = {}
    with importer:
        for sample in importer:
            by_path[sample.filepath] = sample.segments.detections
    found: Segments = {}
    for entry in run:
        assert entry.image is not None
        size = entry.labeling.width, entry.labeling.height
        found[entry.key] = [
            (d.label, d.to_segmentation(frame_size=size).mask > 0)
            for d in by_path[os.path.abspath(entry.image)]
        ]
    return found


def read_geojson(folder: Path, run: Entries) -> Segments:
    """shapely, asked which pixels' centres lie inside."""
    import shapely

    found: Segments = {}
    for entry in run:
        labeling = entry.labeling
        file = folder / f"{stems(run.keys())[entry.key]}.geojson"
        features = json.loads(file.read_text("utf-8"))["features"]
        y, x = np.mgrid[: labeling.height, : labeling.width] + 0.5
        found[entry.key] = []
        for feature in features:
            shape = shapely.from_geojson(json.dumps(feature["geometry"]))
            assert shape.is_valid, shapely.is_valid_reason(shape)
            found[entry.key].append(
                (feature["properties"]["label"], shapely.contains_xy(shape, x, y))
            )
    return found


def read_masks(folder: Path, run: Entries) -> Segments:
    """Our own `eval --predictions`, which reads label maps of any tool."""
    from zeroguide.evaluate.predictions.folder import FolderPredictions

    predictions = FolderPredictions(folder)
    found: Segments = {}
    for key, stem in stems(run.keys()).items():
        prediction = predictions.predict(_Sample(stem))  # type: ignore[arg-type]
        found[key] = [
            (label, prediction.label_map == i) for i, label in enumerate(prediction.labels)
        ]
    return found


class _Sample:
    def __init__(self, name: str) -> None:
        self.name = name


def read_parquet(folder: Path, run: Entries) -> Segments:
    """pyarrow, and pycocotools for the masks."""
    import pyarrow.parquet as pq

    found: Segments = {}
    for row in pq.read_table(folder / "segments.parquet").to_pylist():
        code = {"size": [row["image_height"], row["image_width"]], "counts": row["rle"]}
        mask = coco_mask.decode(code).astype(bool)
        found.setdefault(row["key"], []).append((row["label"], mask))
    return found


def read_hf(folder: Path, run: Entries) -> Segments:
    """datasets."""
    from datasets import load_dataset

    found: Segments = {}
    for row in load_dataset(str(folder), split="train", cache_dir=str(folder.parent / "cache")):
        ids = np.asarray(row["label_map"])
        found[row["key"]] = [(s["label"], ids == s["id"]) for s in row["segments"]]
    return found


READERS: dict[str, tuple[str, Callable[[Path, Entries], Segments]]] = {
    "coco": ("pycocotools", read_coco),
    "coco-panoptic": ("PIL", read_coco_panoptic),
    "cvat": ("datumaro", read_cvat),
    "fiftyone": ("fiftyone", read_fiftyone),
    "geojson": ("shapely", read_geojson),
    "hf": ("datasets", read_hf),
    "label-studio": ("label_studio_sdk", read_label_studio),
    "label-studio-brush": ("label_studio_sdk", read_label_studio_brush),
    "labelme": ("labelme", read_labelme),
    "masks": ("zeroguide", read_masks),
    "parquet": ("pyarrow", read_parquet),
    "yolo": ("ultralytics", read_yolo),
}
"""Format -> the module its reader needs, the reader."""
