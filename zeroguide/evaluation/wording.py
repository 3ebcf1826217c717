"""Numbers and runs in words, alike in all tables and reports."""

from __future__ import annotations

import math

from zeroguide.evaluation.results import Results, split_key

MISSING = "–"
_STAGES = {
    "full": "whole pipeline",
    "true-masks": "true masks, names of the pipeline",
    "true-names": "segments of the pipeline, true names",
}


def number(value: float, unit: str) -> str:
    """A value without its unit: one decimal mostly, two for short times, none for MiB."""
    if math.isnan(value):
        return MISSING
    digits = {"s": 1 if abs(value) >= 100 else 2, "MiB": 0}.get(unit, 1)
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def quantity(value: float, unit: str) -> str:
    """A value with its unit: ``"20.1 %"``, ``"0.29 s"``, ``"93"``; a dash if there is none."""
    if unit == "count":
        return f"{value:.0f}" if float(value).is_integer() else number(value, unit)
    if math.isnan(value):
        return MISSING
    return f"{number(value, unit)} {unit}"


def interval(low: float, high: float, unit: str) -> str:
    """``"[19.3, 21.1]"``; a dash if there is none."""
    if math.isnan(low) or math.isnan(high):
        return MISSING
    return f"[{number(low, unit)}, {number(high, unit)}]"


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


def share(value: float) -> str:
    """A share in [0, 1] of images as whole percent; a dash if there is none."""
    return MISSING if math.isnan(value) else f"{100 * value:.0f} %"


def key_title(key: str) -> str:
    """A metric's key for headings: ``"IoU_TT, union, all names"``."""
    metric, variant = split_key(key)
    return f"{metric.title}, {variant}" if variant else metric.title
