"""Numbers and runs in words, alike in all tables and reports."""

from __future__ import annotations

import math
from collections.abc import Iterable

from zeroguide.evaluate.reports.views import needs_sentences
from zeroguide.evaluate.scoring.metrics_table import METRICS, Metric
from zeroguide.evaluate.scoring.results import WORDNET, Results, Value, split_key

MISSING = "–"
_STAGES = {
    "full": "whole pipeline",
    "true-masks": "true masks, names of the pipeline",
    "true-names": "segments of the pipeline, true names",
    "segments": "segments of the pipeline, without names",
}


# Cosines and their kin: no count, and what tells two methods apart is in the third decimal.
_SCORES = frozenset({"clip_score", "ref_clip_score"})


def number(value: float, of: Metric | str) -> str:
    """A value without its unit.

    Args:
        value: in the metric's unit.
        of: the metric, or a unit alone. It decides the decimals: one mostly, two for short times,
            none for MiB, three for CLIPScores.
    """
    if math.isnan(value):
        return MISSING
    if isinstance(of, Metric) and of.name in _SCORES:
        digits = 3
    else:
        digits = {"s": 1 if abs(value) >= 100 else 2, "MiB": 0}.get(_unit(of), 1)
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def quantity(value: float, of: Metric | str) -> str:
    """A value with its unit: ``"20.1 %"``, ``"0.29 s"``, ``"93"``; a dash if there is none.

    Args as of `number`.
    """
    if math.isnan(value):
        return MISSING
    if _unit(of) != "count":
        return f"{number(value, of)} {_unit(of)}"
    score = isinstance(of, Metric) and of.name in _SCORES
    return f"{value:.0f}" if float(value).is_integer() and not score else number(value, of)


def interval(low: float, high: float, of: Metric | str) -> str:
    """``"[19.3, 21.1]"``; a dash if there is none. `of` as of `number`."""
    if math.isnan(low) or math.isnan(high):
        return MISSING
    return f"[{number(low, of)}, {number(high, of)}]"


def cells(value: Value) -> tuple[str, str, str, str]:
    """A number in a table: its metric, variant, quantity and interval."""
    metric = METRICS[value.metric]
    shown = quantity(value.value, metric)
    return metric.title, value.variant, shown, interval(value.low, value.high, metric)


def _unit(of: Metric | str) -> str:
    return of.unit if isinstance(of, Metric) else of


def judge(keys: Iterable[str], sentence_encoder: str | None) -> str:
    """For the caption of a table: the sentence encoder, if any number depends on it, or nothing.

    Args:
        keys: of all metrics in the table.
        sentence_encoder: that of the run.
    """
    if sentence_encoder is None or not any(map(needs_sentences, keys)):
        return ""
    return f"Sentence encoder: {sentence_encoder}."


def of_what(results: Results) -> str:
    """What was evaluated on what: ``"tiny on playroom: whole pipeline"``."""
    return f"{method(results)} on {dataset(results)}: {stage(results)}"


def method(results: Results) -> str:
    """The recipe's name or the folder of predictions."""
    source = results.source
    if source.kind == "predictions":
        return source.folder or "predictions"
    return str((source.recipe or {}).get("name") or "pipeline")


def dataset(results: Results) -> str:
    """The data set with its split."""
    data = results.dataset
    return f"{data.name} ({data.split})" if data.split else data.name


def stage(results: Results) -> str:
    """What the numbers are of."""
    if results.source.kind == "predictions":
        return "predictions of another program"
    return _STAGES[results.source.stage]


def images_phrase(results: Results) -> str:
    """How many images and classes, and how many failed, as a sentence."""
    n, failed = len(results.images), len(results.images) - len(results.scored)
    text = f"{n} image{'s' * (n != 1)}, {results.dataset.n_classes} classes"
    return f"{text}; {failed} could not be scored." if failed else f"{text}."


def headline(results: Results) -> str:
    """The number that a run is known by, in words; nothing if it has none.

    ``"LAC mIoU, hyponym: 50.5 % [48.1, 52.9]"``. Where another one leads for want of WordNet, that
    is said with it.
    """
    if results.headline is None:
        return ""
    value = results.value(results.headline)
    metric = METRICS[value.metric]
    text = f"{key_title(value.key)}: {quantity(value.value, metric)}"
    if not math.isnan(value.low):
        text += f" {interval(value.low, value.high, metric)}"
    if WORDNET in results.missing and value.metric not in ("lac_miou", "name_lac"):
        text += f"; in place of LAC, which is left out: {results.missing[WORDNET]}"
    return text


def share(value: float) -> str:
    """A share in [0, 1] of images as whole percent; a dash if there is none."""
    return MISSING if math.isnan(value) else f"{100 * value:.0f} %"


def key_title(key: str) -> str:
    """A metric's key for headings: ``"IoU_TT, union, all names"``."""
    metric, variant = split_key(key)
    return f"{metric.title}, {variant}" if variant else metric.title
