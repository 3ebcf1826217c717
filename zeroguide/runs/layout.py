"""The folder of a run over many images: where what lies.

    OUT/run.json         what the run is: recipe, versions, where the images are, counts
    OUT/a/x.jpg.json     the labels of the image a/x.jpg (schema zeroguide/1)
    OUT/a/x.jpg.png      its overlay, if wanted
    OUT/failures.jsonl   images that failed, one {"key", "file", "error"} a line
    OUT/renamed-labels.csv  what labels were renamed to, if they were (`zeroguide relabel`)
    OUT/parts/*.parquet  instead of the JSON files: results of a cluster, many images a file
    OUT/exports/         what `zeroguide export` writes

An image's JSON is written last and whole, so that it is there exactly if the image is done.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from os import PathLike
from pathlib import Path

from zeroguide.errors import ZeroguideError

MANIFEST, FAILURES, PARTS, EXPORTS = "run.json", "failures.jsonl", "parts", "exports"


def result_path(folder: str | PathLike[str], key: str) -> Path:
    """The JSON file of an image."""
    folder = Path(folder)
    return folder / f"{_place_of(key)}.json"


def overlay_path(folder: str | PathLike[str], key: str) -> Path:
    """The overlay of an image."""
    folder = Path(folder)
    return folder / f"{_place_of(key)}.png"


def first_result(folder: str | PathLike[str]) -> Path | None:
    """Some result that lies in a folder as a file of its own, if there is one."""
    return next(results(folder), None)


def part_files(folder: str | PathLike[str]) -> list[Path]:
    """The files with a cluster's results."""
    return sorted(Path(folder, PARTS).glob("*.parquet"))


# Names of the run's own files and folders: images of these names get a "=" before them, and those
# that begin with "=" another one.
_RESERVED = re.compile(rf"=.*|({EXPORTS}|{PARTS})/.*|run(-\d+-of-\d+)?", re.IGNORECASE | re.DOTALL)


def _place_of(key: str) -> str:
    return f"={key}" if _RESERVED.fullmatch(key) else key


def key_of(place: str) -> str:
    """The key of the image with this JSON file, a path below the run's folder."""
    return place.removesuffix(".json").removeprefix("=")


def json_files(folder: str | PathLike[str]) -> Iterator[Path]:
    """Where results may be: all JSON files below a run's folder but those of exports."""
    folder = Path(folder)
    for place, folders, files in os.walk(folder):
        if Path(place) == folder:
            folders[:] = [name for name in folders if name.lower() not in (EXPORTS, PARTS)]
        yield from (Path(place, name) for name in files if name.endswith(".json"))


def results(folder: str | PathLike[str]) -> Iterator[Path]:
    """The results that lie in a folder as files of their own."""
    return filter(is_result, json_files(folder))


def is_result(path: str | PathLike[str]) -> bool:
    """Whether a JSON file begins like a result: other files may lie in the folder, too."""
    from zeroguide.result import SCHEMA as LABELING

    try:
        with open(path, "rb") as file:
            return f'"{LABELING}"'.encode() in file.read(200)
    except OSError as error:
        raise ZeroguideError(f"{path}: can't be read ({error.strerror})") from None
