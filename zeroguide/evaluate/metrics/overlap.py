"""The pixel counts nearly every metric starts from: how segments and true classes overlap.

One pass over the pixels fills a table of segments x classes; no mask per class is ever made. Void
pixels of the truth are kept apart and never counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

VOID = -1  # in a truth: don't count this pixel; in a label map: no segment here


@dataclass(frozen=True)
class Overlap:
    """How m segments and C true classes (or regions) overlap, in pixels outside the void.

    Areas and IoUs are computed once, since most metrics ask for them: don't write to any array.

    Attributes:
        counts: (m, C) int64, pixels of segment i and class c.
        unsegmented: (C,) int64, pixels of class c in no segment.
        void: (m,) int64, pixels of segment i where the truth is void; in no other count.
    """

    counts: np.ndarray
    unsegmented: np.ndarray
    void: np.ndarray

    @cached_property
    def areas(self) -> np.ndarray:
        """(m,) int64 pixels of each segment, void left out."""
        return self.counts.sum(axis=1)

    @cached_property
    def truth_areas(self) -> np.ndarray:
        """(C,) int64 pixels of each true class, segmented or not."""
        return self.counts.sum(axis=0) + self.unsegmented

    @cached_property
    def iou(self) -> np.ndarray:
        """(m, C) float64 intersection over union; 0 where both are empty."""
        unions = self.areas[:, None] + self.truth_areas - self.counts
        return self.counts / np.maximum(unions, 1)

    @property
    def coverage(self) -> float:
        """Share of the pixels outside the void that are in a segment; NaN without pixels."""
        total = self.truth_areas.sum()
        return float(self.counts.sum() / total) if total else float("nan")

    def grouped(self, groups: np.ndarray, n_groups: int) -> Overlap:
        """The overlap of unions of segments: segment i becomes part of `groups[i]`.

        Args:
            groups: (m,) int in 0..n_groups-1, or -1: the segment's pixels become unsegmented.
            n_groups: rows of the result; a group may be empty.
        """
        groups = np.asarray(groups)
        if groups.shape != (len(self.counts),):
            raise ValueError(f"{len(self.counts)} segments but groups of shape {groups.shape}")
        if len(groups) and not (groups.min() >= -1 and groups.max() < n_groups):
            raise ValueError(f"a group is outside -1..{n_groups - 1}")
        kept = groups >= 0
        counts = np.zeros((n_groups, self.counts.shape[1]), dtype=np.int64)
        np.add.at(counts, groups[kept], self.counts[kept])
        void = np.zeros(n_groups, dtype=np.int64)
        np.add.at(void, groups[kept], self.void[kept])
        return Overlap(counts, self.unsegmented + self.counts[~kept].sum(axis=0), void)

    def __add__(self, other: Overlap) -> Overlap:
        """Both images' pixels together, where segment i and class c mean the same in both."""
        return Overlap(
            self.counts + other.counts,
            self.unsegmented + other.unsegmented,
            self.void + other.void,
        )


def intersections(
    segments: np.ndarray, truth: np.ndarray, n_segments: int, n_classes: int
) -> Overlap:
    """Counts how the segments of a label map overlap the classes of the truth.

    Args:
        segments: (H, W) int, ids 0..n_segments-1 or -1 where nothing is predicted.
        truth: (H, W) int, classes (or regions) 0..n_classes-1 or VOID.
        n_segments, n_classes: how many there are; some may cover no pixel.

    Raises ValueError for other shapes, types or ids.
    """
    check_label_map(segments, n_segments, "segments")
    check_label_map(truth, n_classes, "truth")
    if segments.shape != truth.shape:
        raise ValueError(f"segments {segments.shape} and truth {truth.shape} differ in size")
    columns = n_classes + 1  # the first is the void, the first row the pixels of no segment
    codes = segments.astype(np.int64)
    codes *= columns
    codes += truth
    codes += columns + 1
    table = np.bincount(codes.ravel(), minlength=(n_segments + 1) * columns)
    table = table.reshape(n_segments + 1, columns)
    return Overlap(table[1:, 1:], table[0, 1:], table[1:, 0])


def check_label_map(label_map: np.ndarray, n: int, name: str) -> None:
    """Raises ValueError unless it is an (H, W) map of signed ints -1..n-1; `name` is for the text.

    Unsigned maps are refused: a void of 255 would be taken for a class.
    """
    if label_map.ndim != 2 or not np.issubdtype(label_map.dtype, np.signedinteger):
        raise ValueError(
            f"{name} must be an (H, W) map of signed integers, not {label_map.shape} "
            f"{label_map.dtype}"
        )
    if label_map.size and not (label_map.min() >= -1 and label_map.max() < n):
        raise ValueError(
            f"{name} has ids {label_map.min()}..{label_map.max()}, outside -1..{n - 1}"
        )
