"""Segments of consecutive frames become tracks, and a track has one name.

A segment goes on in the next frame's segment that lies where it lay and looks like it. Each has one
successor at most: the assignment of Kuhn, "The Hungarian method for the assignment problem" (1955),
as scipy solves it, in the way of SORT (Bewley et al., "Simple online and realtime tracking", 2016),
without a model of motion. Numpy and scipy only.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from zeroguide.result.named_map import NamedMap
from zeroguide.result.segment import Category, Segment

# Of (overlap + cosine) / 2. Above a half, neither is enough alone: nothing goes on where it
# overlaps nothing, nor in a thing of another look that has taken its place.
LEAST_ALIKE = 0.55

Labels = TypeVar("Labels", bound=NamedMap)


@dataclass
class Track:
    """One thing through consecutive frames.

    id: from 1, in the order of appearance. parts: (place, segment) of each frame, places in a row.
    """

    id: int
    parts: list[tuple[int, Segment]] = field(default_factory=list)
    # label -> sum of confidences; (id, name) of a class -> sum of probabilities
    _labels: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    _classes: defaultdict[tuple[int, str], float] = field(
        default_factory=lambda: defaultdict(float)
    )

    def add(self, place: int, segment: Segment) -> None:
        """The segment that is this thing in a frame."""
        self.parts.append((place, segment))
        self._labels[segment.label] += segment.confidence
        if (found := segment.category) is not None:
            self._classes[found.id, found.name] += found.probability

    @property
    def label(self) -> str:
        """The label with the greatest sum of confidences, the first of equals."""
        return max(self._labels, key=lambda label: self._labels[label])

    @property
    def confidence(self) -> float:
        """Mean confidence of its segments in the track's label; 0 for those named otherwise."""
        return self._labels[self.label] / len(self.parts)

    @property
    def category(self) -> Category | None:
        """The class with the greatest sum of probabilities; None where there are no classes."""
        if not self._classes:
            return None
        id, name = best = max(self._classes, key=lambda one: self._classes[one])
        return Category(id, name, self._classes[best] / len(self.parts))

    def named(self, segment: Segment) -> Segment:
        """A segment of this track with its name; `original` is the frame's own, if another."""
        label = self.label
        original = None if label == segment.label else segment.label
        return replace(segment, label=label, original=original, category=self.category)


class Tracker:
    """Takes labelled frames one by one; only the last one is kept whole.

    tracks: all so far, by id from 1.
    """

    def __init__(self) -> None:
        self.tracks: list[Track] = []
        self._frames: list[list[Track]] = []  # of each frame, the track of segment i + 1
        self._before: NamedMap | None = None

    def add(self, labeling: NamedMap) -> None:
        """The next frame. Raises ValueError for one of another size than the frame before."""
        before = self._before
        predecessors = {} if before is None else links(before, labeling)
        tracks = []
        for segment in labeling.segments:
            if segment.id in predecessors:
                track = self._frames[-1][predecessors[segment.id] - 1]
            else:
                track = Track(len(self.tracks) + 1)
                self.tracks.append(track)
            track.add(len(self._frames), segment)
            tracks.append(track)
        self._frames.append(tracks)
        self._before = labeling

    def of(self, place: int) -> list[Track]:
        """The track of each segment of a frame, in the order of the segments' ids."""
        return self._frames[place]

    def named(self, place: int, labeling: Labels) -> Labels:
        """A frame with the names of its tracks, as they are after all that was added."""
        pairs = zip(self.of(place), labeling.segments, strict=True)
        return replace(labeling, segments=tuple(track.named(s) for track, s in pairs))


def links(before: NamedMap, after: NamedMap) -> dict[int, int]:
    """Segment of `after` -> the segment of `before` that it goes on from, ids; one to one."""
    from scipy.optimize import linear_sum_assignment

    alike = alikeness(before, after)
    rows, columns = linear_sum_assignment(np.where(alike >= LEAST_ALIKE, alike, 0), maximize=True)
    return {
        int(column) + 1: int(row) + 1
        for row, column in zip(rows, columns, strict=True)
        if alike[row, column] >= LEAST_ALIKE
    }


def alikeness(before: NamedMap, after: NamedMap) -> np.ndarray:
    """Of every two segments of two frames (n, m): the mean of overlap and cosine, -0.5 to 1.

    Overlap: intersection over union of pixels. Cosine: of what CLIP sees in them; without
    embeddings, the overlap alone. Raises ValueError for frames of two sizes.
    """
    if before.label_map.shape != after.label_map.shape:
        raise ValueError(f"frames of {before.label_map.shape} and {after.label_map.shape}")
    n, m = len(before.segments), len(after.segments)
    pairs = (before.label_map.ravel() - 1) * m + after.label_map.ravel() - 1
    shared = np.bincount(pairs, minlength=n * m).reshape(n, m)
    union = shared.sum(1)[:, None] + shared.sum(0)[None, :] - shared
    overlap = shared / union
    if before.embeddings is None or after.embeddings is None:
        return overlap
    cosine = before.embeddings.astype(np.float32) @ after.embeddings.astype(np.float32).T
    return (overlap + cosine) / 2
