"""JSON with the schema zeroguide/1: the lossless format (see `Labeling.to_dict`)."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path

from zeroguide.errors import ZeroguideError
from zeroguide.formats import write_atomically
from zeroguide.labeling import Labeling


def save(labeling: Labeling, path: str | PathLike[str]) -> None:
    """Write UTF-8 JSON, whole or not at all. Raises ZeroguideError if it can't be written."""
    text = json.dumps(labeling.to_dict(), ensure_ascii=False, allow_nan=False, indent=1)
    write_atomically(path, (text + "\n").encode())


def load(path: str | PathLike[str]) -> Labeling:
    """Read what `save` wrote. Raises ZeroguideError if it is missing, damaged or another kind."""
    try:
        return Labeling.from_dict(json.loads(Path(path).read_bytes()))
    except OSError as e:
        raise ZeroguideError(f"{path}: can't be read ({e.strerror}); check the path.") from e
    except ValueError as e:  # also JSONDecodeError and UnicodeDecodeError
        raise ZeroguideError(
            f"{path}: not a zeroguide result ({e}); label the picture again."
        ) from e
