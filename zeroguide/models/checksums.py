"""Model files compared with the checksums that are recorded for them, to find silent damage.

A file of the hub's cache is a link to a blob that is named by its checksum: the SHA-256 of a large
file, git's SHA-1 of a small one. Any other folder can hold a file `SHA256SUMS`, as `sha256sum`
writes it; the shipped models' folders do. A folder without either can't be checked: a flipped bit
in a weight leaves a sound file with another number in it.
"""

from __future__ import annotations

import hashlib
import re
from functools import partial
from os import PathLike
from pathlib import Path

from zeroguide.errors import WeightsError

SUMS = "SHA256SUMS"


def compare(folder: str | PathLike[str]) -> dict[Path, bool]:
    """Each file of a model's folder with a known checksum -> whether it has it.

    A file that `SHA256SUMS` lists and that isn't there is one that hasn't. Raises WeightsError if
    that list can't be read.
    """
    folder = Path(folder)
    intact = {
        path: _is_blob(path)
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() and path.is_file() and _is_blob_name(path.resolve().name)
    }
    if (folder / SUMS).is_file():
        for name, digest in _recorded(folder / SUMS).items():
            path = folder / name
            intact[path] = path.is_file() and _digest(path, "sha256") == digest
    return intact


def _recorded(path: Path) -> dict[str, str]:
    """Name -> digest of a list as `sha256sum` writes it."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        entries = [re.fullmatch(r"([0-9a-f]{64}) [ *]([^/\\]+)", line) for line in lines if line]
    except (OSError, UnicodeDecodeError) as e:
        raise WeightsError(f"{path} can't be read ({e}): copy it again or delete it") from None
    if not all(entries):
        raise WeightsError(f"{path} isn't a list of sha256sum: write it again or delete it")
    return {entry[2]: entry[1] for entry in entries if entry}


def _is_blob_name(name: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", name) is not None


def _is_blob(path: Path) -> bool:
    """Whether the blob behind a link has the checksum in its name."""
    blob = path.resolve()
    if len(blob.name) == 64:
        return _digest(blob, "sha256") == blob.name
    # Git puts this before a file's bytes; some mirrors name by the plain SHA-1.
    header = f"blob {blob.stat().st_size}\0".encode()
    return blob.name in (_digest(blob, "sha1", header), _digest(blob, "sha1"))


def _digest(path: Path, method: str, before: bytes = b"") -> str:
    with path.open("rb") as file:
        start = partial(hashlib.new, method, before, usedforsecurity=False)
        return hashlib.file_digest(file, start).hexdigest()
