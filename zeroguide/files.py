"""Files that are there whole or not at all, what a killed program leaves of them, their names."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import socket
import zlib
from os import PathLike
from pathlib import Path

from zeroguide.errors import ZeroguideError

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


def readable_name(text: str) -> str:
    """A text with names of files as any program takes it: bytes that aren't UTF-8 become \\xe9."""
    return re.sub("[\ud800-\udfff]", _escaped, text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])  # 0xdc80 to 0xdcff is how Python carries such a byte
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def remove_leftovers(folder: Path) -> None:
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
