"""How ultralytics finds photos and labels, written anew: its loader needs a large environment.

`tests/formats/test_round_trips.py` asks the real one. Line by line from ultralytics.data.base
(`get_img_files`) and ultralytics.data.utils (`img2label_paths`, `verify_image_label`); where
versions differ, the one that loses more.
"""

from __future__ import annotations

import glob
import os
from pathlib import Path

import numpy as np
import PIL.Image
import yaml

ENDINGS = {"bmp", "jpeg", "jpg", "mpo", "png", "tif", "tiff", "webp"}  # and newer ones


def read(folder: Path) -> dict[str, list[tuple[str, np.ndarray]]]:
    """Path of each photo -> (name of the class, (n, 2) corners in fractions) of its instances."""
    data = yaml.safe_load((folder / "data.yaml").read_text("utf-8"))
    pattern = os.path.join(glob.escape(str(folder / data["train"])), "**", "*.*")
    found = glob.glob(pattern, recursive=True)
    photos = sorted(path for path in found if path.rpartition(".")[-1].lower() in ENDINGS)
    return {
        photo: _instances(photo, labels, data["names"])
        for photo, labels in zip(photos, img2label_paths(photos), strict=True)
    }


def img2label_paths(photos: list[str]) -> list[str]:
    images, labels = f"{os.sep}images{os.sep}", f"{os.sep}labels{os.sep}"
    return [labels.join(x.rsplit(images, 1)).rsplit(".", 1)[0] + ".txt" for x in photos]


def _instances(photo: str, labels: str, names: dict[int, str]) -> list[tuple[str, np.ndarray]]:
    with PIL.Image.open(photo) as image:
        image.verify()
        assert str(image.format).lower() in ENDINGS
    if not os.path.isfile(labels):
        return []
    lines = [line.split() for line in Path(labels).read_text("utf-8").splitlines()]
    segments = [np.array(line[1:], np.float32).reshape(-1, 2) for line in lines]
    boxes = []
    for line, corners in zip(lines, segments, strict=True):
        low, high = corners.min(axis=0), corners.max(axis=0)
        assert (low >= 0).all() and (high <= 1).all()
        boxes.append([np.float32(line[0]), *((low + high) / 2), *(high - low)])
    _, kept = np.unique(np.array(boxes, np.float32), axis=0, return_index=True)
    return [(names[int(lines[i][0])], segments[i]) for i in sorted(kept)]
