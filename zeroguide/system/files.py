"""Files that are there whole or not at all, what a killed program leaves of them, their names."""

from __future__ import annotations

import contextlib
import io
import os
import re
import secrets
import socket
import tempfile
import zlib
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from zeroguide.errors import OutputError, ZeroguideError

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image

_SOFTWARE = ("Software", "zeroguide")

_TEMPORARY = re.compile(
    r"\..*\.(?P<host>[0-9a-f]{8})-(?P<process>\d+)-[0-9a-f]{12}\.tmp", re.DOTALL
)


def write_atomically(path: str | PathLike[str], data: bytes) -> None:
    """Write a file under a temporary name beside it, then rename: it is there whole or not at all.

    Raises ZeroguideError, its context the OSError, if the folder is missing, not writable or full.
    """
    path = Path(path)
    # not tempfile: its files are private to the user, and a result is to be as readable as others
    writer = f"{_host()}-{os.getpid()}-{secrets.token_hex(6)}"
    temporary = path.with_name(f".{path.name[:40]}.{writer}.tmp")
    try:
        try:
            with open(temporary, "xb") as file:
                file.write(data)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as e:
        raise ZeroguideError(
            f"{path}: can't be written ({e.strerror}); name a file in an existing folder that you "
            "may write to."
        ) from None


def write_png(pixels: PIL.Image.Image | np.ndarray, path: str | PathLike[str]) -> None:
    """Write a picture as `png_bytes` gives it, whole or not at all."""
    write_atomically(path, png_bytes(pixels))


def png_bytes(pixels: PIL.Image.Image | np.ndarray) -> bytes:
    """A picture, or an (H, W) uint16 array as 16-bit grey, as a PNG file.

    It names this program, so that `is_own_png` can tell it from a user's picture.
    """
    import PIL.Image
    from PIL.PngImagePlugin import PngInfo

    picture = pixels if isinstance(pixels, PIL.Image.Image) else PIL.Image.fromarray(pixels)
    data, info = io.BytesIO(), PngInfo()
    info.add_text(*_SOFTWARE)
    # Level 3 takes half the time of the usual 6 for a tenth more bytes.
    picture.save(data, format="PNG", pnginfo=info, compress_level=3)
    return data.getvalue()


def is_own_png(path: str | PathLike[str]) -> bool:
    """Whether a file is there and `write_png` has written it."""
    try:
        with open(path, "rb") as file:
            return "\0".join(_SOFTWARE).encode() in file.read(256)
    except OSError:
        return False


@contextlib.contextmanager
def output_folder(path: str | PathLike[str]) -> Iterator[None]:
    """Make sure results can be written to a folder; what stays empty is removed at the end."""
    path = Path(path)
    created = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        for folder in created:
            with contextlib.suppress(OSError):
                folder.rmdir()
        if path.exists() and not path.is_dir():
            raise OutputError(f"{path}: is a file, not a folder; name another with -o") from error
        raise OutputError(
            f"{path}: can't write to this folder ({error.strerror}); "
            "make it writable or choose another with -o"
        ) from error
    try:
        yield
    finally:
        for folder in created:
            with contextlib.suppress(OSError):
                folder.rmdir()


def readable_name(text: str) -> str:
    """A text with names of files as any program takes it: bytes that aren't UTF-8 become \\xe9."""
    return re.sub("[\ud800-\udfff]", _escaped, text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])  # 0xdc80 to 0xdcff is how Python carries such a byte
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def remove_leftovers(folder: str | PathLike[str]) -> None:
    """Delete the temporary files below a folder whose writers, on this machine, are dead."""
    for place, _, files in os.walk(folder):
        for name in files:
            match = _TEMPORARY.fullmatch(name)
            if match and match["host"] == _host() and not _is_alive(int(match["process"])):
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(place, name))


def _host() -> str:
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)  # asks only
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True
