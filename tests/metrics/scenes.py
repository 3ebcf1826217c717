"""Label maps to score: drawn by hypothesis, or from photographs with ground truth."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

SEGMENTS, CLASSES = 4, 3
untimed = settings(deadline=None)  # a slow machine is no failure


@st.composite
def scenes(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """(segments, truth) of one size: ids -1..3 and -1..2, in blocks so that borders make sense."""
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    grow = draw(st.sampled_from([1, 3]))
    maps = [
        draw(arrays(np.int32, shape, elements=st.integers(-1, n - 1))) for n in (SEGMENTS, CLASSES)
    ]
    segments, truth = (np.kron(m, np.ones((grow, grow), dtype=np.int32)) for m in maps)
    return segments, truth


def assigned(n: int = SEGMENTS, n_classes: int = CLASSES) -> st.SearchStrategy[np.ndarray]:
    """A class, or -1, for each segment."""
    return arrays(np.int64, n, elements=st.integers(-1, n_classes - 1))


def similarities(n: int = SEGMENTS, n_classes: int = CLASSES) -> st.SearchStrategy[np.ndarray]:
    """(n, n_classes) cosines."""
    return arrays(np.float64, (n, n_classes), elements=st.floats(-1, 1))


@dataclass(frozen=True)
class Photo:
    """A photograph's ground truth: (H, W) regions -1..r-1, the class and crowd flag of each."""

    regions: np.ndarray
    classes: np.ndarray
    crowd: np.ndarray

    @property
    def semantic(self) -> np.ndarray:
        return np.append(self.classes, -1)[self.regions].astype(np.int32)


def photos(folder: Path, limit: int | None = None) -> tuple[list[Photo], int]:
    """Ground truths in the COCO panoptic layout, and the number of classes."""
    content = json.loads((folder / "panoptic.json").read_text())
    index = {category["id"]: i for i, category in enumerate(content["categories"])}
    result = []
    for annotation in content["annotations"][:limit]:
        with Image.open(folder / "panoptic" / annotation["file_name"]) as image:
            colours = np.asarray(image.convert("RGB")).astype(np.int64)
        ids = colours @ np.array([1, 256, 65536])
        infos = annotation["segments_info"]
        regions = np.full(ids.shape, -1, dtype=np.int32)
        for number, info in enumerate(infos):
            regions[ids == info["id"]] = number
        classes = np.array([index[info["category_id"]] for info in infos])
        crowd = np.array([bool(info["iscrowd"]) for info in infos])
        result.append(Photo(regions, classes, crowd))
    return result, len(index)
