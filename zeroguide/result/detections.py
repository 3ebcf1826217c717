"""Segments as `Detections` of supervision, and names for the masks of other `Detections`.

What supervision has no field for goes to `.data`, a row for each detection: "class_name" (str),
"score", "name_confidence" (float64, as `Segment.score` and `Segment.confidence`), "composed" (bool)
and "alternatives" (a list of tuples of (label, score)). `class_id` numbers the names of one picture
in the order of the alphabet, from 0: across pictures compare "class_name". supervision itself is
imported to make Detections, not to read them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np

from zeroguide.errors import UsageError, require
from zeroguide.result.named_map import NamedMap
from zeroguide.result.segment import Segment


@runtime_checkable
class Detections(Protocol):
    """What is used of `supervision.Detections`: n boxes, with or without masks (n, H, W) bool."""

    xyxy: Any
    mask: Any
    confidence: Any
    class_id: Any
    data: Any


Found = TypeVar("Found", bound=Detections)


def to_detections(labeling: NamedMap) -> Any:
    """A `supervision.Detections` of all segments, in order of id; see `Labeling.to_supervision`."""
    supervision = require("supervision", "supervision", "Detections")
    segments = labeling.segments
    boxes = np.array([segment.bbox for segment in segments], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    ids = np.array([segment.id for segment in segments])
    bare = supervision.Detections(xyxy=boxes, mask=labeling.label_map == ids[:, None, None])
    return with_names(bare, segments)


def masks_of(detections: Detections) -> Iterator[np.ndarray]:
    """The masks (H, W), one by one, also of those that supervision keeps compact.

    Raises UsageError for detections that are boxes only.
    """
    if detections.mask is None and len(detections.xyxy):
        raise UsageError(
            "these Detections have boxes but no masks: take them from a model that segments, such "
            "as SAM"
        )
    return (detections.mask[i] for i in range(len(detections.xyxy)))


def with_names(detections: Found, segments: Sequence[Segment]) -> Found:
    """A copy of n Detections with the names of n segments, in `data` and `class_id`.

    A confidence that they had stays; where there was none it is that of the names.
    """
    segments = [segment.as_class for segment in segments]
    names = np.array([segment.label for segment in segments], str)
    confidences = np.array([segment.confidence for segment in segments], float)
    named = copy.copy(detections)
    named.class_id = np.unique(names, return_inverse=True)[1].ravel()
    if named.confidence is None:
        named.confidence = confidences
    named.data = {
        **detections.data,
        "class_name": names,
        "score": np.array([segment.score for segment in segments], float),
        "name_confidence": confidences,
        "composed": np.array([segment.composed for segment in segments], bool),
        "alternatives": [segment.alternatives for segment in segments],
    }
    return named
