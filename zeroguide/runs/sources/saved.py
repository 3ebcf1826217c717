"""Folders that `save_to_disk` of Hugging Face `datasets` has written: Arrow files and JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path

from zeroguide.errors import UsageError
from zeroguide.runs.sources.item import Spot, reason
from zeroguide.runs.sources.keys import joined


def tables_of(folder: Spot) -> list[Spot] | None:
    """The files of a folder that `save_to_disk` of `datasets` has written; None for another one.

    Raises UsageError if what describes it is damaged.
    """
    try:
        splits = [folder]
        if (Path(folder.path) / "dataset_dict.json").is_file():
            names = json.loads((Path(folder.path) / "dataset_dict.json").read_bytes())["splits"]
            splits = [_below(folder, name) for name in names]
        elif not all(
            (Path(folder.path) / n).is_file() for n in ("state.json", "dataset_info.json")
        ):
            return None
        tables = []
        for split in splits:
            state = json.loads((Path(split.path) / "state.json").read_bytes())
            tables += [_below(split, file["filename"]) for file in state["_data_files"]]
        return tables
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{folder.name}: is a damaged data set ({reason(error)}); save it again"
        ) from None


def _below(folder: Spot, name: str) -> Spot:
    if not isinstance(name, str) or "/" in name or name in ("", ".", ".."):
        raise ValueError(f"{name!r} is no file name")
    path, key = os.path.join(folder.path, name), joined(folder.key, name)
    return Spot(path, key, os.path.join(folder.name, name))
