"""Labelled images made by hand, for writers of formats: a run without a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import PIL.Image

from zeroguide.result import Label, Labeling
from zeroguide.result.entry import Entry

LABELS = (
    "red umbrella",
    "grass",
    "Straße & <sky>",
    '猫 "cat"',
    "a\tb",
    "unnamed",
    "sea: #1",
    "yes",
)


class ListRun:
    """A run whose entries are given; it counts how often it is read."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = sorted(entries, key=lambda entry: entry.key)
        self.readings = 0

    def __iter__(self) -> Iterator[Entry]:
        self.readings += 1
        yield from self.entries

    def keys(self) -> list[str]:
        return [entry.key for entry in self.entries]


def labelled(
    key: str, label_map: np.ndarray, photos: Path | None = None, labels: Sequence[str] = LABELS
) -> Entry:
    """An entry whose segments are the values of a map (H, W); with `photos`, its image in there."""
    _, ids = np.unique(label_map, return_inverse=True)
    ids = ids.reshape(label_map.shape)
    n = int(ids.max()) + 1
    pixels = np.stack([ids * 40 % 256] * 3, axis=-1).astype(np.uint8)
    known = [
        Label(labels[i % len(labels)], -1.5 + i, (i + 1) / (n + 1), [("other", 0.5)], [i])
        for i in range(n)
    ]
    name = key.rpartition("/")[2]
    digest = hashlib.sha256(pixels.tobytes()).hexdigest()
    image = SimpleNamespace(file_name=name, sha256=digest, pixels=pixels)
    labeling = Labeling.build(image, ids, known, {"name": "tiny", "seed": 0})
    path = None
    if photos is not None:
        path = photos / key
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(pixels).save(path, format="PNG" if key.endswith(".png") else "JPEG")
    return Entry(key, labeling, path)


def shapes() -> dict[str, np.ndarray]:
    """What formats stumble over, each as a label map."""
    ring = np.zeros((20, 24), int)
    ring[3:17, 4:20] = 1
    ring[6:14, 8:16] = 0  # a hole, with the background's own part in it
    ring[9:11, 10:13] = 2  # an island in the hole
    ring[4, 5] = 0  # a hole of one pixel, at a corner of the ring
    parts = np.zeros((16, 31), int)
    parts[1:5, 1:6] = parts[8:15, 12:20] = parts[2:4, 25:30] = 1
    parts[0, 30] = 2  # one pixel in a corner
    parts[15, 0:9] = 3  # one pixel high
    corners = np.indices((9, 9)).sum(axis=0) % 2  # pixels that touch at corners only
    noise = np.random.default_rng(0).integers(0, 4, (17, 23))
    slanting = (np.add(*np.indices((40, 33))) // 9 + np.subtract(*np.indices((40, 33))) // 13) % 5
    return {
        "ring": ring,
        "parts": parts,
        "corners": corners,
        "noise": noise,
        "slanting": slanting,
        "full": np.zeros((12, 7), int),
        "pixel": np.zeros((1, 1), int),
    }


def shapes_run(photos: Path | None = None) -> ListRun:
    """`shapes` as a run with folders, spaces and other scripts in its keys."""
    return ListRun(
        [
            labelled(f"ö {i}/{name} 写真.png", m, photos)
            for i, (name, m) in enumerate(shapes().items())
        ]
    )


def truth_run(folder: Path) -> ListRun:
    """Photos with COCO panoptic truth as a run: `images/`, `panoptic/` and `panoptic.json`."""
    document = json.loads((folder / "panoptic.json").read_text("utf-8"))
    categories = {c["id"]: c["name"] for c in document["categories"]}
    entries = []
    for annotation in document["annotations"]:
        key = annotation["file_name"].replace(".png", ".jpg")
        with PIL.Image.open(folder / "panoptic" / annotation["file_name"]) as png:
            pixels = np.asarray(png.convert("RGB"))
        ids, regions = np.unique(pixels @ np.array([1, 256, 65536]), return_inverse=True)
        names = {s["id"]: categories[s["category_id"]] for s in annotation["segments_info"]}
        known = [Label(names.get(i, "unnamed"), 0.0, 0.5, [], []) for i in ids.tolist()]
        image = SimpleNamespace(file_name=key, sha256="0" * 64, pixels=pixels)
        labeling = Labeling.build(image, regions.reshape(pixels.shape[:2]), known, {})
        entries.append(Entry(key, labeling, folder / "images" / key))
    return ListRun(entries)


def segments(entry: Entry) -> list[tuple[str, np.ndarray]]:
    """(label, (H, W) bool mask) of every segment, in order: what a reader has to find."""
    return [(s.label, entry.labeling.mask(s.id)) for s in entry.labeling.segments]


ODD_KEYS = (
    "a.jpg",
    "images/a.jpg",
    "images_/a.jpg",
    "Images/b.jpg",
    "images/images/c.jpg",
    "train/images/day.1/d.jpg",
    "labels/e.jpg",
    "labels/images/labels/images/f.jpg",
    "images/labels/g.png",
    "deep/images",
    "no ending",
    "a.b/no ending",
    "name.jpg.part",
    "x.jpg",
    "x.png",
    "x.JPEG",
    ".hidden/h.jpg",
    "_.hidden/h.jpg",
    "images/.i.jpg",
    "ö 写真 [1]/*? 'q'.png",
    "gif/j.gif",
    "k.tif",
)


def odd_run(photos: Path) -> ListRun:
    """Photos in folders and by names that readers stumble over; two segments of one box in each."""
    ring = np.zeros((24, 30), int)
    ring[2:20, 3:25] = 1
    ring[5:9, 6:10] = 2
    cross = np.where(np.indices((24, 30)).sum(axis=0) % 9 < 4, 0, 1)  # both fill the picture
    run = ListRun(
        [
            labelled(key, ring if i % 2 else cross, photos, ("grass", "grass", "cat"))
            for i, key in enumerate(ODD_KEYS)
        ]
    )
    for key, kind in (("gif/j.gif", "GIF"), ("k.tif", "TIFF")):
        with PIL.Image.open(photos / key) as photo:
            photo.load()
        photo.save(photos / key, format=kind)
    return run
