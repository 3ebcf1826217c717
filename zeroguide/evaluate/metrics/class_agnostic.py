"""COCO's AP and AR of masks, names left out: pycocotools with a single category.

AR@100 is the recall of true masks averaged over IoU 0.5..0.95, with the 100 best scored masks of an
image. AP needs scores that mean the same in all images; where a method has none, only AR says
something. Segments of one label map don't overlap, so a method with parts and wholes gains by
handing in overlapping masks.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from zeroguide.evaluate.metrics.overlap import VOID, check_label_map
from zeroguide.result.rle import RLE, checked

# COCOeval's summary, and where it holds what is given here.
NAMES = {"AP": 0, "AP50": 1, "AP75": 2, "AR1": 6, "AR10": 7, "AR100": 8}
SIZES = {"AR100 small": 9, "AR100 medium": 10, "AR100 large": 11}
THRESHOLDS = np.linspace(0.5, 0.95, 10)  # of IoU


class ClassAgnostic:
    """Collects images' masks, then scores them all together."""

    def __init__(self) -> None:
        self._images: list[dict[str, int]] = []
        self._truths: list[dict[str, Any]] = []
        self._predictions: list[dict[str, Any]] = []

    def add(
        self,
        masks: Sequence[RLE],
        scores: Sequence[float],
        truths: Sequence[RLE],
        *,
        crowd: Sequence[bool] | None = None,
    ) -> None:
        """Adds one image.

        Args:
            masks: its predicted masks; `encode` makes them from a label map.
            scores: one per mask, higher is better.
            truths: its true masks.
            crowd: which of them are crowds, in which any number of masks is ignored.

        Raises ValueError for codes that are damaged or of different sizes.
        """
        from pycocotools import mask as coco_mask

        if len(masks) != len(scores):
            raise ValueError(f"{len(masks)} masks but {len(scores)} scores")
        codes = [*masks, *truths]
        height, width = codes[0]["size"] if codes else (0, 0)
        try:
            masks = [checked(code, (height, width)) for code in masks]
            truths = [checked(code, (height, width)) for code in truths]
        except ValueError as error:
            raise ValueError(f"a mask of one image {error}") from error
        image = len(self._images) + 1
        self._images.append({"id": image, "height": height, "width": width})
        self._predictions += [
            {"image_id": image, "category_id": 1, "segmentation": mask, "score": float(score)}
            for mask, score in zip(masks, scores, strict=True)
        ]
        crowds = [False] * len(truths) if crowd is None else crowd
        self._truths += [
            {
                "id": len(self._truths) + number,
                "image_id": image,
                "category_id": 1,
                "iscrowd": int(is_crowd),
                "segmentation": truth,
                "area": float(coco_mask.area(truth)),
                "bbox": list(coco_mask.toBbox(truth)),
            }
            for number, (truth, is_crowd) in enumerate(zip(truths, crowds, strict=True), start=1)
        ]

    def scores(self) -> dict[str, float]:
        """AP, AP50, AP75, AR1, AR10, AR100 and AR100 by size, in [0, 1]; NaN without truths.

        Crowds are no truths here. Small is below 32 x 32 pixels, large above 96 x 96.
        """
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        wanted = NAMES | SIZES
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO()
            truth.dataset = {
                "info": {},
                "images": self._images,
                "annotations": self._truths,
                "categories": [{"id": 1, "name": "mask"}],
            }
            truth.createIndex()
            if not self._predictions:
                asked = any(not truth["iscrowd"] for truth in self._truths)
                none = 0.0 if asked else float("nan")
                return dict.fromkeys(wanted, none)
            evaluation = COCOeval(truth, truth.loadRes(self._predictions), "segm")
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        stats = {name: float(evaluation.stats[index]) for name, index in wanted.items()}
        return {name: value if value >= 0 else float("nan") for name, value in stats.items()}


def average_recall(ious: np.ndarray, scores: np.ndarray, *, limit: int = 100) -> float:
    """AR@100 of one image in [0, 1], as COCO's evaluation gives it, without running all of that.

    At each threshold the masks, best scored first, take the true one they fit best among those
    still free (the last of equals). Crowds come after all others there, so they change no recall.

    Args:
        ious: (m, n) IoU of masks and true masks, crowds left out.
        scores: (m,) of the masks; equal scores keep their order.
        limit: how many masks count.

    NaN without true masks.
    """
    n = ious.shape[1]
    if not n:
        return float("nan")
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")[:limit]
    ious = ious[order]
    # The true masks that each mask can match at all: few, so that plain loops are quick.
    masks, truths = np.nonzero(ious >= THRESHOLDS[0])
    near: dict[int, list[tuple[float, int]]] = {}
    for mask, truth in zip(masks.tolist(), truths.tolist(), strict=True):
        near.setdefault(mask, []).append((float(ious[mask, truth]), truth))
    found = 0
    for threshold in THRESHOLDS.tolist():
        taken: set[int] = set()
        for pairs in near.values():
            fitting = [pair for pair in pairs if pair[0] >= threshold and pair[1] not in taken]
            if fitting:
                taken.add(max(fitting)[1])
        found += len(taken)
    return found / (len(THRESHOLDS) * n)


def encode(label_map: np.ndarray, n: int, *, void: np.ndarray | None = None) -> list[RLE]:
    """The masks of a label map as COCO's run-length codes, all from one pass over its pixels.

    Args:
        label_map: (H, W) int, 0..n-1, or -1 for pixels of no mask.
        n: how many masks; empty ones are kept, so that code i is label i.
        void: (H, W) bool, pixels to leave out of every mask, such as those the truth says nothing
            about; None: none.
    """
    from pycocotools import mask as codes

    check_label_map(label_map, n, "label_map")
    if void is not None:
        label_map = np.where(void, VOID, label_map)
    pixels = label_map.ravel(order="F")  # the codes go down the columns
    starts = np.append(0, np.flatnonzero(pixels[1:] != pixels[:-1]) + 1)
    ends = np.append(starts[1:], len(pixels))
    labels = pixels[starts]
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.arange(n + 1))
    plain = []
    for i in range(n):
        runs = order[bounds[i] : bounds[i + 1]]
        # Where the mask begins and ends, in turn: the codes are the distances between them.
        edges = np.stack([starts[runs], ends[runs]], axis=1).ravel()
        counts = np.diff(edges, prepend=0, append=len(pixels)).tolist()
        if not counts[-1] and len(runs):  # the mask ends with the image: so does its code
            counts.pop()
        plain.append({"size": list(label_map.shape), "counts": counts})
    return codes.frPyObjects(plain, *label_map.shape) if plain else []
