"""Results with known numbers, made without a run."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from zeroguide.evaluate.scoring.results import (
    ClassRow,
    Confusion,
    Curve,
    DatasetInfo,
    ImageRow,
    Results,
    Source,
    Sums,
    Value,
    make_value,
)

NASTY = '<script>alert("1")</script>'
IOU = "iou_tt/union, all names"


def image(name: str, values: Mapping[str, float] | None = None, **sums: Sums) -> ImageRow:
    """A scored image; `miou` is the only sum that is used."""
    named = {"miou/TT": sums["miou"]} if "miou" in sums else {}
    return ImageRow(name, None, 0.25, 4, dict(values or {}), named)


def value(key: str, number: float, n_images: int = 3) -> Value:
    """A number of the summary, its interval one to each side."""
    return make_value(key, number, number - 1, number + 1, n_images)


def results(
    images: Sequence[ImageRow] | None = None, summary: Sequence[Value] | None = None, **changes: Any
) -> Results:
    """Three images of one data set, one of which failed, unless told otherwise."""
    if images is None:
        images = [
            image("a", {IOU: 10.0}, miou=Sums((0, 2), (1.0, 3.0), (2.0, 4.0))),
            image("b", {IOU: 90.0}, miou=Sums((0,), (1.0,), (1.0,))),
            ImageRow("c & d", error="ImageError: <b>damaged</b>"),
        ]
    if summary is None:
        summary = [value(IOU, 50.0), value("miou/TT", 70.0), value("seconds", 0.25)]
    made = Results(
        dataset=DatasetInfo("voc2012", "val", len(images), 2),
        source=Source("pipeline", "full", {"name": "tiny", "models": {"clip": "one"}}),
        versions={"zeroguide": "0.1.0"},
        seed=0,
        device="cpu",
        sentence_encoder="encoder",
        seconds=1.0,
        peak_memory_mib=math.nan,
        summary=tuple(summary),
        classes=(ClassRow(NASTY, 300, {"miou/TT": 25.0}), ClassRow("dog", 1000, {})),
        images=tuple(images),
        confusions=(Confusion("dog", "dog", 600, 3), Confusion("dog", NASTY, 100, 1)),
        curves={"recall_tt/all names": Curve((0.0, 0.5, 1.0), (100.0, 50.0, 0.0))},
    )
    return dataclasses.replace(made, **changes)
