"""The Playroom as a data set: scenes rendered on the fly, each a function of seed and index.

No files at all. Classes are the world's 104 names; in a scene every name is one region, so a thing
is never there twice. Truths are exact to the pixel and nothing is void.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from zeroguide.evaluate.datasets.base import ClassName, Dataset, Entry, Regions
from zeroguide.image import Image, from_array
from zeroguide.image.value_range import Range
from zeroguide.playroom import NAMES, THINGS, Scene, render

TEST_SEED = 3
"""The world kept for tests: models were trained, and settings chosen, on other seeds."""

SCENES = 200
SIZE = 112
"""Height and width in pixels: what the shipped models were trained at."""


class Playroom(Dataset):
    """Scenes 0..n-1 of one world."""

    def __init__(self, seed: int, n_scenes: int, size: int) -> None:
        classes = [ClassName(name, kind="thing" if name in THINGS else "stuff") for name in NAMES]
        names = [f"playroom-{seed}-{index:05d}" for index in range(n_scenes)]
        entries = [Entry(name, None, None) for name in names]
        super().__init__("playroom", classes, entries, "zeroguide itself")
        self.seed = seed
        self.size = size

    def scene(self, entry: Entry) -> Scene:
        """The rendered scene; the last few are kept, as image and truth are asked for in turn."""
        return _render(self.seed, int(entry.name.rpartition("-")[2]), self.size)

    def open_image(self, entry: Entry, value_range: Range | None = None) -> Image:
        """The rendered picture, (H, W, 3) uint8."""
        return from_array(self.scene(entry).pixels, f"{entry.name}.png")

    def read_semantic(self, entry: Entry) -> np.ndarray:
        """(H, W) int32 class indices, none void."""
        regions = self.read_annotations(entry)[0]
        return regions.classes[regions.label_map]

    def read_annotations(self, entry: Entry) -> tuple[Regions, ...]:
        """One annotation: the scene's own regions."""
        scene = self.scene(entry)
        classes = np.array([NAMES.index(name) for name in scene.names], dtype=np.int32)
        return (Regions(scene.label_map.astype(np.int32), classes, np.zeros(len(classes), bool)),)


@lru_cache(maxsize=4)
def _render(seed: int, index: int, size: int) -> Scene:
    return render(seed, index, size=size)
