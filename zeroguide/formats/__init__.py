"""What a Labeling can be written as: one file for each format."""

from __future__ import annotations

import secrets
from os import PathLike
from pathlib import Path

from zeroguide.errors import ZeroguideError


def write_atomically(path: str | PathLike[str], data: bytes) -> None:
    """Write a file under a temporary name beside it, then rename: it is there whole or not at all.

    Raises ZeroguideError if the folder is missing, not writable or full.
    """
    path = Path(path)
    # not tempfile: its files are private to the user, and a result is to be as readable as others
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(6)}.tmp")
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
        ) from e
