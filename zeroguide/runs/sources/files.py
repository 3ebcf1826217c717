"""Which files of a folder are images, by their names, and which ones this program has written."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from zeroguide.image.kinds import AVIF, HEIF, is_readable
from zeroguide.runs.layout import EXPORTS, MANIFEST, PARTS

_ALWAYS = "bmp dib gif ico j2k jfif jp2 jpe jpeg jpg mpo pbm pcx pgm png pnm ppm qoi tga tif tiff"
_ALWAYS += " webp"
# What is read here, with the libraries that are installed.
SUFFIXES = " ".join([_ALWAYS, *(kind.suffixes for kind in (AVIF, HEIF) if is_readable(kind))])
_SUFFIX, _ANY_SUFFIX = (
    rf"\.({names.replace(' ', '|')})"
    for names in (SUFFIXES, f"{_ALWAYS} {AVIF.suffixes} {HEIF.suffixes}")
)
IMAGE = re.compile(f".+{_SUFFIX}", re.IGNORECASE | re.DOTALL)
# What this program writes beside photo.jpg: photo.jpg.png, photo.jpg.map.png, photo.jpg.mask.png;
# also beside what can't be read any more.
RESULT = re.compile(rf".+{_ANY_SUFFIX}(\.map|\.mask)?\.png", re.IGNORECASE | re.DOTALL)

# What a run writes beside the results of single images.
_RUN_FOLDERS = {EXPORTS, PARTS}
RUN_NAMES = {MANIFEST, *_RUN_FOLDERS}


def of_a_run(folder: str, names: Iterable[str]) -> set[str]:
    """Which of a folder's names are folders that a run over images has written into it."""
    found = RUN_NAMES.intersection(names)
    if MANIFEST not in found or len(found) == 1:
        return set()
    try:
        with open(os.path.join(folder, MANIFEST), "rb") as file:
            return found & _RUN_FOLDERS if b'"zeroguide-run/' in file.read(1000) else set()
    except OSError:
        return set()
