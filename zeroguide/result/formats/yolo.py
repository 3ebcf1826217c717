"""YOLO segmentation (ultralytics): `data.yaml`, `images/`, and in `labels/` a text file per image.

A line is a segment: its class, counted from 0 in the order of the sorted labels, and a polygon in
fractions of width and height. A line holds one polygon, so the parts of a segment are joined by
lines, which cost a few pixels of what lies between; holes are kept by a slit. The reader draws
polygons as labelme does, hence the same inset.

The reader looks into `images/` and asks for the labels of `images/a/x.jpg` in `labels/a/x.txt`. So
`images/` holds the photos themselves, so that the folder can be moved or packed: hard links, which
take no room, where the photos lie on the same file system, else copies; and PNGs of photos that it
can't read. Some names of folders lead it astray, they are written otherwise: see `_place`.
"""

from __future__ import annotations

import os
import re
import shutil
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import PIL.Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree
from scipy.spatial import Delaunay

from zeroguide.errors import ImageError
from zeroguide.image import open_image
from zeroguide.result.chosen import Chosen
from zeroguide.result.formats.base import Run, ending, one_line, to_json
from zeroguide.result.formats.outlines import polygons

INSET = 0.1  # larger than the rounding of float32, which the reader uses
_APART = 2e-6  # of the width: what float32 tells apart
_ENDINGS = {"BMP": ".bmp", "JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "TIFF": ".tif"}
_ENDINGS["WEBP"] = ".webp"
"""What every version of the reader opens, by Pillow's names, and an ending that it takes."""
_TAKEN = {*_ENDINGS.values(), ".jpeg", ".tiff"}


def write(run: Run, folder: Path) -> str | None:
    """Fill a folder (see `zeroguide.result.formats.registry`)."""
    with open(folder / "data.yaml", "w", encoding="utf-8") as file:
        file.write("train: images\nval: images\nnames:\n")
        for number, label in enumerate(run.labels):
            file.write(f"  {number}: {to_json(one_line(label))}\n")  # JSON strings are YAML, too
    unknown = 0
    for entry in run:
        stem = _place(run.stem(entry.key))
        path = folder / "labels" / (stem + ".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = _lines(run, entry.labeling)
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        place = folder / "images" / stem
        if entry.image is None or not _show(entry.image.absolute(), place, ending(entry.key)):
            unknown += 1
    if not unknown:
        return None
    return (
        f"photos that aren't known or have gone: {unknown}; copy them to images/, each called like "
        "its file in labels/"
    )


def _place(stem: str) -> str:
    """Where the files of an image lie, without their endings: its stem, mostly.

    The reader replaces the last folder called "images" in a photo's path, and passes over hidden
    files and folders. Such names get a "_", and those that would be mistaken for them another one.
    """
    *folders, name = (f"_{part}" if re.match(r"_*\.", part) else part for part in stem.split("/"))
    folders = [
        f"{part}_" if re.fullmatch("images_*", part, re.IGNORECASE) else part for part in folders
    ]
    return "/".join([*folders, name])


def _lines(run: Run, labeling: Chosen) -> list[str]:
    """An image's segments as lines.

    Some versions of the reader drop lines of one class and one bounding box as duplicates. Of those
    the right side moves by less than a pixel, which leaves the mask as it is.
    """
    size = np.array([labeling.width, labeling.height])
    lines = []
    alike: Counter[tuple[str, tuple[int, int, int, int]]] = Counter()
    for segment in labeling.segments:
        polygon = _join(polygons(labeling.crop(segment), inset=INSET))
        points = (polygon + segment.bbox[:2]) / size
        points[points[:, 0] == points[:, 0].max(), 0] -= _APART * alike[segment.label, segment.bbox]
        alike[segment.label, segment.bbox] += 1
        numbers = " ".join(f"{value:.7g}" for value in points.ravel().tolist())
        lines.append(f"{run.category(segment.label) - 1} {numbers}")
    return lines


def _join(parts: list[np.ndarray]) -> np.ndarray:
    """Polygons (n, 2) as one: joined to and fro by the shortest lines that connect them all.

    The shortest connections of points lie in their Delaunay triangulation.
    """
    if len(parts) == 1:
        return parts[0]
    points = np.vstack(parts)
    part = np.repeat(np.arange(len(parts)), [len(each) for each in parts])
    simplices = Delaunay(points).simplices
    sides = np.vstack([simplices[:, [0, 1]], simplices[:, [1, 2]], simplices[:, [2, 0]]])
    sides = np.unique(np.sort(sides[part[sides[:, 0]] != part[sides[:, 1]]], axis=1), axis=0)
    lengths = np.linalg.norm(points[sides[:, 0]] - points[sides[:, 1]], axis=1)
    sides, lengths = (values[np.argsort(lengths, kind="stable")] for values in (sides, lengths))
    # of the sides between two parts only the shortest counts, which comes first now
    pairs, first = np.unique(np.sort(part[sides], axis=1), axis=0, return_index=True)
    n = len(parts)
    graph = coo_array((lengths[first], (pairs[:, 0], pairs[:, 1])), (n, n)).tocsr()
    side_of = {(int(p), int(q)): sides[i] for (p, q), i in zip(pairs, first, strict=True)}
    order, before = breadth_first_order(minimum_spanning_tree(graph), 0, directed=False)
    starts = np.cumsum([0, *(len(each) for each in parts)])
    joined = np.arange(starts[1])  # numbers of points
    for child in order[1:].tolist():
        ends = side_of[min(child, before[child]), max(child, before[child])]
        there, here = ends if part[ends[0]] == child else ends[::-1]
        around = np.roll(np.arange(starts[child], starts[child + 1]), starts[child] - there)
        at = int(np.flatnonzero(joined == here)[0])
        joined = np.concatenate([joined[: at + 1], around, [there], joined[at:]])
    return points[joined]


def _show(image: Path, place: Path, suffix: str) -> bool:
    """Put a photo where the reader finds it, unless it has become unreadable: whether it is there.

    place, suffix: make its name.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    usual = _ENDINGS.get(_format(image) or "")
    if usual is None:
        try:
            pixels = open_image(image).pixels
        except ImageError:
            return False
        PIL.Image.fromarray(pixels).save(place.with_name(place.name + ".png"))
        return True
    target = place.with_name(place.name + (suffix if suffix.lower() in _TAKEN else usual))
    try:
        os.link(image.resolve(), target)
    except OSError:  # another file system, one without links, or another user's photo
        shutil.copyfile(image, target)
    return True


def _format(image: Path) -> str | None:
    """What Pillow calls a file's format; None if it knows none."""
    try:
        with warnings.catch_warnings(action="ignore"), PIL.Image.open(image) as header:
            return header.format
    except Exception:  # Pillow lets many kinds escape on damaged files
        return None
