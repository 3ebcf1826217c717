"""Predictions for Label Studio's tasks: what its interface asks for is what they contain.

The project's labelling interface decides. `PolygonLabels` and `BrushLabels` get the best of their
labels. With one label only, or none (`Polygon`, `Brush`), names are free text in a
`<TextArea perRegion="true">`, which an annotator can write over:

    <View>
      <Image name="image" value="$image"/>
      <BrushLabels name="shape" toName="image"><Label value="segment"/></BrushLabels>
      <TextArea name="name" toName="image" perRegion="true" editable="true"
                displayMode="region-list"/>
    </View>

Shapes are those of the export formats `label-studio` and `label-studio-brush`: polygons along the
pixels' borders, masks as brush strokes. `label_studio_server` is what Label Studio connects to.
"""

from __future__ import annotations

import base64
import binascii
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from zeroguide.errors import ImageError, UsageError, ZeroguideError, require
from zeroguide.image import Image, open_image, read_image
from zeroguide.result.chosen import Chosen
from zeroguide.result.formats.label_studio import polygon_values, region, version
from zeroguide.result.formats.label_studio_brush import brush_values

if TYPE_CHECKING:
    from zeroguide.labeler import Labeler
    from zeroguide.result import Labeling

VALUES = {"polygon": polygon_values, "brush": brush_values}
"""The shapes of a segment, by the beginning of the control's tag."""
CONTROLS = ("polygonlabels", "brushlabels", "polygon", "brush")
UNDEFINED = "$undefined$"
"""Where Label Studio puts the file of a task that was uploaded before its interface was made."""
MODELS = 2  # labelers in memory: one for each set of labels


@dataclass(frozen=True)
class Interface:
    """What a labelling interface asks for.

    kind: the control's tag, one of CONTROLS. control, image: names of the tags. key: where a task's
    data has the image. labels: those that names are chosen from; None: free text. text: the name
    of the tag that takes the free text. label: what all shapes are labelled beside it, if anything.
    """

    kind: str
    control: str
    image: str
    key: str
    labels: tuple[str, ...] | None
    text: str | None
    label: str | None


def read_interface(config: str) -> Interface:
    """Read a labelling interface (XML).

    Raises UsageError if it has no control for which there are predictions, or can't be read.
    """
    sdk = require("label_studio_sdk.label_interface", "label-studio", "predictions")
    try:
        controls = list(sdk.LabelInterface(config).controls)
    except Exception as error:  # the SDK has many, with no base in common
        raise UsageError(f"the labelling interface can't be read ({error})") from None
    texts = [c for c in controls if c.tag == "TextArea" and c.attr.get("perRegion", "") == "true"]
    for control in controls:
        kind = control.tag.lower()
        images = [each for each in control.objects or () if each.tag == "Image"]
        if kind not in CONTROLS or not images:
            continue
        image = images[0].name
        text = next((each.name for each in texts if image in each.to_name), None)
        labels = tuple(control.labels) if kind.endswith("labels") else ()
        names = control.name, image, images[0].value_name
        if len(labels) > 1:
            return Interface(kind, *names, labels=labels, text=None, label=None)
        if text is not None:
            return Interface(kind, *names, None, text, labels[0] if labels else None)
    raise UsageError(
        "the labelling interface has nothing for segments: give an Image PolygonLabels or "
        'BrushLabels of two labels or more, or one label and <TextArea perRegion="true">'
    )


class Predictor:
    """Makes predictions for tasks.

    Args:
        load: a labeler for a list of labels, or for free text (None).
        failed: told one sentence for each task that got no prediction.
    """

    def __init__(
        self,
        load: Callable[[Sequence[str] | None], Labeler],
        failed: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.labeler = lru_cache(MODELS)(load)
        self._failed = failed

    def predict(
        self, tasks: Sequence[Mapping[str, Any]], config: str, host: str = "", token: str = ""
    ) -> list[dict[str, Any]]:
        """A prediction for each task, in their order; an empty one where the image can't be had.

        host, token: Label Studio's address and key, for files that it holds; the environment's
        LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY go before them. Raises UsageError for an interface
        without anything to predict, ZeroguideError if none of the tasks' images can be had.
        """
        interface = read_interface(config)
        labeler = self.labeler(interface.labels)
        found = []
        errors: list[ZeroguideError] = []
        for task in tasks:
            try:
                image = _image(task, interface.key, host, token)
                found.append(prediction(labeler.label(image), interface))
            except ZeroguideError as error:
                errors.append(error)
                self._failed(f"task {task.get('id', '')}: {error}")
                found.append(
                    {"model_version": version({"name": labeler.recipe.name}), "result": []}
                )
        if errors and len(errors) == len(tasks):
            raise errors[0]
        return found


def prediction(labeling: Labeling, interface: Interface) -> dict[str, Any]:
    """A labeling as a prediction: model_version, score (mean confidence) and result."""
    results = []
    whole = Chosen.of(labeling)
    for segment in whole.segments:
        others = ", ".join(label for label, _ in segment.alternatives)
        values = VALUES[interface.kind.removesuffix("labels")](whole, segment)
        for part, value in enumerate(values):
            if interface.kind.endswith("labels"):
                value[interface.kind] = [interface.label or segment.label]
            shape = region(whole, segment, part, interface.kind, value)
            shape |= {"from_name": interface.control, "to_name": interface.image}
            if others:
                shape["meta"] = {"text": [f"or: {others}"]}
            results.append(shape)
            if interface.text is not None:  # of the same region, because it has the same id
                said = {"text": [segment.label]}
                results.append(
                    {**shape, "type": "textarea", "from_name": interface.text, "value": said}
                )
    confidences = [segment.confidence for segment in whole.segments]
    return {
        "model_version": version(labeling.recipe),
        "score": sum(confidences) / len(confidences),
        "result": results,
    }


def _image(task: Mapping[str, Any], key: str, host: str, token: str) -> Image:
    """A task's image: in the task itself, a file here, at an address, or in Label Studio."""
    data = task.get("data") or {}
    url = data.get(key, data.get(UNDEFINED))
    if not isinstance(url, str) or not url:
        raise ImageError(f"the task has no image in its field {key!r}")
    if url.startswith("data:"):
        return read_image(_inline(url), "the task's image")
    io = require(
        "label_studio_sdk._extensions.label_studio_tools.core.utils.io",
        "label-studio",
        "predictions",
    )
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = io.get_local_path(
                url,
                cache_dir=folder,
                hostname=os.environ.get("LABEL_STUDIO_URL") or host,
                access_token=os.environ.get("LABEL_STUDIO_API_KEY") or token,
                task_id=task.get("id"),
            )
        except Exception as error:  # of requests, of the system, of its own
            raise ImageError(f"{url}: can't be had ({error})") from None
        return open_image(path)


def _inline(url: str) -> bytes:
    """The bytes of a data: URL."""
    head, _, body = url.partition(",")
    try:
        data = unquote_to_bytes(body)
        return base64.b64decode(data, validate=True) if head.endswith(";base64") else data
    except binascii.Error as error:
        raise ImageError(f"the task's image can't be read ({error})") from None
