"""Segmenters fitted on a folder: features of many images in, classes that all images share out.

An over-segmenter sees one image; its segment 3 has nothing to do with segment 3 of the next image.
A fitted model has seen a folder: its class 3 is the same content everywhere. One file a method,
`registry` by name; `store` keeps a folder's features, `model` and `config` are what is saved.
"""

from zeroguide.segment.fitted.config import Backbone
from zeroguide.segment.fitted.model import FittedModel
from zeroguide.segment.fitted.registry import (
    METHODS,
    check,
    check_model,
    count_classes,
    fit,
    load_fitted,
)
from zeroguide.segment.fitted.store import FeatureStore

__all__ = [
    "METHODS", "Backbone", "FeatureStore", "FittedModel", "check", "check_model", "count_classes",
    "fit", "load_fitted",
]  # fmt: skip
