"""Embedded ICC profiles: what the numbers of an image's pixels look like, in sRGB.

Networks were trained on sRGB. Phones save Display P3, cameras Adobe RGB, printers CMYK: read as
sRGB, their colours are dull or wrong.
"""

from __future__ import annotations

import functools
import io
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import PIL.features
import PIL.Image
from PIL import ImageCms

_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # ICC's name of a colour space: Pillow's mode
_SAME = 2  # of 255: profiles that move no colour further are sRGB, rounded differently


@dataclass(frozen=True)
class Conversion:
    """A way to sRGB.

    mode : of the pictures that `apply` takes: RGB, L or CMYK
    apply : such a picture in RGB mode, in sRGB; may be called in any thread
    """

    mode: str
    apply: Callable[[PIL.Image.Image], PIL.Image.Image]


def conversion(image: PIL.Image.Image, notes: list[str]) -> Conversion | None:
    """How an image's pixels become sRGB; None if they are to stay as they are.

    They stay without a profile and with that of sRGB itself. With a damaged profile, or one for
    another kind of image, they stay, too, and `notes` gets a phrase.
    """
    profile = image.info.get("icc_profile")
    if not profile:
        return None
    if not PIL.features.check("littlecms2"):
        notes.append("colour profile ignored: this Pillow was built without LittleCMS")
        return None
    try:
        space, found = _to_srgb(bytes(profile))
    except Exception:  # LittleCMS's words are of no use
        notes.append("damaged colour profile ignored")
        return None
    kind = "CMYK" if image.mode == "CMYK" else "GRAY" if _is_grey(image.mode) else "RGB"
    if space == kind or (space, kind) == ("RGB", "GRAY"):
        return found
    notes.append(f"colour profile ignored: it is for {space}, the image is {kind}")
    return None


def _is_grey(mode: str) -> bool:
    return mode in ("1", "F") or mode[0] in "LI"


@functools.lru_cache(maxsize=16)
def _to_srgb(data: bytes) -> tuple[str, Conversion | None]:
    """A profile's colour space, and its way to sRGB unless it is sRGB.

    Raises what ImageCms raises for a damaged profile and one of a colour space without pixels.
    """
    profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
    space = profile.profile.xcolor_space.strip()
    if space not in _MODES:
        return space, None
    mode = _MODES[space]
    transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB")
    found = Conversion(mode, transform.apply)
    about = profile.profile.profile_description or ""
    is_named = re.search("srgb", about, re.I) and not re.search("lin", about, re.I)
    return space, None if is_named or _changes_nothing(found) else found


def _changes_nothing(found: Conversion) -> bool:
    """Whether all colours stay nearly what they are."""
    if found.mode == "CMYK":
        return False
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    colours = np.array(list(itertools.product(steps, repeat=3)), np.uint8)[None]
    if found.mode == "L":
        colours = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    picture = PIL.Image.fromarray(colours).convert(found.mode)
    moved = np.asarray(found.apply(picture)).astype(int) - colours
    return int(np.abs(moved).max()) <= _SAME
