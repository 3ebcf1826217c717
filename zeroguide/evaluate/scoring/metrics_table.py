"""Which protocols and metrics there are: the one table that runs, reports and comparisons share.

A protocol is a family of numbers that may stand in one table. Numbers of two protocols answer two
questions, even where both are called mIoU, and are never ranked together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Unit = Literal["%", "s", "MiB", "count"]


@dataclass(frozen=True)
class Protocol:
    """A family of metrics: a name for the command line, a title, and one sentence on the rules."""

    name: str
    title: str
    description: str


@dataclass(frozen=True)
class Metric:
    """One metric: its name in results.json, a title for tables, the protocol it belongs to.

    variants: what else tells two numbers of the metric apart; empty if there is only one.
    """

    name: str
    title: str
    protocol: str
    unit: Unit
    higher_is_better: bool
    description: str
    variants: tuple[str, ...] = ()

    @property
    def scale(self) -> float:
        """Metrics are computed as shares in [0, 1] and written in their unit: 100 for percent."""
        return 100.0 if self.unit == "%" else 1.0


NAMES = ("all names", "own names")
"""Classes a segment is compared with: the data set's, or those in the image (an easier task)."""

_IOU_VARIANTS = tuple(f"{how}, {names}" for names in NAMES for how in ("union", "argmax"))
_MATCHINGS = ("Hungarian on pixels", "Hungarian on IoU", "VOC's over-clustering", "many-to-one")
LADDER_NAMES = ("exact", "synonym", "hyponym", "meronym")

_PROTOCOLS = (
    Protocol(
        "lac",
        "Lexical alignment curve",
        "A label is accepted by its relation to the class name in WordNet: the same, a synonym, a "
        "kind of it, a part of it, each with those before; pixels counted over all images.",
    ),
    Protocol(
        "tt",
        "Open vocabulary, text to text",
        "Label and class name are compared as sentences, the class is rejected below 0.5; means "
        "over images (zero-guidance segmentation, ICCV 2023).",
    ),
    Protocol(
        "st",
        "Open vocabulary, segment to text",
        'Segment and "Image of a {class}." are compared by CLIP, the class is rejected below 0.1; '
        "means over images (zero-guidance segmentation, ICCV 2023).",
    ),
    Protocol(
        "semantic",
        "Semantic, summed over the data set",
        "Each segment is taken for the class it is most like, then pixels are counted over all "
        "images.",
    ),
    Protocol(
        "naming",
        "Names of true masks",
        "The true regions are given and only named; shares and means over regions.",
    ),
    Protocol(
        "unsupervised",
        "Unsupervised, one matching for the data set",
        "Labels are clusters, whatever their words: each is matched to a class once for all "
        "images. STEGO's tables are of centre crops (--crop 320), matched on pixels.",
    ),
    Protocol(
        "per-image",
        "Unsupervised, one matching per image",
        "Each image's segments are matched to its classes anew, the labels play no part: far "
        "easier than one matching for the data set.",
    ),
    Protocol(
        "class-agnostic",
        "Masks, names left out",
        "Segments against the true regions, whatever either is called.",
    ),
    Protocol(
        "panoptic",
        "Panoptic",
        "Segments with their classes against the true regions, by COCO's panoptic rules.",
    ),
    Protocol(
        "foreground",
        "Foreground",
        "All segments but the background's against the true foreground, which is everything that "
        "isn't the background class, whatever else it is.",
    ),
    Protocol("cost", "Cost and shape of the results", "What it takes, and what it gives."),
)
PROTOCOLS: dict[str, Protocol] = {each.name: each for each in _PROTOCOLS}


def _open_vocabulary(way: str) -> tuple[Metric, ...]:
    """The metrics that TT and ST have in common."""
    name, tag = way.lower(), f"_{way}"
    return (
        Metric(
            f"iou_{name}",
            f"IoU{tag}",
            name,
            "%",
            True,
            "Mean IoU of the classes in the truth or among the predictions of an image; a class "
            "is the union of its segments, or the best of them alone (argmax).",
            _IOU_VARIANTS,
        ),
        Metric(
            f"recall50_{name}",
            f"R@0.5{tag}",
            name,
            "%",
            True,
            "Share of an image's true classes with a segment of their own of IoU 0.5 or more.",
            NAMES,
        ),
        Metric(
            f"ar_{name}",
            f"AR{tag}",
            name,
            "%",
            True,
            "Segment recall averaged over IoU thresholds from 0 to 1; of the true classes.",
            NAMES,
        ),
        Metric(
            f"ar_released_{name}",
            f"AR{tag}, released code",
            name,
            "%",
            True,
            "The same with the classes that are only predicted in the denominator, too.",
            NAMES,
        ),
    )


_METRICS = (
    Metric(
        "lac_miou", "LAC mIoU", "lac", "%", True,
        "mIoU of the classes accepted up to a relation.", LADDER_NAMES,
    ),
    Metric(
        "lac_accuracy", "LAC accuracy", "lac", "%", True,
        "Share of pixels whose label is accepted up to a relation for their class.", LADDER_NAMES,
    ),
    *_open_vocabulary("TT"),
    *_open_vocabulary("ST"),
    Metric(
        "miou", "mIoU", "semantic", "%", True, "Mean over classes of TP / (TP + FP + FN).",
        ("TT", "TT, synonyms", "ST"),
    ),
    Metric(
        "accuracy", "pixel accuracy", "semantic", "%", True, "Share of pixels of the right class.",
        ("TT", "TT, synonyms", "ST"),
    ),
    Metric(
        "soft_iou", "soft IoU", "semantic", "%", True,
        "mIoU with right pixels weighted by the cosine of label and class name.", ("TT",),
    ),
    Metric(
        "s_iou", "S-IoU", "semantic", "%", True,
        "mIoU with right pixels weighted by the words that label and class name share.", ("TT",),
    ),
    Metric(
        "mcmr50", "MCMR@0.5", "semantic", "%", False,
        "Share of the localised true regions (IoU 0.5) whose segments have another class.",
        ("TT", "ST"),
    ),
    Metric(
        "name_lac", "LAC accuracy of names", "naming", "%", True,
        "Share of regions whose name is accepted for their class up to a relation in WordNet.",
        LADDER_NAMES,
    ),
    Metric(
        "name_similar", "similarity >= 0.5", "naming", "%", True,
        "Share of regions whose name is like the true one as sentences, at least 0.5.",
    ),
    Metric(
        "name_top1", "top-1", "naming", "%", True,
        "Share of regions whose name is more like the true class than any other, as sentences.",
    ),
    Metric(
        "name_top1_st", "top-1 of embeddings", "naming", "%", True,
        "Share of regions whose embedding is nearest to the true class, by CLIP.",
    ),
    Metric(
        "clip_score", "CLIPScore", "naming", "count", True,
        "2.5 max(0, cosine of region and name), from 0 to 2.5, by the method's own CLIP.",
    ),
    Metric(
        "ref_clip_score", "RefCLIPScore", "naming", "count", True,
        "Harmonic mean of CLIPScore and the cosine of name and true name, from 0 to 1.43.",
    ),
    Metric(
        "cluster_miou", "mIoU", "unsupervised", "%", True,
        "mIoU of the matched labels. Hungarian: one label per class, on pixels as STEGO or on IoU. "
        "VOC's over-clustering: with more labels than classes each takes the class of its highest "
        "IoU, else as Hungarian on IoU. Many-to-one: each takes that of most of its pixels.",
        _MATCHINGS,
    ),
    Metric(
        "cluster_accuracy", "accuracy", "unsupervised", "%", True,
        "Pixel accuracy of the matched labels.", _MATCHINGS,
    ),
    Metric(
        "image_miou", "mIoU", "per-image", "%", True,
        "mIoU of matched segments; those left over are missed, or as in DiffCut's released code "
        "count as classes that aren't in the image.", ("left over: missed", "released code"),
    ),
    Metric(
        "image_accuracy", "accuracy", "per-image", "%", True,
        "Pixel accuracy of matched segments.", ("left over: missed", "released code"),
    ),
    *(
        Metric(
            f"ar{n}", f"AR@{n}", "class-agnostic", "%", True,
            f"COCO's recall of true regions over IoU 0.5 to 0.95; best scored masks an image: {n}.",
        )
        for n in (1, 10, 100)
    ),
    Metric(
        "ap", "AP", "class-agnostic", "%", True,
        "COCO's average precision over IoU 0.5 to 0.95; its ranking is the method's own scores.",
    ),
    Metric(
        "best_overlap", "best overlap", "class-agnostic", "%", True,
        "Mean over true regions of the IoU with the segment that fits best.",
    ),
    Metric(
        "boundary_iou", "Boundary IoU", "class-agnostic", "%", True,
        "Mean over true regions of the Boundary IoU with the segment that fits best.",
    ),
    Metric(
        "boundary_f", "boundary F", "class-agnostic", "%", True,
        "Harmonic mean of the borders' precision and recall, mean over images; not the BSDS "
        "benchmark's matching.",
    ),
    Metric(
        "mask_pq", "PQ of masks", "class-agnostic", "%", True,
        "Panoptic quality with one class for everything.",
    ),
    Metric("pq", "PQ", "panoptic", "%", True, "Panoptic quality, mean over classes.", ("TT",)),
    Metric("sq", "SQ", "panoptic", "%", True, "Mean IoU of the matches.", ("TT",)),
    Metric("rq", "RQ", "panoptic", "%", True, "F1 of the matches.", ("TT",)),
    Metric(
        "foreground_iou", "foreground IoU", "foreground", "%", True,
        "IoU of the foreground, mean over images.",
    ),
    Metric(
        "max_f", "maxF", "foreground", "%", True,
        "Highest F measure, beta^2 = 0.3, of the images' mean precision and recall.",
    ),
    Metric(
        "corloc", "CorLoc", "foreground", "%", True,
        "Share of images in which the box around the foreground's largest piece fits a true one.",
    ),
    Metric("seconds", "seconds per image", "cost", "s", False, "Prediction alone, not scoring."),
    Metric("peak_memory", "peak memory", "cost", "MiB", False, "Of the process, or the device."),
    Metric(
        "coverage", "pixels labelled", "cost", "%", True,
        "Share of pixels in a segment with a name.",
    ),
    Metric("segments", "segments per image", "cost", "count", False, "How many there are."),
    Metric("distinct_labels", "distinct labels", "cost", "count", True, "Over all images."),
)  # fmt: skip
METRICS: dict[str, Metric] = {each.name: each for each in _METRICS}


def key(metric: str, variant: str = "") -> str:
    """How images' and classes' rows name a number: ``"miou/TT"``, or the metric's name alone."""
    return f"{metric}/{variant}" if variant else metric


def split_key(name: str) -> tuple[Metric, str]:
    """The metric and the variant of a `key`; KeyError for an unknown metric."""
    metric, _, variant = name.partition("/")
    return METRICS[metric], variant
