"""STEGO: a small head on frozen features, trained so that its codes correspond more sharply.

Hamilton et al., "Unsupervised Semantic Segmentation by Distilling Feature Correspondences", ICLR
2022. The head maps a feature to a code of 70 values; classes are cosine clusters of the codes. The
training is in `fitted.stego_training`, and a head that the authors published can be taken
over with `checkpoint`.

Differences: the source trains its cluster centres beside the head by gradient descent on the
cosine; here they are spherical k-means on the finished codes, which has the same objective and a
better optimum. It also averages an image with its mirror image and ends with a dense CRF; here the
recipe's refinement does that last step. The source cuts each image into five crops; here an image
is one, so small things weigh less.

It fails where features of one class differ from image to image: the codes can only sharpen what the
features already say. It needs many images, as pairs come from them. The shifts of the loss, which
decide what counts as the same, are the published ones for one DINO: with another backbone all codes
can end alike or all apart, which the share of each class gives away.
"""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Self

import numpy as np

from zeroguide.errors import UsageError
from zeroguide.segment.fitted.config import Backbone, Config
from zeroguide.segment.fitted.model import FittedModel, Tensors, checked_tensors
from zeroguide.segment.fitted.sphere import nearest_centres, spherical_kmeans, unit
from zeroguide.segment.fitted.stego_head import CLUSTERS, codes, head_shapes
from zeroguide.segment.fitted.store import FeatureStore
from zeroguide.system.device_errors import device_errors

MAX_TOKENS = 50_000  # to cluster, drawn from all images; 77 MB at width 384


def check(
    n_classes: int,
    n_images: int,
    steps: int = 500,
    device: str = "cpu",
    checkpoint: str | PathLike[str] | None = None,
) -> None:
    """See `zeroguide.segment.fitted.check`; whether a checkpoint fits the features shows later."""
    if checkpoint is not None:
        from zeroguide.segment.fitted.stego_checkpoint import check_file

        check_file(checkpoint)
        return
    if steps < 1:
        raise UsageError(f"steps={steps} is too small: choose 1 or more")
    if n_images < 2:
        raise UsageError("stego learns from pairs of images: give at least two, better hundreds")


def fit(
    store: FeatureStore,
    n_classes: int,
    seed: int,
    progress: Callable[[str], None],
    steps: int = 500,
    device: str = "cpu",
    checkpoint: str | PathLike[str] | None = None,
) -> Model:
    """Trains a head and clusters its codes; see `zeroguide.segment.fitted.fit`.

    steps: of training, 32 pairs of images each; the source takes 5,000. device: where to train;
    only "cpu" gives the same model for the same seed. checkpoint: a safetensors file with a
    published head; nothing is then trained, and the classes are the file's. Raises UsageError for
    a checkpoint of other features, WeightsError for a damaged one.
    """
    if checkpoint is not None:
        from zeroguide.segment.fitted.stego_checkpoint import read_checkpoint

        head, centres = read_checkpoint(checkpoint, store.backbone)
        return Model(store.backbone, head, centres)
    from zeroguide.segment.fitted.stego_training import train

    with device_errors(device):
        head = train(store, steps=steps, seed=seed, device=device, progress=progress)
    tokens = store.tokens(store.sample(MAX_TOKENS, seed))
    progress(f"clustering {len(tokens)} codes")
    centres, _ = spherical_kmeans(unit(codes(tokens, head)), n_classes, seed)
    return Model(store.backbone, head, centres)


class Model(FittedModel):
    """Classes by the nearest of centres (n_classes, 70) to a token's code.

    head: the published layout, weights of convolutions of size 1 as matrices: FIRST (70, d), HIDDEN
    (d, d), LAST (70, d), each `.weight` with its `.bias`, float32.
    """

    method = "stego"

    def __init__(
        self, backbone: Backbone, head: dict[str, np.ndarray], centres: np.ndarray
    ) -> None:
        super().__init__(len(centres), backbone)
        self.head, self.centres = head, centres

    @classmethod
    def from_saved(cls, folder: Path, config: Config, tensors: Tensors) -> Self:
        d, k = config.backbone.width, tensors.get(CLUSTERS, np.empty((0, 0))).shape[-1]
        shapes = {**head_shapes(d, k), CLUSTERS: (config.n_classes, k)}
        head = dict(checked_tensors(folder, tensors, shapes))
        centres = head.pop(CLUSTERS)
        return cls(config.backbone, head, centres)

    def _classify(self, rows: np.ndarray, h: int, w: int, seed: int) -> np.ndarray:
        return nearest_centres(codes(rows, self.head), unit(self.centres))

    def _tensors(self) -> Tensors:
        return {**self.head, CLUSTERS: self.centres}
