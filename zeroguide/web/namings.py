"""What is known of any segment of an image: by the networks, or estimated from its parts.

A joined segment that no network has seen gets an estimate: the area-weighted mean of its parts'
embeddings, and of its parts' names the one whose text lies nearest to that; further names of its
parts are its alternatives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from zeroguide.name.name import UNNAMED

Parts = tuple[int, ...]
"""A segment: the over-segments it is made of, ascending."""


@dataclass(frozen=True, eq=False)
class Naming:
    """What the networks say of a segment.

    labels: (label, score), best first, at least one. embedding: (e,) float32, any length but zero.
    confidence: in the first label, 0 to 1. composed: as in `Segment`.
    """

    labels: tuple[tuple[str, float], ...]
    embedding: np.ndarray
    confidence: float
    composed: bool = False


@dataclass(frozen=True, eq=False)
class TextTable:
    """Text embeddings of all names that segments may have, so that no text is encoded later.

    plain: name -> (e,) unit float32, for the merge graph. prompted: the same with the decoder's
    prompt before the name, for scores. label_set: (p, e) unit rows, midpoint, slope: as in
    `zeroguide.clip.confidence.Confidence`.
    """

    plain: Mapping[str, np.ndarray]
    prompted: Mapping[str, np.ndarray]
    label_set: np.ndarray
    midpoint: float
    slope: float

    def confidence(self, embedding: np.ndarray, label: str) -> float:
        """As `Confidence` estimates it, for a unit embedding (e,) and a name of the table."""
        import torch  # not before there is an image

        from zeroguide.clip.confidence import platt, z_scores

        cosines = np.stack([self.prompted[label], *self.label_set]) @ embedding
        own, others = torch.from_numpy(cosines).split([1, len(cosines) - 1])
        return float(platt(z_scores(own, others[None]), self.midpoint, self.slope))

    def with_names(self, other: TextTable) -> TextTable:
        """The same with the names of another table."""
        plain, prompted = {**self.plain, **other.plain}, {**self.prompted, **other.prompted}
        return replace(self, plain=plain, prompted=prompted)


class Namings:
    """A naming of every union of over-segments.

    Args:
        named: what the networks say, at least of every over-segment `(i,)`.
        texts: holds every name in `named`.
        areas: (n,) integers, pixels of the over-segments.

    Raises:
        ValueError: an over-segment has no naming.
    """

    def __init__(self, named: Mapping[Parts, Naming], texts: TextTable, areas: np.ndarray) -> None:
        missing = [i for i in range(len(areas)) if (i,) not in named]
        if missing:
            raise ValueError(f"over-segments without a naming: {missing[:10]}")
        self.texts = texts
        self._seen = dict(named)
        self._named: Mapping[Parts, Naming] = self._seen
        self._estimates: dict[Parts, Naming] = {}
        self._areas = areas

    def __getitem__(self, parts: Parts) -> Naming:
        """What the networks say of a segment, or an estimate."""
        if self.is_estimate(parts):
            if parts not in self._estimates:
                self._estimates[parts] = self._estimate(parts)
            return self._estimates[parts]
        return self._named[parts]

    def is_estimate(self, parts: Parts) -> bool:
        """Whether no network has seen a segment."""
        return parts not in self._named

    def add(self, parts: Parts, naming: Naming, texts: TextTable) -> None:
        """Take what the networks say of a segment; `texts` holds the names in it."""
        self.texts = self.texts.with_names(texts)
        self._seen[parts] = naming

    def embeddings(self) -> dict[Parts, np.ndarray]:
        """What CLIP saw in every segment that it has seen: (e,) float32 each."""
        return {parts: naming.embedding for parts, naming in self._seen.items()}

    def say(self, named: Mapping[Parts, Naming] | None, texts: TextTable | None = None) -> None:
        """Use other names of all segments in `embeddings`; None: the networks' own again."""
        self._named = self._seen if named is None else named
        if texts is not None:
            self.texts = self.texts.with_names(texts)
        self._estimates.clear()

    def label_embedding(self, parts: Parts) -> np.ndarray:
        """The text embedding of a segment's label, without a prompt: (e,); zeros for no name."""
        naming = self[parts]
        label = naming.labels[0][0]
        return np.zeros_like(naming.embedding) if label == UNNAMED else self.texts.plain[label]

    def _estimate(self, parts: Parts) -> Naming:
        seen = [self._named[part,] for part in parts]
        units = np.stack([_unit(naming.embedding) for naming in seen])
        embedding = _unit(self._areas[list(parts)].astype(np.float32) @ units)
        labels = dict.fromkeys(label for naming in seen for label, _ in naming.labels)
        names = [label for label in labels if label != UNNAMED]
        if not names:
            return Naming(((UNNAMED, 0.0),), embedding, 0.0)
        scores = np.stack([self.texts.prompted[name] for name in names]) @ embedding
        # Not the nearest of all: a decoder weighs more than nearness, what it put first says so.
        first = {naming.labels[0][0] for naming in seen}
        rank = np.lexsort((-scores, [name not in first for name in names]))
        order = rank[: max(len(naming.labels) for naming in seen)]
        ranked = tuple((names[i], float(scores[i])) for i in order)
        return Naming(ranked, embedding, self.texts.confidence(embedding, ranked[0][0]))


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)
