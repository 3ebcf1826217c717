"""COCO instances: `instances.json` with images, annotations and categories.

Masks are compressed RLE, which holds any mask exactly, with `iscrowd` 0. `file_name` is the
image's key, so the root of the labelled folder is the image folder that tools ask for. Categories
are the run's labels in alphabetical order from 1. `score` and `confidence` stand in each
annotation, where readers of ground truth ignore them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from zeroguide.result.chosen import Chosen
from zeroguide.result.formats.base import Run, numbering, to_json
from zeroguide.result.named_map import NamedMap

INFO = {"description": "labels by zeroguide"}


def write(run: Run, folder: Path) -> None:
    """Fill a folder (see `zeroguide.result.formats.registry`)."""
    categories = [{"id": run.category(name), "name": name} for name in run.labels]
    spool = folder / "annotations.part"
    annotation_id = 0
    with open(folder / "instances.json", "w", encoding="utf-8") as file:
        file.write(f'{{"info": {to_json(INFO)},\n"licenses": [],\n')
        file.write('"categories": [')
        file.write(",\n".join(map(to_json, categories)))
        file.write('],\n"images": [')
        with open(spool, "w", encoding="utf-8") as annotations:
            for image_id, entry in enumerate(run, start=1):
                image = _image(entry.labeling, entry.key, image_id)
                file.write((",\n" if image_id > 1 else "") + to_json(image))
                for annotation in _annotations(entry.labeling, image_id, run.category):
                    annotation_id += 1
                    annotation["id"] = annotation_id
                    annotations.write((",\n" if annotation_id > 1 else "") + to_json(annotation))
        file.write('],\n"annotations": [')
        with open(spool, encoding="utf-8") as annotations:
            shutil.copyfileobj(annotations, file)
        file.write("]}\n")
    spool.unlink()


def to_coco(labeling: NamedMap) -> dict[str, Any]:
    """One picture's labels as `write` writes those of a run, ready for JSON."""
    whole = Chosen.of(labeling)
    number = numbering(labeling.recipe, {segment.label for segment in whole.segments})
    return {
        "info": INFO,
        "licenses": [],
        "categories": [{"id": i, "name": label} for label, i in number.items()],
        "images": [_image(whole, labeling.file_name, 1)],
        "annotations": list(_annotations(whole, 1, number.__getitem__)),
    }


def _image(labeling: Chosen, file_name: str, image_id: int) -> dict[str, Any]:
    return {
        "id": image_id,
        "file_name": file_name,
        "width": labeling.width,
        "height": labeling.height,
    }


def _annotations(
    labeling: Chosen, image_id: int, category: Callable[[str], int]
) -> Iterator[dict[str, Any]]:
    """A picture's segments; "id" is the segment's, which is unique within one picture only."""
    for segment, code in zip(labeling.segments, labeling.rles(), strict=True):
        yield {
            "id": segment.id,
            "image_id": image_id,
            "category_id": category(segment.label),
            "bbox": list(segment.bbox),
            "area": segment.area,
            "iscrowd": 0,
            "score": segment.score,
            "confidence": segment.confidence,
            "segmentation": code,
        }
