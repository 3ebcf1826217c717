"""Protocols that don't ask what a segment is called: per-image matching, masks, foreground, cost.

Each takes an image's `Case` and gives its numbers by key.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zeroguide.evaluate.metrics.boundary import boundary_counts, boundary_iou
from zeroguide.evaluate.metrics.class_agnostic import ClassAgnostic, average_recall
from zeroguide.evaluate.metrics.panoptic import panoptic_counts
from zeroguide.evaluate.metrics.recall import best_ious
from zeroguide.evaluate.metrics.saliency import corloc, f_curve, foreground_iou, mask_box
from zeroguide.evaluate.metrics.semantic import class_counts
from zeroguide.evaluate.metrics.unsupervised import image_matching
from zeroguide.evaluate.scoring.image import (
    NAMELESS,
    Case,
    Numbers,
    accuracy_sums,
    iou_sums,
    ratio,
)
from zeroguide.evaluate.scoring.rows import Masks
from zeroguide.result.rle import RLE

BACKGROUND = "background"


def per_image(case: Case) -> Numbers:
    """Hungarian matching of this image alone; what is in no segment is background, if there is."""
    background = case.classes.background
    for variant, published in (("left over: missed", False), ("released code", True)):
        classes = image_matching(case.overlap, background=background, published=published)
        counts = class_counts(case.overlap, classes, unassigned_as=background)
        yield f"image_miou/{variant}", iou_sums(counts)
        yield f"image_accuracy/{variant}", accuracy_sums(counts)


def class_agnostic(case: Case) -> Numbers:
    """Recall, best overlap, borders and PQ without names; AP needs all images together."""
    overlap, crowd = case.region_overlap, case.regions.crowd
    n = len(crowd)
    counted = (overlap.truth_areas[:n] > 0) & ~crowd
    total = int(counted.sum())
    if total:
        ious, scores = _ious(case, counted)
        for limit in (1, 10, 100):
            found = average_recall(ious, scores, limit=limit)
            yield f"ar{limit}", ratio(found * total, total)
    yield "best_overlap", ratio(float(best_ious(overlap)[:n][counted].sum()), total)
    if len(overlap.counts):
        borders = boundary_iou(
            case.prediction.label_map, case.region_map, len(overlap.counts), n + 1
        )
        fitting = borders[overlap.iou.argmax(axis=0), np.arange(n + 1)]
        yield "boundary_iou", ratio(float(fitting[:n][counted].sum()), total)
    else:
        yield "boundary_iou", ratio(0.0, total)
    truths_filled = [case.filled(each) for each in case.annotations]
    yield "boundary_f", boundary_counts(case.prediction.label_map, truths_filled).f
    counts = panoptic_counts(
        overlap,
        np.zeros(len(overlap.counts), dtype=int),
        np.append(np.zeros(n, dtype=int), -2),  # what is known but no region
        1,
        crowd=np.append(crowd, False),
    )
    below = float((counts.tp + 0.5 * counts.fp + 0.5 * counts.fn)[0])
    yield "mask_pq", ratio(float(counts.iou[0]), below)


def _ious(case: Case, counted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(m, n) IoU of masks and the true regions that count, (m,) scores; empty masks are none."""
    scores = np.array(case.masks.scores)
    if case.prediction.masks is None:  # the table of pixels holds what masks would say
        kept = case.region_overlap.areas > 0
        ious = case.region_overlap.iou[kept][:, :-1][:, counted]
        return ious, scores[kept]
    from pycocotools import mask as codes

    size = list(case.masks.size)
    predicted = [rle(text, size) for text in case.masks.predicted]
    kept = np.array([codes.area(mask) > 0 for mask in predicted], dtype=bool)
    true = [rle(case.masks.true[i], size) for i in np.flatnonzero(counted)]
    if not kept.any():
        return np.zeros((0, len(true))), scores[kept]
    shown = [predicted[i] for i in np.flatnonzero(kept)]
    return codes.iou(shown, true, [0] * len(true)), scores[kept]


def add_masks(collected: ClassAgnostic, masks: Masks) -> None:
    """Hand an image's masks to COCO's evaluation, empty ones excepted."""
    from pycocotools import mask as codes

    size = list(masks.size)
    predicted = [rle(text, size) for text in masks.predicted]
    kept = [i for i, mask in enumerate(predicted) if codes.area(mask)]
    collected.add(
        [predicted[i] for i in kept],
        [masks.scores[i] for i in kept],
        [rle(text, size) for text in masks.true],
        crowd=masks.crowd,
    )


def rle(text: str, size: Sequence[int]) -> RLE:
    """COCO's run-length code from the text that a row keeps."""
    return {"size": list(size), "counts": text.encode("ascii")}


def foreground(case: Case) -> Numbers:
    """Foreground IoU and CorLoc."""
    from scipy.ndimage import label as pieces_of

    mask = foreground_mask(case)
    yield "foreground_iou", foreground_iou(mask, foreground_truth(case))
    pieces, n = pieces_of(mask)
    box = None
    if n:
        areas = np.bincount(pieces.ravel())
        areas[0] = 0
        box = mask_box(pieces == areas.argmax())
    true = [mask_box(case.regions.label_map == i) for i in range(len(case.regions.classes))]
    boxes = [each for each in true if each is not None]
    if boxes:
        yield "corloc", float(corloc(box, np.array(boxes)))


def foreground_points(case: Case) -> tuple[float, float, float]:
    """A mask's F curve has two points: precision of everything, precision and recall of it."""
    curve = f_curve(foreground_mask(case), foreground_truth(case))
    return float(curve.precision[0]), float(curve.precision[1]), float(curve.recall[1])


def foreground_mask(case: Case) -> np.ndarray:
    """(H, W) bool: all segments but the background's.

    That is the segments called background, or else the pixels of no segment, or else the segment
    with most pixels on the image's border.
    """
    label_map, labels = case.prediction.label_map, case.prediction.labels
    called = [i for i, label in enumerate(labels) if label.casefold() == BACKGROUND]
    if not called and labels and (label_map >= 0).all():
        border = np.concatenate(
            [label_map[0], label_map[-1], label_map[1:-1, 0], label_map[1:-1, -1]]
        )
        called = [int(np.bincount(border).argmax())]
    mask: np.ndarray = (label_map >= 0) & ~np.isin(label_map, called)
    return mask


def foreground_truth(case: Case) -> np.ndarray:
    """(H, W) int: 1 foreground, 0 background, -1 void."""
    background = case.classes.background
    return np.where(case.truth < 0, -1, (case.truth != background).astype(np.int32))


def cost(case: Case) -> Numbers:
    """Coverage, number of segments, seconds; what has no name covers nothing."""
    known = int((~case.void).sum())
    named = np.array([label not in NAMELESS for label in case.prediction.labels], dtype=bool)
    labelled = np.append(named, False)[case.prediction.label_map]  # no segment: -1, the last
    covered = int((labelled & ~case.void).sum())
    yield "coverage", ratio(covered, known)
    yield "segments", float(len(case.prediction.labels))
    if case.prediction.seconds is not None:
        yield "seconds", case.prediction.seconds
