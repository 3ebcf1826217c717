"""What tables and reports are made from: groups of numbers, and scores of single images.

A metric summed over images (dataset mIoU) has no value of an image by definition. Its score of one
image is the same formula on that image alone: good for finding the worst images, not for a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from zeroguide.evaluate.scoring.results import PROTOCOLS, Results, Value, split_key

# What a run is known by, and its images are ranked by: the first that it has. Words are judged by
# what they mean first (a poodle is a dog, its tail isn't): sentence encoders part from people's
# judgement of names, see docs/evaluation.md.
_HEADLINES = (
    "lac_miou/hyponym",
    "iou_tt/union, all names",
    "iou_st/union, all names",
    "miou/TT",
    "miou/ST",
    "name_lac/hyponym",
    "name_top1",
    "image_miou/left over: missed",
    "best_overlap",
    "foreground_iou",
)


def by_protocol(values: Iterable[Value]) -> list[tuple[str, list[Value]]]:
    """The numbers of each protocol that has any, in the order of `PROTOCOLS`."""
    values = list(values)
    groups = [(name, [value for value in values if value.protocol == name]) for name in PROTOCOLS]
    return [(name, group) for name, group in groups if group]


def headline(keys: Iterable[str]) -> str | None:
    """Which of some numbers' keys leads: LAC's if it is there; None if none of them is known."""
    known = set(keys)
    return next((key for key in _HEADLINES if key in known), None)


def class_keys(results: Results) -> list[str]:
    """The metrics that any class has a value of, in their order of appearance."""
    return list(dict.fromkeys(key for row in results.classes for key in row.values))


def needs_sentences(key: str) -> bool:
    """Whether the numbers with this `key` depend on the sentence encoder."""
    metric, variant = split_key(key)
    named = metric.name in ("name_similar", "name_top1")
    return named or metric.protocol == "tt" or variant.startswith("TT")


def score(numerators: np.ndarray, denominators: np.ndarray) -> float:
    """The score of all images together: mean over columns of sum / sum, NaN without any.

    numerators, denominators: (n, C), one row per image, as `Results.image_sums` gives them.
    """
    return float(_quotients(numerators.sum(axis=0)[None], denominators.sum(axis=0)[None])[0])


def image_scores(results: Results, name: str, images: Sequence[str] | None = None) -> np.ndarray:
    """(n,) float64 score of each image alone, in the metric's unit; NaN where it has none.

    Args:
        name: a metric's key.
        images: names in the wanted order; None for all that were scored.

    Raises KeyError if no image has numbers for the metric.
    """
    return _quotients(*results.image_sums(name, images))


def main_key(results: Results) -> str | None:
    """The metric that images are ranked by; None if none is known image by image."""
    scored = {name for row in results.scored for name in (*row.values, *row.sums)}
    known = [value.key for value in results.summary if value.key in scored]
    percent = (value.key for value in results.summary if value.key in known and value.unit == "%")
    return headline(known) or next(percent, None)


def _quotients(numerators: np.ndarray, denominators: np.ndarray) -> np.ndarray:
    """(n,) mean over the columns whose denominator isn't 0."""
    known = denominators > 0
    quotients = np.where(known, numerators / np.where(known, denominators, 1), 0)
    counts = known.sum(axis=1)
    return np.where(counts > 0, quotients.sum(axis=1) / np.maximum(counts, 1), np.nan)
