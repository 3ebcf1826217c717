"""Every kind of file with masks that can be read, by its ending and content.

JSON: SAM's automatic masks and SA-1B, COCO instances and results, labelme, Label Studio, our own
results. PNG and TIFF: label maps. Text: YOLO's polygons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.image.ids import read_ids
from zeroguide.result import names
from zeroguide.result.formats.json_ import SCHEMA
from zeroguide.result.rle import of_ids, whole
from zeroguide.runs.masks.coco_tables import (
    Id,
    Image,
    group_by_name,
    identity,
    length,
    read_images,
    read_json,
)
from zeroguide.runs.masks.drawn import Drawn
from zeroguide.runs.masks.label_studio import read_tasks

MAPS, TEXT, JSON = (".png", ".tif", ".tiff"), ".txt", ".json"
ENDINGS = (JSON, *MAPS, TEXT)

Contents = Drawn | dict[str, Drawn]
"""A file's masks: those of one image that it doesn't name, or of images by name."""

_OWN = {SCHEMA: "segments", names.SCHEMA: "masks"}
_WRONG = (KeyError, TypeError, ValueError, AttributeError, OverflowError, OSError)
_KNOWN = "JSON of SAM, COCO, labelme, Label Studio or ours, a label map (PNG) or YOLO's txt"


def read(path: Path) -> Contents:
    """The masks in a file. Raises ZeroguideError if it isn't one of the kinds, or is damaged."""
    ending = path.suffix.lower()
    if ending in MAPS:
        return _label_map(path)
    try:
        if ending == TEXT:
            return _yolo(path)
        if ending == JSON:
            return _of_json(path, read_json(path))
    except _WRONG as error:
        raise ZeroguideError(
            f"{path}: isn't a whole file of masks ({error} is missing or wrong); write it again."
        ) from None
    except UsageError as error:  # of one file among many: it mustn't end the run
        raise ZeroguideError(str(error)) from None
    raise ZeroguideError(f"{path}: is no file of masks that can be read; give {_KNOWN}.")


def _of_json(path: Path, content: Any) -> Contents:
    if isinstance(content, list):
        if content and all("data" in entry for entry in content):
            return read_tasks(path, content)
        by_image = any("image_id" in entry for entry in content)
        return _coco(path, content, {}) if by_image else _entries(path, content)
    table = content.keys() if isinstance(content, dict) else ()
    if "schema" in table and content["schema"] in _OWN:
        return _entries(path, content[_OWN[content["schema"]]], _size_of(content["image"]))
    if "shapes" in table:
        return _labelme(path, content)
    if "annotations" in table and "image" in table:  # SA-1B
        return _entries(path, content["annotations"], _size_of(content["image"]))
    if "annotations" in table:
        return _coco(path, content["annotations"], read_images({path: content}))
    raise ZeroguideError(f"{path}: has no masks that can be read; give {_KNOWN}.")


def _entries(path: Path, entries: Sequence[Any], size: tuple[int, int] | None = None) -> Drawn:
    """One image's entries with a `segmentation` each."""
    return Drawn(path, [entry["segmentation"] for entry in entries], _ids(entries), size)


def _coco(path: Path, entries: Sequence[Any], images: Mapping[Id, Image]) -> dict[str, Drawn]:
    """Annotations or results of any number of images."""
    with_image = ((identity(entry, "image_id"), entry) for entry in entries)
    return {
        name: _entries(path, own, _size(image.height, image.width))
        for name, (image, own) in group_by_name(path, images, with_image).items()
    }


def _labelme(path: Path, content: Mapping[str, Any]) -> Drawn:
    """Polygons and rectangles; those of one label and `group_id` are parts of one mask."""
    parts: dict[object, list[list[float]]] = {}
    for number, shape in enumerate(content["shapes"]):
        points = [(float(x), float(y)) for x, y in shape["points"]]
        kind = shape.get("shape_type") or "polygon"
        if kind == "rectangle":
            (x0, y0), (x1, y1) = points
            points = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        elif kind != "polygon":
            raise ZeroguideError(
                f"{path}: has a shape of the kind {kind!r}; keep polygons and rectangles only."
            )
        group = shape.get("group_id")
        key = number if group is None else (shape.get("label"), group)
        parts.setdefault(key, []).append([value for point in points for value in point])
    size = _size_of(content, "imageHeight", "imageWidth")
    return Drawn(path, list(parts.values()), range(1, len(parts) + 1), size)


def _yolo(path: Path) -> Drawn:
    """A line a mask: class, x, y, x, y, ... in shares of the image; a score may end it."""
    shapes = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        values = [float(word) for word in line.split()][1:]
        if len(values) in (4, 5):
            raise ZeroguideError(
                f"{path}: line {number} is a box, not a polygon; write labels of segmentation."
            )
        if line.strip():
            shapes.append([values[: len(values) // 2 * 2]])
    return Drawn(path, shapes, range(1, len(shapes) + 1), relative=True)


def _label_map(path: Path) -> Drawn:
    """A mask for each number but 0."""
    ids = read_ids(path)
    codes = of_ids(ids)
    height, width = ids.shape
    return Drawn(path, list(codes.values()), list(codes), (height, width))


def _ids(entries: Sequence[Mapping[str, Any]]) -> list[int]:
    """The entries' own ids if each has another number, else 1, 2, 3, ..."""
    own = [number for entry in entries if (number := whole(entry.get("id"))) is not None]
    usable = len(set(own)) == len(own) == len(entries)
    return own if usable else list(range(1, len(entries) + 1))


def _size_of(
    image: Mapping[str, Any], height: str = "height", width: str = "width"
) -> tuple[int, int] | None:
    return _size(length(image, height), length(image, width))


def _size(height: int | None, width: int | None) -> tuple[int, int] | None:
    return None if height is None or width is None else (height, width)
