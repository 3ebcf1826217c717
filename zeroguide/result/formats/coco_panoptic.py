"""COCO panoptic: `panoptic.json`, and in `panoptic/` a PNG per image with the segments' ids.

A pixel's id is R + 256 G + 256^2 B, a segment's id in its image is that of the Labeling. Only
pixels of segments that weren't chosen are 0 (void). Whether a label is a thing or stuff isn't
known: `isthing` is 1 for all.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import PIL.Image

from zeroguide.result.formats.base import Run, to_json


def write(run: Run, folder: Path) -> None:
    """Fill a folder (see `zeroguide.result.formats.registry`)."""
    categories = [
        {
            "id": run.category(name),
            "name": name,
            "supercategory": name,
            "isthing": 1,
            "color": list(run.colour(name)),
        }
        for name in run.labels
    ]
    spool = folder / "annotations.part"
    with open(folder / "panoptic.json", "w", encoding="utf-8") as file:
        file.write('{"info": {"description": "labels by zeroguide"},\n"licenses": [],\n')
        file.write('"categories": [')
        file.write(",\n".join(map(to_json, categories)))
        file.write('],\n"images": [')
        with open(spool, "w", encoding="utf-8") as annotations:
            for image_id, entry in enumerate(run, start=1):
                labeling = entry.labeling
                comma = ",\n" if image_id > 1 else ""
                size = {"width": labeling.width, "height": labeling.height}
                image = {"id": image_id, "file_name": entry.key, **size}
                file.write(comma + to_json(image))
                name = run.stem(entry.key) + ".png"
                segments = [
                    {
                        "id": segment.id,
                        "category_id": run.category(segment.label),
                        "bbox": list(segment.bbox),
                        "area": segment.area,
                        "iscrowd": 0,
                        "score": segment.score,
                        "confidence": segment.confidence,
                    }
                    for segment in labeling.segments
                ]
                annotation = {"image_id": image_id, "file_name": name, "segments_info": segments}
                annotations.write(comma + to_json(annotation))
                _write_png(labeling.label_map, folder / "panoptic" / name)
        file.write('],\n"annotations": [')
        with open(spool, encoding="utf-8") as annotations:
            shutil.copyfileobj(annotations, file)
        file.write("]}\n")
    spool.unlink()


def _write_png(ids: np.ndarray, path: Path) -> None:
    """(H, W) ids below 2^24 as colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colours = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)
    PIL.Image.fromarray(colours).save(path)
