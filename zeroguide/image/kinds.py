"""Kinds of pictures that can't be read, or only with a library that isn't there: what to do.

Nothing is imported: folders are searched before anything heavy is.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from importlib.util import find_spec


@dataclass(frozen=True)
class Kind:
    """A kind of files with pictures. name : with its article. remedy : what makes them readable."""

    name: str
    suffixes: str
    remedy: str

    def counted(self, n: int) -> str:
        """ "1 raw photo", "2 raw photos"."""
        return f"{n} {self.name.partition(' ')[2]}{'s' * (n != 1)}"


HEIF = Kind("a HEIC photo", "heic heif hif", "needs `pip install 'zeroguide[heif]'`")
AVIF = Kind("an AVIF photo", "avif", "needs `pip install --upgrade pillow`")
_JXL = Kind("a JPEG XL photo", "jxl", "convert to PNG or JPEG")
_JXR = Kind("a JPEG XR photo", "jxr wdp hdp", "convert to PNG or JPEG")
RAW = Kind(
    "a raw photo",
    "3fr ari arw bay cr2 cr3 crw dcr dng erf fff gpr iiq k25 kdc mdc mef mos mrw nef nrw orf pef "
    "raf raw rw2 rwl sr2 srf srw x3f",
    "export as TIFF or JPEG",
)
_LAYERED = Kind("a layered picture", "psd psb xcf kra ora afphoto", "export as PNG or TIFF")
_DRAWING = Kind("a drawing", "svg svgz eps ai wmf emf cdr dxf", "export as PNG")
_DOCUMENT = Kind("a document", "pdf ps djvu xps", "export its pages as PNG")
_VIDEO = Kind(
    "a video",
    "mp4 m4v mov avi mkv webm wmv flv mpg mpeg mts m2ts 3gp 3g2 ogv vob",
    "use `zeroguide video`",
)
_SCIENCE = Kind(
    "a scientific image",
    "dcm dicom exr hdr fits fit fts nii nrrd mha czi lif nd2 svs ndpi vsi",
    "export as TIFF or PNG",
)
_KINDS = (HEIF, AVIF, _JXL, _JXR, RAW, _LAYERED, _DRAWING, _DOCUMENT, _VIDEO, _SCIENCE)
_BY_SUFFIX = {suffix: kind for kind in _KINDS for suffix in kind.suffixes.split()}

# Beginnings of files; "." in a pattern is any byte.
_STARTS = (
    (rb"....ftyp(hei[cfmsx]|hev[cmsx]|mif1|msf1)", HEIF),
    (rb"....ftypavi[fs]", AVIF),
    (rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", _JXL),
    (rb"II\xbc", _JXR),
    (rb"(II\*\0|MM\0\*)....CR|....ftypcrx|FUJIFILMCCD-RAW|IIU\0|IIR[OS]|MMOR|FOVb|\0MRM", RAW),
    (rb"8BP[SB]|gimp xcf", _LAYERED),
    (
        rb"%!PS|\xc5\xd0\xd3\xc6|\xd7\xcd\xc6\x9a|\s*(<\?xml.*)?(<!--.*)?(<!DOCTYPE svg|<svg)",
        _DRAWING,
    ),
    (rb"%PDF|AT&TFORM", _DOCUMENT),
    (
        rb"....ftyp|....(moov|mdat|wide|free)|\x1aE\xdf\xa3|RIFF....AVI |FLV|\0\0\1[\xb3\xba]",
        _VIDEO,
    ),
    (rb".{128}DICM|\x76\x2f\x31\x01|#\?RADIANCE|SIMPLE  =", _SCIENCE),
)


def is_readable(kind: Kind) -> bool:
    """Whether the library that reads a kind is installed; False for kinds that none does."""
    if kind is HEIF:
        return find_spec("pillow_heif") is not None
    return kind is AVIF and find_spec("PIL._avif") is not None


def kind_of_name(name: str) -> Kind | None:
    """What a file is by its name, if it can't be read; None for images and all that isn't known."""
    kind = _BY_SUFFIX.get(name.rpartition(".")[2].lower()) if "." in name.lstrip(".") else None
    return None if kind is None or is_readable(kind) else kind


def kind_of_content(start: bytes) -> Kind | None:
    """What a file is by its first bytes (some hundred), if these are of a kind of ours."""
    return next((kind for start_, kind in _STARTS if re.match(start_, start, re.DOTALL)), None)


def told(left_out: Counter[Kind]) -> str:
    """One sentence about files that were left out, by their kinds, with what to do."""
    listed = ", ".join(f"{kind.counted(n)} ({kind.remedy})" for kind, n in left_out.items())
    return f"left out, as they can't be read: {listed}"
