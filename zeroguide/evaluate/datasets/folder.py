"""Anybody's own data: a folder of images, a folder of label PNGs, and a text file of class names.

Layout::

    images/NAME.jpg     any format `zeroguide.image.opening` opens
    labels/NAME.png     grey, palette or 16-bit: each pixel the number of its class
    classes.txt         one class per line, from number 0; synonyms follow after commas

In the masks 255 is void (65535 in 16-bit masks), unless the list has that many classes. A class
named "background" is treated as one.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from zeroguide.errors import UsageError
from zeroguide.evaluate.datasets.base import VOID, ClassName, Dataset
from zeroguide.evaluate.datasets.files import read_lines
from zeroguide.evaluate.datasets.lookup import Lookup
from zeroguide.evaluate.datasets.masks import MaskDataset, paired_entries

_SOURCE = "wherever its images came from"
_VOID_IDS = (255, 65535)


def load_folder(root: str | PathLike[str]) -> Dataset:
    """The data set in a folder of the layout above; UsageError names what is missing."""
    root = Path(root)
    classes_file = root / "classes.txt"
    if not root.is_dir():
        raise UsageError(f"{root}: no such folder; name one with images/, labels/ and classes.txt.")
    if not classes_file.is_file():
        raise UsageError(f"{classes_file}: is missing; write one class name per line into it.")
    classes = [_class(line, classes_file) for line in read_lines(classes_file, _SOURCE)]
    names = [each.name for each in classes]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{classes_file}: the class {name!r} is there twice; name it once.")
    indices = dict.fromkeys(_VOID_IDS, VOID) | {index: index for index in range(len(names))}
    return MaskDataset(
        "folder",
        classes,
        paired_entries(root / "images", root / "labels", mask_endings=(".png", ".tif", ".tiff")),
        _SOURCE,
        lookup=Lookup(indices),
        background=names.index("background") if "background" in names else None,
    )


def _class(line: str, path: Path) -> ClassName:
    name, *synonyms = (part.strip() for part in line.split(","))
    if not name:
        raise UsageError(f"{path}: the line {line!r} names no class; begin it with a name.")
    return ClassName(name, tuple(filter(None, synonyms)))
