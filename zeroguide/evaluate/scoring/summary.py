"""All images' rows -> results: numbers with intervals, classes, confusions, curves.

Ratios and means have 95 % intervals over images. AP, maxF and SQ have none: they aren't sums over
images. A matching of labels to classes is made once and kept while images are drawn, so those
intervals leave out that another draw might have been matched otherwise.
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from zeroguide.evaluate.metrics.bootstrap import of_ratio
from zeroguide.evaluate.metrics.class_agnostic import ClassAgnostic
from zeroguide.evaluate.metrics.lac import LADDER
from zeroguide.evaluate.metrics.overlap import Overlap
from zeroguide.evaluate.metrics.recall import THRESHOLDS
from zeroguide.evaluate.metrics.saliency import FCurve, max_f
from zeroguide.evaluate.metrics.semantic import nan_mean
from zeroguide.evaluate.metrics.unsupervised import (
    hungarian_counts,
    hungarian_iou,
    majority_vote,
    voc_matching,
)
from zeroguide.evaluate.scoring.image import NAMELESS
from zeroguide.evaluate.scoring.masks import add_masks
from zeroguide.evaluate.scoring.results import (
    METRICS,
    ClassRow,
    Confusion,
    Curve,
    ImageRow,
    Sums,
    Value,
    image_sums,
    make_value,
    split_key,
)
from zeroguide.evaluate.scoring.rows import Row

CONFUSIONS = 200
_MATCHINGS: dict[str, Callable[[Overlap], np.ndarray]] = {
    "Hungarian on pixels": hungarian_counts,
    "Hungarian on IoU": hungarian_iou,
    "VOC's over-clustering": voc_matching,
    "many-to-one": majority_vote,
}


@dataclasses.dataclass(frozen=True)
class Summary:
    """The parts of `Results` that are computed from rows; the fields are its own."""

    summary: tuple[Value, ...]
    classes: tuple[ClassRow, ...]
    images: tuple[ImageRow, ...]
    confusions: tuple[Confusion, ...]
    curves: dict[str, Curve]


def summarise(
    rows: Sequence[Row],
    class_names: Sequence[str],
    protocols: Sequence[str],
    *,
    background: int | None = None,
) -> Summary:
    """Everything that all images together say.

    Args:
        rows: of all images, in the data set's order; those with an error count nowhere.
        class_names: the data set's.
        protocols: names of the families asked for.
        background: the class that pixels of no segment, or of a label without class, are.
    """
    good = [row for row in rows if row.image.error is None]
    extra: dict[str, dict[str, Sums]] = defaultdict(dict)
    if "unsupervised" in protocols and class_names:
        for name, own in _matched(good, len(class_names), background).items():
            for row, sums in zip(good, own, strict=True):
                extra[row.image.name][name] = sums
    images = tuple(
        dataclasses.replace(row.image, sums=row.image.sums | extra[row.image.name]) for row in rows
    )
    scored = [image for image in images if image.error is None]
    keys = list(dict.fromkeys(key for image in scored for key in (*image.values, *image.sums)))
    values = {key: _value(key, scored) for key in keys}
    values |= {value.key: value for value in _others(good, scored, protocols)}
    order = {name: place for place, name in enumerate(METRICS)}
    in_order = sorted(values.values(), key=lambda value: order[value.metric])
    return Summary(
        tuple(in_order),
        _class_rows(good, scored, class_names, keys),
        images,
        _confusions(good, class_names),
        _curves(good, values),
    )


def _value(key: str, scored: Sequence[ImageRow]) -> Value:
    """A mean or ratio over images with its interval."""
    numerators, denominators = image_sums(scored, key)
    n = int((denominators > 0).any(axis=1).sum())
    interval = of_ratio(numerators, denominators)
    return make_value(key, interval.value, interval.low, interval.high, n)


def _others(
    good: Sequence[Row], scored: Sequence[ImageRow], protocols: Sequence[str]
) -> list[Value]:
    """The numbers that aren't ratios of sums over images."""
    nan = math.nan
    values = []

    def add(key: str, value: float, n: int) -> None:
        scale = split_key(key)[0].scale
        values.append(make_value(key, value, nan, nan, n, scale=scale))

    if "class-agnostic" in protocols and good:
        add("ap", _average_precision(good), len(good))
    points = [row.foreground for row in good if row.foreground is not None]
    if points:
        curves = [FCurve(np.array(p[:2]), np.array([1.0, p[2]])) for p in points]
        kept = [curve for curve in curves if not np.isnan(curve.recall[1])]
        add("max_f", max_f(kept), len(kept))
    if any("pq/TT" in image.sums for image in scored):
        iou, below = (each.sum(axis=0) for each in image_sums(scored, "pq/TT"))
        tp = image_sums(scored, "rq/TT")[0].sum(axis=0)
        tp = np.pad(tp, (0, len(iou) - len(tp)))
        quality = np.where(below > 0, iou / np.maximum(tp, 1e-9), nan)  # both in percent
        add(
            "sq/TT", nan_mean(np.where(tp > 0, quality, np.where(below > 0, 0.0, nan))), len(scored)
        )
    if "cost" in protocols and good:
        labels = {label for row in good for label in row.labels} - set(NAMELESS)
        add("distinct_labels", float(len(labels)), len(good))
        peaks = np.array([row.peak_memory for row in good])
        if not np.isnan(peaks).all():
            add("peak_memory", float(np.nanmax(peaks)), len(good))
    return values


def _average_precision(good: Sequence[Row]) -> float:
    """COCO's AP of all images' masks together."""
    together = ClassAgnostic()
    for row in good:
        if row.masks is not None:
            add_masks(together, row.masks)
    return together.scores()["AP"]


def _matched(good: Sequence[Row], n_classes: int, background: int | None) -> dict[str, list[Sums]]:
    """Sums of mIoU and accuracy for every matching of labels to classes, by key and image."""
    numbers: dict[str, int] = {}
    for row in good:
        for label in row.labels:
            numbers.setdefault(label, len(numbers))
    table = np.zeros((len(numbers), n_classes), dtype=np.int64)
    rest = np.zeros(n_classes, dtype=np.int64)
    for row in good:
        for label, counts in zip(row.labels, row.counts, strict=True):
            counts.add_to(table[numbers[label]])
        row.rest.add_to(rest)
    overlap = Overlap(table, rest, np.zeros(len(numbers), dtype=np.int64))
    found: dict[str, list[Sums]] = {}
    for variant, match in _MATCHINGS.items():
        classes = match(overlap)
        by_label = {label: int(classes[number]) for label, number in numbers.items()}
        pairs = [_matched_image(row, by_label, n_classes, background) for row in good]
        found[f"cluster_miou/{variant}"] = [sums for sums, _ in pairs]
        found[f"cluster_accuracy/{variant}"] = [sums for _, sums in pairs]
    return found


def _matched_image(
    row: Row, by_label: Mapping[str, int], n_classes: int, background: int | None
) -> tuple[Sums, Sums]:
    """One image's part of mIoU and accuracy when labels stand for classes."""
    tp, predicted, true = np.zeros((3, n_classes))
    unmatched = -1 if background is None else background
    classes = [by_label[label] for label in row.labels]
    for found, counts in [*zip(classes, row.counts, strict=True), (-1, row.rest)]:
        counts.add_to(true)
        matched = found if found >= 0 else unmatched
        if matched >= 0:
            predicted[matched] += sum(counts.pixels)
            if matched in counts.index:
                tp[matched] += counts.pixels[counts.index.index(matched)]
    union = predicted + true - tp
    columns = np.flatnonzero(union)
    miou = Sums(*(tuple(values.tolist()) for values in (columns, tp[columns], union[columns])))
    total = float(true.sum())
    return miou, Sums((0,), (float(tp.sum()),), (total,)) if total else Sums((), (), ())


def _class_rows(
    good: Sequence[Row], scored: Sequence[ImageRow], names: Sequence[str], keys: Sequence[str]
) -> tuple[ClassRow, ...]:
    """Each class's true pixels, and its value of the metrics that are means over classes."""
    pixels = np.zeros(len(names), dtype=np.int64)
    for row in good:
        for counts in (*row.counts, row.rest):
            counts.add_to(pixels)
    values: list[dict[str, float]] = [{} for _ in names]
    for key in keys:
        if split_key(key)[0].name not in _BY_CLASS:
            continue
        above, below = (each.sum(axis=0) for each in image_sums(scored, key))
        for i in np.flatnonzero(below > 0):
            values[i][key] = float(above[i] / below[i])
    return tuple(
        ClassRow(name, int(n), own) for name, n, own in zip(names, pixels, values, strict=True)
    )


_BY_CLASS = frozenset(
    ("miou", "soft_iou", "s_iou", "lac_miou", "cluster_miou", "image_miou", "pq", "rq")
)


def _confusions(good: Sequence[Row], names: Sequence[str]) -> tuple[Confusion, ...]:
    """The pairs of true class and label with most pixels, right ones too, largest first."""
    pixels: dict[tuple[int, str], int] = defaultdict(int)
    segments: dict[tuple[int, str], int] = defaultdict(int)
    for row in good:
        for label, counts in zip(row.labels, row.counts, strict=True):
            for index, n in zip(counts.index, counts.pixels, strict=True):
                pixels[index, label] += n
            if counts.index:
                main = counts.index[int(np.argmax(counts.pixels))]
                segments[main, label] += 1
    largest = sorted(pixels, key=lambda pair: (-pixels[pair], pair))[:CONFUSIONS]
    return tuple(
        Confusion(names[index], label, pixels[index, label], segments[index, label])
        for index, label in largest
    )


def _curves(good: Sequence[Row], values: Mapping[str, Value]) -> dict[str, Curve]:
    """Mean segment recall over thresholds, and the lexical ladder."""
    curves = {}
    names = dict.fromkeys(name for row in good for name in row.curves)
    for name in names:
        each = np.array([row.curves[name] for row in good if name in row.curves])
        each = each[~np.isnan(each).any(axis=1)]
        if len(each):
            y = 100 * each.mean(axis=0)
            curves[name] = Curve(tuple(THRESHOLDS.tolist()), tuple(y.tolist()))
    ladder = [value.value for value in values.values() if value.metric == "lac_miou"]
    if ladder:
        curves["LAC mIoU"] = Curve(tuple(float(level) for level in LADDER), tuple(ladder))
    return curves
