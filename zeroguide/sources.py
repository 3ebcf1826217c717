"""What the command line is given, as a list of image files: files stay, folders are searched."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from zeroguide.errors import UsageError

SUFFIXES = {
    ".avif", ".bmp", ".dib", ".gif", ".ico", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg",
    ".mpo", ".pbm", ".pcx", ".pgm", ".png", ".pnm", ".ppm", ".qoi", ".tga", ".tif", ".tiff",
    ".webp",
}  # fmt: skip


def find_images(paths: Sequence[Path]) -> list[Path]:
    """Files as they are given, and for each folder all image files in it, sorted, at any depth.

    An image file in a folder is one whose name ends like one; what begins with a dot is left out,
    and links to folders are not followed, so that loops can't be. Raises UsageError for a folder
    without any image and for one that can't be read.
    """
    found: list[Path] = []
    for path in paths:
        found += _images_in(path) if path.is_dir() else [path]
    return found


def _images_in(folder: Path) -> list[Path]:
    def unreadable(error: OSError) -> None:
        raise UsageError(
            f"{error.filename}: can't be read ({error.strerror}); make the folder readable"
        ) from error

    images = []
    for place, folders, files in os.walk(folder, onerror=unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        images += [
            Path(place, name)
            for name in files
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
        ]
    if not images:
        raise UsageError(f"{folder}: has no image in it; name a folder with images or image files")
    return sorted(images)
