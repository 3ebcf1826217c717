"""Files and folders as a list of image files, for the commands that need all of them at once."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from os import PathLike
from pathlib import Path

from zeroguide.errors import UsageError

SUFFIXES = "avif bmp dib gif ico j2k jfif jp2 jpe jpeg jpg mpo pbm pcx pgm png pnm ppm qoi tga tif"
SUFFIXES += " tiff webp"
_SUFFIX = rf"\.({SUFFIXES.replace(' ', '|')})"
IMAGE = re.compile(f".+{_SUFFIX}", re.IGNORECASE | re.DOTALL)
# What this program writes beside photo.jpg: photo.jpg.png, photo.jpg.map.png, photo.jpg.mask.png.
RESULT = re.compile(rf".+{_SUFFIX}(\.map|\.mask)?\.png", re.IGNORECASE | re.DOTALL)

# What a run writes beside the results of single images.
_RUN_FILE, _RUN_FOLDERS = "run.json", {"exports", "parts"}
RUN_NAMES = {_RUN_FILE, *_RUN_FOLDERS}


def of_a_run(folder: str, names: Iterable[str]) -> set[str]:
    """Which of a folder's names are folders that a run over images has written into it."""
    found = RUN_NAMES.intersection(names)
    if _RUN_FILE not in found or len(found) == 1:
        return set()
    try:
        with open(os.path.join(folder, _RUN_FILE), "rb") as file:
            return found & _RUN_FOLDERS if b'"zeroguide-run/' in file.read(1000) else set()
    except OSError:
        return set()


def find_images(
    paths: Sequence[str | PathLike[str]],
    output: str | PathLike[str],
    note: Callable[[str], None],
) -> list[Path]:
    """Files as they are given, and for each folder all image files in it, sorted, at any depth.

    An image file in a folder is one whose name ends like one; what begins with a dot is left out,
    and links to folders are not followed, so that loops can't be. Results of earlier runs, which
    lie in `output` or a run's exports, or are named like photo.jpg.png, are left out. A file that
    is found twice is there once. Raises UsageError for a folder without any image and for one that
    can't be read.
    """
    output = Path(output)
    found: list[Path] = []
    for path in map(Path, paths):
        found += _images_in(path, output, note) if path.is_dir() else [path]
    by_place: dict[str, Path] = {}
    for path in found:
        by_place.setdefault(os.path.abspath(path), path)
    return list(by_place.values())


def _images_in(folder: Path, output: Path, note: Callable[[str], None]) -> list[Path]:
    def unreadable(error: OSError) -> None:
        raise UsageError(
            f"{error.filename}: can't be read ({error.strerror}); make the folder readable"
        ) from error

    images: list[Path] = []
    n_results = 0
    for place, folders, files in os.walk(folder, onerror=unreadable):
        results = of_a_run(place, [*folders, *files])
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".")
            and name not in results
            and os.path.abspath(os.path.join(place, name)) != os.path.abspath(output)
        ]
        for name in files:
            if name.startswith(".") or not IMAGE.fullmatch(name):
                continue
            if RESULT.fullmatch(name):
                n_results += 1
            else:
                images.append(Path(place, name))
    if n_results:
        note(f"{folder}: {n_results} files named like results (photo.jpg.png) are left out")
    if not images:
        raise UsageError(f"{folder}: has no image in it; name a folder with images or image files")
    return sorted(images)
