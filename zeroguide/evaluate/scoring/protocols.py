"""Which protocols a run can follow, and the functions that score an image by them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from zeroguide.errors import UsageError, nearest
from zeroguide.evaluate.datasets import Dataset, Sample
from zeroguide.evaluate.predictions.prediction import Prediction
from zeroguide.evaluate.scoring import masks as scoring_masks
from zeroguide.evaluate.scoring import named as scoring_named
from zeroguide.evaluate.scoring.image import Case, Classes, Numbers, score
from zeroguide.evaluate.scoring.metrics_table import PROTOCOLS
from zeroguide.evaluate.scoring.results import Stage
from zeroguide.evaluate.scoring.rows import Row

TEXT = ("tt", "semantic", "panoptic", "naming")
"""Families in which texts are compared with texts."""


@dataclasses.dataclass(frozen=True)
class Available:
    """What a run has beside a data set: sentence encoder, segments' embeddings, WordNet, names.

    clusters: whether labels, names or not, mean the same in all images.
    """

    encoder: bool
    embeddings: bool
    relation: bool
    stage: Stage = "full"
    names: bool = True
    clusters: bool = True


def check_names(names: Sequence[str]) -> list[str]:
    """Protocols' names without repetition; UsageError for an unknown one."""
    for name in names:
        if name not in PROTOCOLS:
            raise UsageError(f"unknown protocol {name!r}: {nearest(name, tuple(PROTOCOLS))}")
    return list(dict.fromkeys(names))


def impossible(dataset: Dataset, have: Available) -> dict[str, str]:
    """The protocols that can't be followed, each with the reason."""
    reasons: dict[str, str] = {}

    def no(reason: str, *names: str) -> None:
        for name in names:
            reasons.setdefault(name, reason)

    if not dataset.classes:
        named = ("tt", "st", "semantic", "lac", "naming", "unsupervised", "per-image", "panoptic")
        no(f"the data set {dataset.name} has no class names", *named)
    if not have.names:
        remedy = "" if have.stage == "segments" else " (put them in names.txt)"
        no(
            f"the predictions have no names{remedy}",
            "tt", "st", "semantic", "lac", "naming", "panoptic",
        )  # fmt: skip
    if not have.clusters:
        no(
            "segments of two images can't be told to be of one kind (fit a model with `zeroguide "
            "fit` and take --set segmenter.method=fitted --set segmenter.model=MODEL)",
            "unsupervised",
        )
    if not dataset.tells_objects_apart:
        no(f"the data set {dataset.name} doesn't tell objects apart", "panoptic")
    if dataset.background is None:
        no(f"the data set {dataset.name} has no background", "foreground")
    if have.stage == "true-masks":
        no("the masks are the true ones", "per-image", "class-agnostic", "foreground")
    else:
        no("it is for true masks (--stage true-masks)", "naming")
    if not have.embeddings:
        no("there are no embeddings of the segments", "st")
    if not have.encoder:
        no("there is no sentence encoder", "tt", "panoptic")
        if not have.embeddings:
            no("there are neither a sentence encoder nor embeddings", "semantic")
            if not have.relation:
                no("there is no sentence encoder, no embeddings and no WordNet", "naming")
    if not have.relation:
        no("there is no WordNet", "lac")
    return reasons


def functions(protocols: Sequence[str], classes: Classes) -> list[Callable[[Case], Numbers]]:
    """The functions that score an image by the protocols, with what there is for them."""
    semantic: list[Callable[[Case], Numbers]] = []
    if classes.encoder is not None:
        semantic.append(scoring_named.semantic_tt)
    if classes.st is not None:
        semantic.append(scoring_named.semantic_st)
    table: dict[str, list[Callable[[Case], Numbers]]] = {
        "tt": [scoring_named.tt],
        "st": [scoring_named.st],
        "semantic": semantic,
        "lac": [scoring_named.lac],
        "naming": [scoring_named.naming],
        "panoptic": [scoring_named.panoptic],
        "per-image": [scoring_masks.per_image],
        "class-agnostic": [scoring_masks.class_agnostic],
        "foreground": [scoring_masks.foreground],
        "cost": [scoring_masks.cost],
    }
    return [function for name in protocols for function in table.get(name, ())]


def score_image(
    sample: Sample,
    prediction: Prediction,
    classes: Classes,
    protocols: Sequence[str],
    peak_memory: float,
) -> Row:
    """The complete row of an image; ZeroguideError if prediction and truth differ in size."""
    row, case = score(sample, prediction, classes, functions(protocols, classes))
    return dataclasses.replace(
        row,
        curves=(
            {"R_TT(t)": tuple(scoring_named.tt_recall(case).truth.tolist())}
            if "tt" in protocols
            else {}
        ),
        foreground=(scoring_masks.foreground_points(case) if "foreground" in protocols else None),
        peak_memory=peak_memory,
    )
