"""The labels of a run, for the page: listed with examples, renamed, joined, taken back."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np

from zeroguide.errors import UsageError
from zeroguide.result.html_page import data_url
from zeroguide.runs import label_maps
from zeroguide.runs.relabel import Example, LabelCount, Relabelled, count_labels, relabel, restore
from zeroguide.runs.run_folder import RunFolder
from zeroguide.runs.search.sheet import view
from zeroguide.runs.search.sources import Sources
from zeroguide.web.typed_names import clean_name

EXAMPLES = 3  # of each label
MOST_SHOWN = 24  # labels whose examples are made by one call
SIDE = 160  # pixels of an example at its longer side
MOST_KEPT = 4000  # pictures of examples; each has a few thousand bytes


class Taxonomy:
    """The labels of one run, for all who have the page open.

    Changes are made in the run's files by `zeroguide.runs.relabel`, at once. What was changed since
    the page was started can be taken back step by step.

    Args:
        folder: the run's.
        photos_at: where its photos have moved to.

    Raises UsageError for a folder without labels, ZeroguideError for a damaged result; so does
    every method.
    """

    def __init__(
        self, folder: str | PathLike[str], photos_at: str | PathLike[str] | None = None
    ) -> None:
        self._run = RunFolder(folder, photos_at=photos_at)
        self._photos_at = photos_at
        self._before: list[dict[str, str]] = []
        self._tiles: OrderedDict[Example, str | None] = OrderedDict()
        self._lock = threading.RLock()
        self._counts = self._count()

    @property
    def name(self) -> str:
        """The folder's."""
        return self._run.path.resolve().name

    def labels(self) -> dict[str, Any]:
        """All labels, the most frequent first; ready for JSON.

        run: its name. images: how many. labels: [label, segments, images] each. undo: whether there
        is something to take back.
        """
        with self._lock:
            self._counts = self._count()  # others may have changed the run
            return {
                "run": self.name,
                "images": len(self._run.keys()),
                "labels": [[own.label, own.segments, own.images] for own in self._counts.values()],
                "undo": bool(self._before),
            }

    def examples(self, labels: Sequence[str]) -> dict[str, list[str]]:
        """Pictures of a few segments of each label, as data URLs.

        Those whose photo is gone are left out. UsageError for more than `MOST_SHOWN` labels.
        """
        if len(labels) > MOST_SHOWN:
            raise UsageError(f"examples of {len(labels)} labels: at most {MOST_SHOWN} at once")
        with self._lock:
            wanted = {
                label: self._counts[label].examples for label in labels if label in self._counts
            }
            self._make([one for examples in wanted.values() for one in examples])
            return {
                label: [tile for one in examples if (tile := self._tiles.get(one))]
                for label, examples in wanted.items()
            }

    def rename(self, old: Sequence[str], new: str) -> str:
        """Give labels a name; several become one. Returns what came of it, a sentence.

        Raises UsageError for a blank name, and for labels that the run doesn't have or that are
        called so already.
        """
        new = clean_name(new)
        renames = {label: new for label in old if label != new}
        if not renames:
            raise UsageError("choose a label and another name for it")
        with self._lock:
            before = label_maps.kept(self._run.path)
            done = relabel(self._run.path, renames, photos_at=self._photos_at)
            self._before.append(before)
            what = f"{len(renames)} labels are" if len(renames) > 1 else f"{next(iter(renames))} is"
            return f"{what} {new} now: {_told(done)}."

    def undo(self) -> str:
        """Take back the last change made here. Returns what came of it, a sentence."""
        with self._lock:
            if not self._before:
                raise UsageError("there is nothing to take back")
            done = restore(self._run.path, self._before[-1], photos_at=self._photos_at)
            self._before.pop()
            return f"Taken back: {_told(done)}."

    def _count(self) -> dict[str, LabelCount]:
        counts = count_labels(self._run.path, examples=EXAMPLES)
        return {count.label: count for count in counts}

    def _make(self, examples: Sequence[Example]) -> None:
        """Pictures of these segments; None where there is none."""
        missing = [one for one in examples if one not in self._tiles]
        keys = {one.key for one in missing}
        results = Sources(self._run, dict.fromkeys(keys, self._run.path))  # photos: when known
        labelings = {key: results.labeling(key) for key in keys}
        known = {key: found for key, found in labelings.items() if found is not None}
        files = {key: self._run.photos.find(key, found.sha256) for key, found in known.items()}
        photos = Sources(self._run, files)
        for key in sorted(keys):
            labeling = known.get(key)
            pixels = None if labeling is None else photos.pixels(key, labeling.sha256)[0]
            for one in missing:
                if one.key != key:
                    continue
                tile = None
                if labeling is not None and pixels is not None:
                    shown = view(pixels, labeling.mask(one.segment))
                    tile = data_url(np.asarray(shown), SIDE, quality=80)
                self._tiles[one] = tile
        for one in examples:
            self._tiles.move_to_end(one)
        while len(self._tiles) > MOST_KEPT:
            self._tiles.popitem(last=False)


def _told(done: Relabelled) -> str:
    told = f"{done.segments} segments of {done.images} images"
    if done.not_drawn:
        told += f"; {done.not_drawn} overlays still show the old names, as their photos are gone"
    return told
