"""A model of FiftyOne that cuts and names, or names masks that a dataset already has.

model = ZeroguideModel("photo")
dataset.apply_model(model, label_field="zeroguide")
dataset.apply_model(model, label_field="named", masks_field="segments")
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from zeroguide.errors import UsageError, require
from zeroguide.image import Image, ImageSource, to_image
from zeroguide.integrations.loading import load_labeler
from zeroguide.result import Labeling, Segment
from zeroguide.result.chosen import Chosen
from zeroguide.result.formats.fiftyone import attributes, detection

require("fiftyone", "fiftyone", "FiftyOne models")
import fiftyone as fo  # noqa: E402
import fiftyone.core.models as models  # noqa: E402

MASKS = "masks_field"
"""What `apply_model` is told by this argument: the field of `Detections` whose masks are named."""


class ZeroguideModel(models.SamplesMixin, models.Model):
    """Gives each image `fiftyone.Detections` with masks: a segment each, largest first.

    A detection has label, confidence, mask and index (the segment's id), and as attributes score,
    alternatives (list of str) and composed; `dataset.add_dynamic_sample_fields()` shows those in
    the App. With the argument `masks_field="FIELD"` of `apply_model` the detections of that field
    are named instead: copies of them, with their masks and attributes, get labels and confidences.

    Args:
        preset, overrides, device, offline: as of `zeroguide.label`, whose errors it raises.
    """

    def __init__(
        self,
        preset: str | None = None,
        *,
        overrides: Sequence[str] = (),
        device: str = "auto",
        offline: bool = False,
    ) -> None:
        super().__init__()
        self.config = None  # FiftyOne asks it what the model filters by itself: nothing
        self.labeler = load_labeler(preset, overrides, device=device, offline=offline)

    @property
    def media_type(self) -> str:
        return "image"

    @property
    def ragged_batches(self) -> bool:
        return False  # images of any sizes may be in a batch

    @property
    def transforms(self) -> None:
        return None

    @property
    def preprocess(self) -> bool:
        return False

    def predict(self, arg: np.ndarray, sample: Any = None) -> Any:
        """`fiftyone.Detections` of one image: (H, W, 3) uint8 RGB, or its sample's file."""
        return self.predict_all([arg], None if sample is None else [sample])[0]

    def predict_all(self, args: Iterable[np.ndarray], samples: Any = None) -> list[Any]:
        """The same for several images, whose segments share passes through the networks.

        Raises ImageError for a file that can't be read, UsageError for a field without masks.
        """
        args = list(args)
        samples = [None] * len(args) if samples is None else list(samples)
        images = [self._open(*each) for each in zip(args, samples, strict=True)]
        field = self.needs_fields.get(MASKS)
        if field is None:
            return [_detections(labeling) for labeling in self.labeler.label_batch(images)]
        return [self._named(*each, field) for each in zip(images, samples, strict=True)]

    def _open(self, pixels: np.ndarray, sample: Any) -> Image:
        """A sample's file, read as all of zeroguide reads files; of a video the frame's pixels."""
        is_file = isinstance(sample, fo.Sample) and sample.media_type == "image"
        source: ImageSource = sample.filepath if is_file else pixels
        return to_image(source, self.labeler.recipe.image.value_range)

    def _named(self, image: Image, sample: Any, field: str) -> Any:
        given = sample[field]
        found = [] if given is None else list(given.detections)
        if any(not each.has_mask for each in found):
            raise UsageError(f"{image.file_name}: the field {field!r} has detections without masks")
        height, width = image.pixels.shape[:2]
        masks = (each.to_segmentation(frame_size=(width, height)).mask > 0 for each in found)
        named = zip(found, self.labeler.name_masks(image, masks), strict=True)
        return fo.Detections(detections=[_renamed(*each) for each in named])


def _detections(labeling: Labeling) -> Any:
    whole = Chosen.of(labeling)
    found = [fo.Detection(**detection(whole, segment)) for segment in whole.segments]
    return fo.Detections(detections=found)


def _renamed(given: Any, segment: Segment) -> Any:
    """A copy of a detection, under an id of its own, that is called like the segment."""
    named = given.copy()
    named.label, named.confidence = segment.label, segment.confidence
    for name, value in attributes(segment).items():
        named[name] = value
    return named
