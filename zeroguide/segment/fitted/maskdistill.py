"""MaskDistill: salient objects of all images clustered, then a classifier trained on their masks.

Van Gansbeke, Vandenhende and Van Gool, "Discovering Object Masks with Transformers for Unsupervised
Semantic Segmentation", 2022. Each image gives at most one object, the cells that the class token's
attention leads to by diffusion (`segmenters.saliency`); the objects are clustered into
classes; masks and classes together are pseudo-labels, and what is trained on them finds several
objects in an image, since errors of single masks don't repeat.

Differences: the source embeds an object by the class token of its crop, here it is the mean of its
cells' features; and it trains a whole segmentation network (Mask R-CNN, then DeepLab), here it is a
linear classifier of frozen tokens (logistic regression), which takes seconds.

It fails where images show no salient thing (aerial pictures, textures), and where one background
comes with one object only: the classifier then can't tell them apart. Everything that isn't a thing
is class 0, the background.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Self

import numpy as np

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.segment.fitted.config import Backbone, Config
from zeroguide.segment.fitted.model import FittedModel, Tensors, checked_tensors
from zeroguide.segment.fitted.sphere import fit_projection, spherical_kmeans, unit
from zeroguide.segment.fitted.store import FeatureStore
from zeroguide.segment.segmenters.saliency import salient_object
from zeroguide.system.one_thread import one_thread

MAX_TOKENS = 20_000  # to train the classifier on, drawn from all images
N_COMPONENTS = 64


def check(n_classes: int, n_images: int, masks: str | PathLike[str] | None = None) -> None:
    """See `zeroguide.segment.fitted.check`."""
    if n_classes < 2:
        raise UsageError("maskdistill needs two classes or more: the first is the background")


def fit(
    store: FeatureStore,
    n_classes: int,
    seed: int,
    progress: Callable[[str], None],
    masks: str | PathLike[str] | None = None,
) -> Model:
    """Fits object classes and the background, class 0; see `zeroguide.segment.fitted.fit`.

    masks: a folder for the pseudo-labels, one 16-bit PNG of the picture's size per image, named
    000001.png and so on in the store's order, with `masks.tsv` saying which is whose. Raises
    ZeroguideError if no image has a salient object or the masks can't be written.
    """
    masks = None if masks is None else Path(masks)
    objects, means = [], []
    for i in range(len(store)):
        progress(f"object of image {i + 1} of {len(store)}")
        features = store.features(i)
        mask = salient_object(features, store.attention(i))
        objects.append(mask)
        if mask.any():
            means.append(unit(features[mask]).mean(axis=0))
    if not means:
        raise ZeroguideError(
            "no image has a salient object, so maskdistill has nothing to learn from: use the "
            "method prototypes"
        )
    progress(f"clustering {len(means)} objects")
    points = np.stack(means)
    # Fewer components than objects are enough to tell these apart.
    projection = fit_projection(points, min(N_COMPONENTS, points.shape[1]))
    if len(points) == 1:
        classes = np.zeros(1, dtype=np.int64)
    else:
        classes = spherical_kmeans(projection(points), n_classes - 1, seed)[1]

    remaining = iter(classes)
    class_of = [1 + int(next(remaining)) if mask.any() else 0 for mask in objects]
    if masks is not None:
        _write_masks(masks, store, objects, class_of)
    progress("training the classifier of tokens")
    numbers = store.sample(MAX_TOKENS, seed)
    targets = np.zeros(len(numbers), dtype=np.int64)
    for i, part, cells in store.by_image(numbers):
        targets[part] = objects[i].flat[cells] * class_of[i]
    return _train(store, numbers, targets, 1 + max(class_of))


class Model(FittedModel):
    """A linear classifier: the largest of weight (n_classes, d) @ feature + bias (n_classes,).

    Features are unit, less the mean (d,), and scaled to a variance of 1 per value on average.
    """

    method = "maskdistill"

    def __init__(
        self, backbone: Backbone, mean: np.ndarray, weight: np.ndarray, bias: np.ndarray
    ) -> None:
        super().__init__(len(weight), backbone)
        self.mean, self.weight, self.bias = mean, weight, bias

    @classmethod
    def from_saved(cls, folder: Path, config: Config, tensors: Tensors) -> Self:
        d = config.backbone.width
        shapes = {"mean": (d,), "weight": (config.n_classes, d), "bias": (config.n_classes,)}
        t = checked_tensors(folder, tensors, shapes)
        return cls(config.backbone, t["mean"], t["weight"], t["bias"])

    def _classify(self, rows: np.ndarray, h: int, w: int, seed: int) -> np.ndarray:
        return ((unit(rows) - self.mean) @ self.weight.T + self.bias).argmax(axis=1)

    def _tensors(self) -> Tensors:
        return {"mean": self.mean, "weight": self.weight, "bias": self.bias}


@one_thread()  # other order of sums, other weights
def _train(store: FeatureStore, numbers: np.ndarray, targets: np.ndarray, n_classes: int) -> Model:
    """Logistic regression of the tokens' classes; one that no token shows can't be chosen."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    rows = unit(store.tokens(numbers))
    mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    scale = float(1 / max(np.sqrt((rows - mean).var(axis=0).mean()), 1e-6))
    weight = np.zeros((n_classes, rows.shape[1]), dtype=np.float32)
    bias = np.full(n_classes, -1e9, dtype=np.float32)
    shown = np.unique(targets)
    if len(shown) == 1:
        bias[shown] = 0
        return Model(store.backbone, mean, weight, bias)
    # The labels are rough, so fitting them to the last digit is wasted: stopped at 1e-2 it takes a
    # fifth of the time and scores the same. Not having got there at the end doesn't matter either.
    regression = LogisticRegression(C=0.1, tol=1e-2, max_iter=300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = regression.fit((rows - mean) * scale, targets)
    if len(shown) == 2:  # scikit-learn gives one row for both
        weight[shown[1]], bias[shown] = fitted.coef_[0] * scale, [0, fitted.intercept_[0]]
    else:
        weight[shown], bias[shown] = fitted.coef_ * scale, fitted.intercept_
    return Model(store.backbone, mean, weight, bias)


def _write_masks(
    folder: Path, store: FeatureStore, objects: list[np.ndarray], class_of: list[int]
) -> None:
    from PIL import Image

    from zeroguide.system.files import output_folder, write_atomically, write_png

    lines = []
    with output_folder(folder):
        for i, (entry, mask) in enumerate(zip(store.entries, objects, strict=True)):
            height, width = entry.size
            resized = Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST)
            pixels = np.asarray(resized).astype(np.uint16) * class_of[i]
            write_png(pixels.astype(np.uint16), folder / f"{i + 1:06}.png")
            lines.append(f"{i + 1:06}.png\t{entry.name}\n")
        write_atomically(folder / "masks.tsv", "".join(lines).encode("utf-8", "surrogateescape"))
