"""Files of data sets: which folder is meant, what lies in it, and pixels of masks as ids.

Folders are listed once and looked up in memory: asking the file system for each of 100,000 files
would take minutes on a network disk.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import PIL.Image

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.image import open_image

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_EXIF_ORIENTATION = 0x0112


def find_root(root: str | PathLike[str], markers: Sequence[str], source: str) -> Path:
    """The folder that holds one of the markers: `root` itself or up to two levels below it.

    Args:
        root: what the user named; archives unpack into folders of their own, so the user may have
            named the folder around them.
        markers: relative paths, any one of which gives the right folder away.
        source: where the data is had.

    Raises UsageError: no folder at all, or none that holds a marker.
    """
    root = Path(root)
    if not root.is_dir():
        raise UsageError(f"{root}: no such folder; get the data from {source} and name its folder.")
    level = [root]
    for _ in range(3):
        for folder in level:
            if any((folder / marker).exists() for marker in markers):
                return folder
        level = [below for folder in level for below in _folders(folder)]
    raise UsageError(
        f"{root}: no {' or '.join(markers)} in it; get the data from {source} and name the folder "
        "it was unpacked to."
    )


def _folders(folder: Path) -> list[Path]:
    """The folders in a folder; not many, or this isn't the top of a data set."""
    try:
        with os.scandir(folder) as entries:
            found = sorted(Path(entry.path) for entry in entries if entry.is_dir())
    except OSError:  # not permitted: then what is looked for is elsewhere, or reported as missing
        return []
    return found if len(found) <= 30 else []


def first_folder(root: str | PathLike[str], choices: Sequence[str], source: str) -> Path:
    """The first of several relative folders that exists; UsageError if none does."""
    root = Path(root)
    for choice in choices:
        if (root / choice).is_dir():
            return root / choice
    raise UsageError(
        f"{root / choices[0]}: no such folder; get the data from {source} and unpack it there."
    )


def files_by_stem(
    folder: str | PathLike[str], endings: Sequence[str] = IMAGE_ENDINGS
) -> dict[str, Path]:
    """Name without ending -> path, sorted by name, of the files with these endings.

    Hidden files don't count. Raises UsageError: no such folder, none of these files in it, or two
    that differ only in their ending.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; check the path.")
    found: dict[str, Path] = {}
    for file_name in sorted(os.listdir(folder)):
        path = folder / file_name
        if path.suffix.lower() not in endings or file_name.startswith("."):
            continue
        if path.stem in found:
            raise UsageError(
                f"{path}: {found[path.stem].name} beside it has the same name; keep one of them."
            )
        found[path.stem] = path
    if not found:
        raise UsageError(f"{folder}: holds no file ending in {', '.join(endings)}; check the path.")
    return found


def pair(images: Mapping[str, Path], masks: Mapping[str, Path], folder: Path) -> list[str]:
    """The names all images share with masks, in order; UsageError for an image without a mask."""
    for name, image in images.items():
        if name not in masks:
            raise UsageError(
                f"{image}: has no mask named {name} in {folder}; add it or remove the image."
            )
    return list(images)


def require_files(paths: Iterable[Path], source: str) -> None:
    """UsageError for the first path that isn't there; each folder is listed once."""
    listed: dict[Path, frozenset[str]] = {}
    for path in paths:
        if path.parent not in listed:
            try:
                listed[path.parent] = frozenset(os.listdir(path.parent))
            except (FileNotFoundError, NotADirectoryError):
                listed[path.parent] = frozenset()
            except OSError as error:
                raise UsageError(
                    f"{path.parent}: can't be listed ({error.strerror}); make it readable."
                ) from None
        if path.name not in listed[path.parent]:
            raise UsageError(f"{path}: is missing; get it from {source}.")


def read_lines(path: str | PathLike[str], source: str) -> list[str]:
    """A list file's lines, stripped; line i of the file is item i, whatever the list is for.

    Blank lines may end the file. Raises UsageError: missing, empty, or a blank line further up,
    which would shift every number after it.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise UsageError(f"{path}: is missing; get it from {source}.") from None
    except (OSError, UnicodeDecodeError):
        raise ZeroguideError(
            f"{path}: can't be read as text; get it again from {source}."
        ) from None
    lines = [line.strip() for line in text.rstrip().splitlines()]
    if not lines:
        raise UsageError(f"{path}: is empty; get it again from {source}.")
    if "" in lines:
        raise UsageError(
            f"{path}: line {lines.index('') + 1} is blank, but lines are counted; fill it or "
            "remove it."
        )
    return lines


def image_size(path: str | PathLike[str]) -> tuple[int, int]:
    """(height, width) of an image as `open_image` gives it, from the header alone."""
    try:
        with PIL.Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(_EXIF_ORIENTATION, 1) in (5, 6, 7, 8)
    except Exception:  # open_image finds the words for what is wrong, or reads it all the same
        return open_image(path).pixels.shape[:2]
    return (width, height) if turned else (height, width)


def read_mat(path: str | PathLike[str], variable: str) -> np.ndarray:
    """One variable of a MATLAB file (version 5 to 7.2, which holds arrays and no code).

    Raises ZeroguideError: missing, damaged, or without this variable.
    """
    path = Path(path)
    from scipy.io import loadmat

    try:
        with open(path, "rb") as handle:
            content = loadmat(handle, variable_names=[variable])
    except FileNotFoundError:
        raise ZeroguideError(f"{path}: is missing; copy it there again.") from None
    except Exception:  # scipy's reader lets many kinds escape on damaged files
        raise ZeroguideError(
            f"{path}: is not a readable MATLAB file; copy it there again."
        ) from None
    if variable not in content:
        raise ZeroguideError(
            f"{path}: has no variable {variable}; use the data set's original file."
        )
    values: np.ndarray = content[variable]
    return values
