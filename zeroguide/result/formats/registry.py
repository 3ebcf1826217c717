"""The formats by name, and the one door to all writers: `export`.

A writer is a module with `write(run, folder)`: it fills a new folder and returns what the user
should be told, if anything. The folder gets its name only when it is complete, so an export that
was killed leaves a hidden folder that the next one removes, and nothing that looks like a result.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from zeroguide.errors import UsageError, ZeroguideError

if TYPE_CHECKING:
    from zeroguide.result.formats.base import Entries
    from zeroguide.result.where import Where


@dataclass(frozen=True)
class Format:
    """One format.

    about: one line for lists. module: the writer. extra: the optional dependency it needs.
    """

    about: str
    module: str
    extra: str | None = None


FORMATS = {
    "coco": Format("COCO instances, one JSON, masks as RLE", "coco"),
    "coco-panoptic": Format("COCO panoptic, one JSON and a PNG per image", "coco_panoptic"),
    "cvat": Format("CVAT for images 1.1, one XML, masks", "cvat"),
    "fiftyone": Format("FiftyOneDataset, one JSON, masks", "fiftyone"),
    "geojson": Format("GeoJSON, one per image, polygons with holes, in pixels", "geojson"),
    "hf": Format("Hugging Face dataset with the images, Parquet", "hf", "parquet"),
    "label-studio": Format("Label Studio tasks, one JSON, polygons", "label_studio"),
    "label-studio-brush": Format("Label Studio tasks, one JSON, masks", "label_studio_brush"),
    "labelme": Format("labelme, a JSON per image, polygons", "labelme"),
    "masks": Format("label map (PNG) and names (text) per image", "masks"),
    "parquet": Format(
        "table of segments: label, scores, box, RLE, embedding", "parquet", "parquet"
    ),
    "yolo": Format("YOLO segmentation: data.yaml, polygons per image", "yolo"),
}


# What `label` always writes; it may be named, and then there is nothing to do.
JSON = "json"


def check_formats(names: Sequence[str]) -> None:
    """UsageError for an unknown name, or a format whose optional dependency is missing."""
    for name in names:
        if name == JSON:
            continue
        if name not in FORMATS:
            from zeroguide.errors import nearest

            raise UsageError(f"unknown --format {name!r}: {nearest(name, list(FORMATS))}")
        if FORMATS[name].extra == "parquet":
            try:
                import_module("pyarrow")
            except ImportError:
                raise UsageError(
                    f"the format {name} needs pyarrow: pip install 'zeroguide[parquet]'"
                ) from None


def export(
    entries: Entries,
    names: Sequence[str],
    folder: str | PathLike[str],
    *,
    where: Where | None = None,
    overwrite: bool = False,
    note: Callable[[str], None] = lambda text: None,
    step: Callable[[str], None] = lambda text: None,
) -> None:
    """Write a run in one or more formats, each to FOLDER/NAME; "json" is there without.

    Args:
        entries: the run's images; they are read once or twice for each format, never held together.
        where: which segments; images without any are left out, which is noted.
        overwrite: replace results of an earlier export.
        note: told what a format couldn't hold, one sentence at a time.
        step: told how far the work is.

    Raises UsageError for an unknown format, a missing dependency, a result that exists or a `where`
    that no segment fits;
    ZeroguideError if something can't be read or written. Nothing of the format at fault is left.
    """
    folder = Path(folder)
    check_formats(names)
    if JSON in names:
        note("json: nothing to write, the labels of a run are JSON already")
        names = [name for name in names if name != JSON]
    for name in names:
        if os.path.lexists(folder / name) and not overwrite:
            raise UsageError(
                f"{folder / name}: already exists; replace it with --overwrite or choose another "
                "folder with -o"
            )
    from zeroguide.result.formats.base import Run

    total = len(entries.keys())
    if total == 0:
        raise ZeroguideError("the run holds no labelled image; label some first")
    at = ""
    run = Run(entries, lambda done: step(f"{at}: {done} of {total} images"), where)
    if where is not None:
        at = "choosing"
        if not run.labels or run.n_left_out == total:  # reads the run; classes are always there
            raise UsageError(
                f"--where {where.text!r}: no segment of the {total} images is like that"
            )
        if run.n_left_out:
            note(f"{run.n_left_out} of {total} images have no such segment and are left out")
    for name in names:
        at = name
        try:
            said = _write(run, name, folder)
        except OSError as error:
            raise ZeroguideError(
                f"{error.filename or folder / name}: can't be written ({error.strerror}); make "
                "room and the folder writable, or choose another with -o"
            ) from None
        if said:
            note(f"{name}: {said}")


def _write(run: object, name: str, folder: Path) -> str | None:
    """Write one format beside its place, then move it there."""
    folder.mkdir(parents=True, exist_ok=True)
    for left_over in folder.glob(f".{name}.*.tmp"):
        shutil.rmtree(left_over, ignore_errors=True)
    # of one depth with the final place: relative paths in it stay right
    temporary = folder / f".{name}.{secrets.token_hex(6)}.tmp"
    temporary.mkdir()
    try:
        writer = import_module(f"zeroguide.result.formats.{FORMATS[name].module}")
        said: str | None = writer.write(run, temporary)
        place = folder / name
        if os.path.lexists(place):
            # hidden and named like what is left over: gone with the next export if we are killed
            old = folder / f".{name}.{secrets.token_hex(6)}.tmp"
            place.rename(old)
            temporary.rename(place)
            if old.is_symlink() or not old.is_dir():
                old.unlink()
            else:
                shutil.rmtree(old)
        else:
            temporary.rename(place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return said
