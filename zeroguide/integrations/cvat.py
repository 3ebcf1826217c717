"""A detection function for CVAT: `create` is what its auto-annotation and its agents call.

    cvat-cli task auto-annotate 1 --function-module zeroguide.integrations.cvat -p preset=str:photo

CVAT wants all labels before it sees an image. So free text is the attribute "name" of one label,
"segment", beside "confidence" and "alternatives"; or the labels are given, and each segment gets
the best of them. Run as a program, this module prints the label for CVAT's raw constructor:

    python -m zeroguide.integrations.cvat
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zeroguide.errors import UsageError, require
from zeroguide.integrations.loading import load_labeler
from zeroguide.name.phrase_files import read_prompts
from zeroguide.result.chosen import Chosen
from zeroguide.result.formats.base import row_runs
from zeroguide.result.formats.outlines import polygons

if TYPE_CHECKING:
    import PIL.Image

    from zeroguide.labeler import Labeler
    from zeroguide.result import Segment

SEGMENT = "segment"
"""The label whose attribute is the free text."""
NAME, CONFIDENCE, ALTERNATIVES = range(3)
"""Its attributes' ids, which are places in ATTRIBUTES."""
ATTRIBUTES = ("name", "confidence", "alternatives")
LONGEST = 4096  # characters of an attribute's value, at most


def create(
    preset: str | None = None,
    labels: str | Sequence[str] | None = None,
    device: str = "auto",
    offline: bool = False,
) -> Function:
    """The function.

    Args:
        preset, device, offline: as of `zeroguide.label`, whose errors it raises.
        labels: a text file with a name per line, names with commas between, or a sequence of
            names, at least two: CVAT's labels, of which each segment gets one. None: free text.

    Raises UsageError, too, where cvat-sdk isn't installed.
    """
    require("cvat_sdk", "cvat", "CVAT functions")
    if labels is None:
        return Function(load_labeler(preset, device=device, offline=offline), None)
    names = read_labels(labels)
    labeler = load_labeler(preset, labels=names, device=device, offline=offline)
    return Function(labeler, names)


class Function:
    """What CVAT calls a detection function: `spec`, its labels, and `detect`, for one image.

    labels: as in CVAT, in order of their ids; None: free text.
    """

    def __init__(self, labeler: Labeler, labels: Sequence[str] | None) -> None:
        self.labeler = labeler
        self.labels = None if labels is None else list(labels)
        self.spec = _spec(self.labels)

    def detect(self, context: Any, image: PIL.Image.Image) -> list[Any]:
        """A mask for each segment; polygons for each of its parts where CVAT wants them.

        Segments whose confidence is below the context's threshold are left out. Raises ImageError
        for an image that can't be used.
        """
        labeling = Chosen.of(self.labeler.label(image))
        least = context.conf_threshold or 0.0
        return [
            shape
            for segment in labeling.segments
            if segment.confidence >= least
            for shape in self._shapes(labeling, segment, context.conv_mask_to_poly)
        ]

    def _shapes(self, labeling: Chosen, segment: Segment, as_polygons: bool) -> list[Any]:
        import cvat_sdk.auto_annotation as cvataa

        label = self.labels.index(segment.label) if self.labels else 0
        inside = labeling.crop(segment)
        x, y, width, height = segment.bbox
        if not as_polygons:
            # Runs along the rows of the box, then the box, whose last pixel is inside.
            points = [*row_runs(inside), x, y, x + width - 1, y + height - 1]
            return [cvataa.mask(label, points, **self._said(segment))]
        return [
            cvataa.polygon(
                label, (outline + np.array([x, y])).ravel().tolist(), **self._said(segment)
            )
            for outline in polygons(inside)
        ]

    def _said(self, segment: Segment) -> dict[str, Any]:
        """A shape's confidence, and its attributes where names are free; CVAT changes these."""
        import cvat_sdk.models as models

        # Older versions of CVAT have no score of a shape.
        known = "score" in models.LabeledShapeRequest.attribute_map
        said: dict[str, Any] = {"score": segment.confidence} if known else {}
        if self.labels is not None:
            return said
        values = (
            segment.label,
            f"{segment.confidence:.2f}",
            ", ".join(label for label, _ in segment.alternatives),
        )
        attributes = [
            models.AttributeValRequest(spec_id=i, value=value[:LONGEST])
            for i, value in enumerate(values)
        ]
        return said | {"attributes": attributes}


def raw_labels() -> list[dict[str, Any]]:
    """The label for free text as CVAT's raw constructor of labels takes it."""
    about = {"mutable": False, "input_type": "text", "values": [], "default_value": ""}
    return [
        {
            "name": SEGMENT,
            "type": "any",
            "attributes": [{"name": name, **about} for name in ATTRIBUTES],
        }
    ]


def read_labels(labels: str | Sequence[str]) -> list[str]:
    """The names that `create` is given, each once. Raises UsageError as it does."""
    if not isinstance(labels, str):
        names = [name.strip() for name in labels]
    elif "," in labels and not Path(labels).is_file():
        names = [name.strip() for name in labels.split(",")]
    else:
        return read_prompts(labels)
    names = list(dict.fromkeys(name for name in names if name))
    if len(names) < 2:
        raise UsageError(f"labels={labels!r}: give at least two names, or a file with one per line")
    return names


def _spec(labels: Sequence[str] | None) -> Any:
    import cvat_sdk.auto_annotation as cvataa

    if labels is not None:
        found = [cvataa.label_spec(name, i, type="mask") for i, name in enumerate(labels)]
    else:
        attributes = [cvataa.text_attribute_spec(name, i) for i, name in enumerate(ATTRIBUTES)]
        found = [cvataa.label_spec(SEGMENT, 0, type="mask", attributes=attributes)]
    return cvataa.DetectionFunctionSpec(labels=found)


if __name__ == "__main__":
    print(json.dumps(raw_labels(), indent=2))
