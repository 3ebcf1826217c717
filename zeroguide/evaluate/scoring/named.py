"""Protocols that ask what a segment is called: TT, ST, semantic, lexical ladder, naming, panoptic.

Each takes an image's `Case` and gives its numbers by key.
"""

from __future__ import annotations

import numpy as np

from zeroguide.evaluate.metrics.assignment import (
    ST_THRESHOLD,
    TT_THRESHOLD,
    assign,
    cosine,
    keep_best,
)
from zeroguide.evaluate.metrics.lac import LADDER, Level, assign_up_to, ladder, relation_levels
from zeroguide.evaluate.metrics.naming import clip_score, ref_clip_score, similar_enough, top1
from zeroguide.evaluate.metrics.open_vocabulary import (
    class_ious,
    image_iou,
    misnamed,
    soft_ious,
    word_iou,
)
from zeroguide.evaluate.metrics.panoptic import panoptic_counts
from zeroguide.evaluate.metrics.recall import SegmentRecall, segment_recall
from zeroguide.evaluate.metrics.semantic import class_counts
from zeroguide.evaluate.scoring.image import Case, Numbers, accuracy_sums, iou_sums, ratio, sparse
from zeroguide.evaluate.scoring.metrics_table import LADDER_NAMES, NAMES

_HALF = 50  # of recall's 101 thresholds


def tt(case: Case) -> Numbers:
    """IoU_TT and segment recall."""
    yield from _open_vocabulary(case, "tt", case.tt, TT_THRESHOLD)


def st(case: Case) -> Numbers:
    """IoU_ST and segment recall."""
    yield from _open_vocabulary(case, "st", case.st, ST_THRESHOLD)


def _open_vocabulary(case: Case, way: str, similarity: np.ndarray, threshold: float) -> Numbers:
    background = case.classes.background
    for names, allowed in zip(NAMES, (case.classes.candidates, case.own), strict=True):
        classes = assign(similarity, threshold=threshold, allowed=allowed)
        best = keep_best(classes, similarity, case.overlap.areas)
        for how, taken in (("union", classes), ("argmax", best)):
            ious = class_ious(case.overlap, taken, background=background)
            yield f"iou_{way}/{how}, {names}", image_iou(ious)
        recall = segment_recall(case.overlap, classes, background=background)
        average, released = recall.average
        yield f"recall50_{way}/{names}", float(recall.truth[_HALF])
        yield f"ar_{way}/{names}", average
        yield f"ar_released_{way}/{names}", released


def tt_recall(case: Case) -> SegmentRecall:
    """The recall curve of TT with all names."""
    classes = assign(case.tt, threshold=TT_THRESHOLD, allowed=case.classes.candidates)
    return segment_recall(case.overlap, classes, background=case.classes.background)


def semantic_tt(case: Case) -> Numbers:
    """Data set mIoU, accuracy, soft IoU, S-IoU and MCMR, by text."""
    background, allowed = case.classes.background, case.classes.candidates
    classes = assign(case.tt, threshold=TT_THRESHOLD, allowed=allowed)
    yield from _semantic(case, "TT", classes)
    if any(case.classes.synonyms):
        wider = assign(case.tt_synonyms, threshold=TT_THRESHOLD, allowed=allowed)
        counts = class_counts(case.overlap, wider, unassigned_as=background)
        yield "miou/TT, synonyms", iou_sums(counts)
        yield "accuracy/TT, synonyms", accuracy_sums(counts)
    # Pixels that segments are right about, weighted; those of the background count as they are.
    words = np.zeros_like(case.tt)
    for i, (label, taken) in enumerate(zip(case.prediction.labels, classes, strict=True)):
        if taken >= 0:
            words[i, taken] = word_iou(label, case.classes.names[taken])
    plain = class_counts(case.overlap, classes)
    counts = class_counts(case.overlap, classes, unassigned_as=background)
    for name, weights in (("soft_iou", case.tt), ("s_iou", words)):
        ious = soft_ious(case.overlap, classes, weights)
        right = np.nan_to_num(ious) * plain.union
        if background is not None:
            right[background] = counts.tp[background]
        yield f"{name}/TT", sparse(right, counts.union)


def semantic_st(case: Case) -> Numbers:
    """Data set mIoU, accuracy and MCMR, by embedding."""
    classes = assign(case.st, threshold=ST_THRESHOLD, allowed=case.classes.candidates)
    yield from _semantic(case, "ST", classes)


def _semantic(case: Case, way: str, classes: np.ndarray) -> Numbers:
    counts = class_counts(case.overlap, classes, unassigned_as=case.classes.background)
    yield f"miou/{way}", iou_sums(counts)
    yield f"accuracy/{way}", accuracy_sums(counts)
    # What is known but no region has no name to find.
    found = misnamed(case.region_overlap, classes, np.append(case.regions.classes, -1))
    yield f"mcmr50/{way}", ratio(found.localised - found.named, found.localised)


def lac(case: Case) -> Numbers:
    """The ladder: classes by relations of words; listed synonyms are synonyms."""
    levels = _levels(case)
    background = case.classes.background
    for name, level in zip(LADDER_NAMES, LADDER, strict=True):
        counts = class_counts(case.overlap, assign_up_to(levels, level), unassigned_as=background)
        yield f"lac_miou/{name}", iou_sums(counts)
        yield f"lac_accuracy/{name}", accuracy_sums(counts)


def _levels(case: Case) -> np.ndarray:
    """(m, C) Level of each label towards each class; none is related to the background."""
    relation = case.classes.relation
    assert relation is not None
    labels = case.prediction.labels
    levels = relation_levels(labels, [[name] for name in case.classes.names], relation)
    listed = relation_levels(labels, case.classes.synonyms, relation)
    levels = np.minimum(levels, np.maximum(listed, Level.SYNONYM))
    if case.classes.background is not None:
        levels[:, case.classes.background] = Level.NONE
    return levels


def naming(case: Case) -> Numbers:
    """Names of the true regions, which are the segments; those without a class are left out."""
    regions = np.flatnonzero(case.regions.classes >= 0)
    true = case.regions.classes[regions]
    n = len(regions)
    prediction, classes = case.prediction, case.classes
    if classes.encoder is not None:
        similarity = case.tt[regions]
        yield "name_similar", ratio(float(similar_enough(similarity, true).sum()), n)
        yield "name_top1", ratio(float(top1(similarity, true).sum()), n)
    if classes.relation is not None:
        shares = ladder(_levels(case)[regions], true) if n else np.zeros(len(LADDER))
        for name, accepted in zip(LADDER_NAMES, shares, strict=True):
            yield f"name_lac/{name}", ratio(float(accepted) * n, n)
    if prediction.embeddings is None or prediction.text_embeddings is None:
        return
    if classes.clip_names is None:
        return
    yield "name_top1_st", ratio(float(top1(case.st[regions], true).sum()), n)
    texts = prediction.text_embeddings[regions]
    cosines = np.array(
        [
            cosine(a[None], b[None])[0, 0]
            for a, b in zip(prediction.embeddings[regions], texts, strict=True)
        ]
    )
    same = cosine(texts, classes.clip_names)[np.arange(n), true]
    yield "clip_score", ratio(float(clip_score(cosines).sum()), n)
    yield "ref_clip_score", ratio(float(ref_clip_score(cosines, same).sum()), n)


def panoptic(case: Case) -> Numbers:
    """PQ, SQ and RQ by class; segments of one stuff class are one, as COCO wants them."""
    classes = assign(case.tt, threshold=TT_THRESHOLD, allowed=case.classes.candidates)
    groups = np.arange(len(classes))
    for i in np.flatnonzero(classes >= 0):
        if case.classes.stuff[classes[i]]:
            groups[i] = np.flatnonzero(classes == classes[i])[0]
    counts = panoptic_counts(
        case.region_overlap.grouped(groups, len(groups)),
        classes,
        np.append(case.regions.classes, -2),  # what is known but no region
        case.classes.n,
        crowd=np.append(case.regions.crowd, False),
    )
    below = counts.tp + 0.5 * counts.fp + 0.5 * counts.fn
    yield "pq/TT", sparse(counts.iou, below)
    yield "rq/TT", sparse(counts.tp, below)
