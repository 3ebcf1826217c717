"""What a search's hits were cut from: an image's labels and pixels by its key, wherever they lie.

Failure modes: an archive has to be read up to the image, a compressed one twice; images of the hub
are not fetched again.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from zeroguide.errors import ImageError, UsageError, ZeroguideError
from zeroguide.image import open_image, read_image
from zeroguide.result import Labeling
from zeroguide.result.provenance import value_range
from zeroguide.runs.layout import part_files, result_path
from zeroguide.runs.run_folder import RunFolder
from zeroguide.runs.sources import Item, find_items


class Sources:
    """Some of a run's images.

    Args:
        run: where they were labelled.
        images: their keys, each with the image's file, None where there is none by that name.
    """

    def __init__(self, run: RunFolder, images: Mapping[str, Path | None]) -> None:
        self._run = run
        self._value_range = value_range(run.manifest.recipe) if run.manifest else None
        self._images = images
        self._texts = _from_parts(run, set(images))
        self._packed = _packed(run, {key for key, path in images.items() if path is None})

    def labeling(self, key: str) -> Labeling | None:
        """The image's result; None if it is gone or damaged since the search."""
        try:
            if key in self._texts:
                return Labeling.from_dict(json.loads(self._texts[key]))
            return Labeling.load(result_path(self._run.path, key))
        except (ZeroguideError, ValueError):
            return None

    def pixels(self, key: str, sha256: str) -> tuple[np.ndarray | None, str]:
        """The pixels (H, W, 3) uint8 of the image with this hash, or None and the reason."""
        path = self._images[key]
        try:
            if path is not None:
                image = open_image(path, self._value_range)
            elif key in self._packed:
                image = read_image(self._packed[key].read(), key, self._value_range)
            else:
                return None, "image not found"
        except ImageError:
            return None, "image not readable"
        return (image.pixels, "") if image.sha256 == sha256 else (None, "image changed")


def _from_parts(run: RunFolder, keys: set[str]) -> dict[str, str]:
    """The results of these images where they lie in a cluster's files, by key."""
    paths = part_files(run.path)
    if not paths:
        return {}
    from zeroguide.runs.parts import read_keys, read_parts

    # Keys are quickly read, so that only few files are read whole.
    holding = [path for path in paths if not keys.isdisjoint(read_keys([path]))]
    return {key: text for key, text in read_parts(holding) if key in keys}


def _packed(run: RunFolder, keys: set[str]) -> dict[str, Item]:
    """Those of these images that lie in an archive or a table, by key."""
    inside: defaultdict[Path, dict[str, str]] = defaultdict(dict)  # container -> its keys -> key
    for key in keys:
        for root in run.manifest.roots if run.manifest else []:
            parts = key.split("/")
            above = ["/".join(parts[:n]) for n in range(1, len(parts))]
            paths = [run.photos.places.path(root, place) for place in above]
            depth = next((n for n, path in enumerate(paths) if os.path.isfile(path)), None)
            if depth is not None:
                inside[Path(paths[depth])]["/".join(parts[depth:])] = key
                break
    found: dict[str, Item] = {}
    for container, wanted in inside.items():
        try:
            for item in find_items([str(container)], run.path, lambda text: None, offline=True):
                if item.key in wanted:
                    found[wanted.pop(item.key)] = item
                if not wanted:
                    break
        except UsageError:  # no archive any more
            continue
    return found
