"""Files and folders as a list of image files, for the commands that need all of them at once."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from zeroguide.errors import UsageError
from zeroguide.runs.sources.files import IMAGE
from zeroguide.runs.sources.item import Spot, Trouble
from zeroguide.runs.sources.left_out import LeftOut, named, nothing_but, unread
from zeroguide.runs.sources.walk import Walk


def find_images(
    paths: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    note: Callable[[str], None],
) -> list[Path]:
    """Files as they are given, and for each folder all image files in it, sorted, at any depth.

    A folder is searched as `Walk` does, without what earlier runs have written into `output` or
    elsewhere; `note` is told what is left out. A file that is found twice is there once. Raises
    UsageError for a folder without any image and for one that can't be read.
    """
    found: list[Path] = []
    everywhere: LeftOut = Counter()
    for path in map(Path, paths):
        found += _images_in(path, Path(output), note, everywhere) if path.is_dir() else [path]
    if sentence := unread(everywhere):
        note(sentence)
    by_place: dict[str, Path] = {}
    for path in found:
        by_place.setdefault(os.path.abspath(path), path)
    return list(by_place.values())


def _images_in(
    folder: Path, output: Path, note: Callable[[str], None], everywhere: LeftOut
) -> list[Path]:
    name = "" if str(folder) == "." else str(folder)
    walk = Walk(Spot(os.path.abspath(folder), "", name), (), os.path.abspath(output))
    left_out: LeftOut = Counter()
    images: list[Path] = []
    for found in walk.files(IMAGE, left_out):
        if isinstance(found, Trouble):
            raise UsageError(found.error)
        images.append(Path(found.name))
    for sentence in named(str(folder), left_out):
        note(sentence)
    if not images:
        raise UsageError(
            f"{folder}: has no image in it{nothing_but(left_out)}; name a folder with images or "
            "image files"
        )
    everywhere.update(left_out)
    return sorted(images)
