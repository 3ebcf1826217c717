"""One image's numbers: a prediction and the truth in, a row out.

What every protocol needs of an image is computed once (`Case`); the protocols themselves are in
`scoring_named` and `scoring_masks`. Pixels where the truth is void are in no count. A background
class is no candidate for a label: whatever is taken for no class is background where the data set
has one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from zeroguide.errors import ZeroguideError
from zeroguide.evaluate.datasets import Dataset, Regions, Sample
from zeroguide.evaluate.metrics.assignment import best_name, cosine
from zeroguide.evaluate.metrics.class_agnostic import encode
from zeroguide.evaluate.metrics.lac import Relation
from zeroguide.evaluate.metrics.overlap import VOID, Overlap, intersections
from zeroguide.evaluate.metrics.semantic import ClassCounts
from zeroguide.evaluate.predictions.prediction import Prediction
from zeroguide.evaluate.scoring.results import ImageRow, Sums, split_key
from zeroguide.evaluate.scoring.rows import Counts, Masks, Row
from zeroguide.evaluate.scoring.sentences import SentenceEncoder
from zeroguide.result.rle import RLE

ST_TEMPLATE = "Image of a {}."
NAMELESS = ("", "unnamed")  # what decoders say where they find no name
Numbers = Iterator[tuple[str, float | Sums]]
"""By key: a mean's value as a share, or a ratio's sums."""


class Classes:
    """A data set's classes and their names' embeddings, computed once.

    Args:
        dataset: whose classes.
        encoder: for TT; None: no text is compared with a text.
        embed: for ST, texts -> embeddings in the segments' space, or None; None: no ST.
        relation: for the lexical ladder; None: no ladder.
    """

    def __init__(
        self,
        dataset: Dataset,
        encoder: SentenceEncoder | None = None,
        embed: Callable[[Sequence[str]], np.ndarray | None] | None = None,
        relation: Relation | None = None,
    ) -> None:
        self.names = [each.name for each in dataset.classes]
        self.n = len(self.names)
        self.background = dataset.background
        self.candidates = np.array([i for i in range(self.n) if i != self.background], dtype=int)
        self.stuff = np.array([each.kind == "stuff" for each in dataset.classes], dtype=bool)
        self.synonyms = [list(each.synonyms) for each in dataset.classes]
        self.encoder = encoder
        self.relation = relation
        self.owners = np.array(
            [i for i, own in enumerate(self.synonyms) for _ in range(1 + len(own))], dtype=int
        )
        if encoder is not None and self.n:
            # Each class's name, then its synonyms.
            together = [
                text
                for name, own in zip(self.names, self.synonyms, strict=True)
                for text in (name, *own)
            ]
            self.sentences = encoder.encode(self.names)
            self.all_sentences = encoder.encode(together)
        self.st: np.ndarray | None = None
        self.clip_names: np.ndarray | None = None
        if embed is not None and self.n:
            self.st = embed([ST_TEMPLATE.format(name) for name in self.names])
            self.clip_names = embed(self.names)


@dataclass(frozen=True, eq=False)
class Case:
    """One image: its truth, its prediction, and tables that several protocols start from."""

    classes: Classes
    prediction: Prediction
    truth: np.ndarray
    annotations: tuple[Regions, ...]

    @cached_property
    def overlap(self) -> Overlap:
        """Segments x classes."""
        n = len(self.prediction.labels)
        return intersections(self.prediction.label_map, self.truth, n, self.classes.n)

    @property
    def regions(self) -> Regions:
        """The first annotation."""
        return self.annotations[0]

    @cached_property
    def void(self) -> np.ndarray:
        """(H, W) bool: where the truth says nothing."""
        return (self.truth == VOID) & (self.regions.label_map < 0)

    def filled(self, regions: Regions) -> np.ndarray:
        """(H, W) regions, and what is known but no region (a background) as one more."""
        rest = (regions.label_map < 0) & (self.truth != VOID)
        return np.where(rest, len(regions.classes), regions.label_map)

    @cached_property
    def region_map(self) -> np.ndarray:
        """(H, W) the first annotation, `filled`."""
        return self.filled(self.regions)

    @cached_property
    def region_overlap(self) -> Overlap:
        """Segments x regions, the last column being what is known but no region."""
        n = len(self.prediction.labels)
        return intersections(
            self.prediction.label_map, self.region_map, n, len(self.regions.classes) + 1
        )

    @cached_property
    def masks(self) -> Masks:
        """Segments, without void, and true regions as run-length codes."""
        from pycocotools import mask as codes

        prediction, regions = self.prediction, self.regions
        n = len(prediction.labels)
        masks = prediction.masks
        if masks is None:
            masks = encode(prediction.label_map, n, void=self.void)
        elif self.void.any():
            known = codes.encode(np.asfortranarray(~self.void, dtype=np.uint8))
            masks = [codes.merge([mask, known], intersect=True) for mask in masks]
        scores = np.ones(n) if prediction.scores is None else prediction.scores
        height, width = self.truth.shape
        return Masks(
            (height, width),
            tuple(map(_text, masks)),
            tuple(float(score) for score in scores),
            tuple(map(_text, encode(regions.label_map, len(regions.classes)))),
            tuple(bool(flag) for flag in regions.crowd),
        )

    @property
    def own(self) -> np.ndarray:
        """(k,) classes in the truth, without the background."""
        return self.classes.candidates[self.overlap.truth_areas[self.classes.candidates] > 0]

    @cached_property
    def _sentences(self) -> np.ndarray:
        assert self.classes.encoder is not None
        return self.classes.encoder.encode(self.prediction.labels)

    @cached_property
    def tt(self) -> np.ndarray:
        """(m, C) cosine of label and class name; -inf for a segment without a name."""
        return self._named(cosine(self._sentences, self.classes.sentences))

    @cached_property
    def tt_synonyms(self) -> np.ndarray:
        """(m, C) the same with the most similar of name and synonyms."""
        similarity = cosine(self._sentences, self.classes.all_sentences)
        return self._named(best_name(similarity, self.classes.owners, self.classes.n))

    @cached_property
    def st(self) -> np.ndarray:
        """(m, C) cosine of segment and "Image of a {class}."."""
        assert self.prediction.embeddings is not None and self.classes.st is not None
        return cosine(self.prediction.embeddings, self.classes.st)

    def _named(self, similarity: np.ndarray) -> np.ndarray:
        nameless = [label in NAMELESS for label in self.prediction.labels]
        similarity[nameless] = -np.inf
        return similarity


def score(
    sample: Sample,
    prediction: Prediction,
    classes: Classes,
    protocols: Sequence[Callable[[Case], Numbers]],
) -> tuple[Row, Case]:
    """The row of an image, without what only some protocols add, and what it was made from.

    Raises ZeroguideError if prediction and truth differ in size.
    """
    truth, annotations = sample.semantic(), sample.annotations()
    if prediction.label_map.shape != truth.shape:
        (height, width), (true_height, true_width) = prediction.label_map.shape, truth.shape
        raise ZeroguideError(
            f"{sample.name}: the prediction is {width} x {height} pixels but the truth "
            f"{true_width} x {true_height}; predict at the image's size."
        )
    case = Case(classes, prediction, truth, annotations)
    values: dict[str, float] = {}
    sums: dict[str, Sums] = {}
    for protocol in protocols:
        for name, number in protocol(case):
            if isinstance(number, Sums):
                sums[name] = number
            else:
                values[name] = number * split_key(name)[0].scale
    overlap = case.overlap
    image = ImageRow(
        sample.name,
        seconds=prediction.seconds,
        n_segments=len(prediction.labels),
        values=values,
        sums=sums,
    )
    row = Row(
        image,
        labels=tuple(prediction.labels),
        masks=case.masks,
        counts=tuple(Counts.of(each) for each in overlap.counts),
        rest=Counts.of(overlap.unsegmented),
    )
    return row, case


def _text(mask: RLE) -> str:
    counts = mask["counts"]
    return counts.decode("ascii") if isinstance(counts, bytes) else str(counts)


def sparse(numerators: np.ndarray, denominators: np.ndarray) -> Sums:
    """Sums of the columns whose denominator isn't 0, from two (C,) arrays."""
    index = np.flatnonzero(denominators)
    return Sums(
        tuple(index.tolist()),
        tuple(np.asarray(numerators, dtype=float)[index].tolist()),
        tuple(np.asarray(denominators, dtype=float)[index].tolist()),
    )


def ratio(numerator: float, denominator: float) -> Sums:
    """Sums of a ratio that isn't by class."""
    return sparse(np.array([numerator]), np.array([denominator]))


def iou_sums(counts: ClassCounts) -> Sums:
    """What dataset mIoU is summed from."""
    return sparse(counts.tp, counts.union)


def accuracy_sums(counts: ClassCounts) -> Sums:
    """What pixel accuracy is summed from."""
    return ratio(float(counts.tp.sum()), float((counts.tp + counts.fn).sum()))
