"""COCO instances: `instances.json` with images, annotations and categories.

Masks are compressed RLE, which holds any mask exactly, with `iscrowd` 0. `file_name` is the
image's key, so the root of the labelled folder is the image folder that tools ask for. Categories
are the run's labels in alphabetical order from 1. `score` and `confidence` stand in each
annotation, where readers of ground truth ignore them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from zeroguide.formats.base import Run, to_json


def write(run: Run, folder: Path) -> None:
    """Fill a folder (see `zeroguide.formats.registry`)."""
    categories = [{"id": run.category(name), "name": name} for name in run.labels]
    spool = folder / "annotations.part"
    annotation_id = 0
    with open(folder / "instances.json", "w", encoding="utf-8") as file:
        file.write('{"info": {"description": "labels by zeroguide"},\n"licenses": [],\n')
        file.write('"categories": [')
        file.write(",\n".join(map(to_json, categories)))
        file.write('],\n"images": [')
        with open(spool, "w", encoding="utf-8") as annotations:
            for image_id, entry in enumerate(run, start=1):
                labeling = entry.labeling
                image = {
                    "id": image_id,
                    "file_name": entry.key,
                    "width": labeling.width,
                    "height": labeling.height,
                }
                file.write((",\n" if image_id > 1 else "") + to_json(image))
                for segment, code in zip(labeling.segments, labeling.rles(), strict=True):
                    annotation_id += 1
                    annotation = {
                        "id": annotation_id,
                        "image_id": image_id,
                        "category_id": run.category(segment.label),
                        "bbox": list(segment.bbox),
                        "area": segment.area,
                        "iscrowd": 0,
                        "score": segment.score,
                        "confidence": segment.confidence,
                        "segmentation": code,
                    }
                    annotations.write((",\n" if annotation_id > 1 else "") + to_json(annotation))
        file.write('],\n"annotations": [')
        with open(spool, encoding="utf-8") as annotations:
            shutil.copyfileobj(annotations, file)
        file.write("]}\n")
    spool.unlink()
