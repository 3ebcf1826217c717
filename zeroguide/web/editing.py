"""A labelled image to work on: merged at another threshold, joined and named by hand, undone.

The networks have done their part: every over-segment has an embedding and ranked names, and so have
the joined segments that the flow made on its way. An `Editor` repeats the flow's merging from these
at any threshold; a joined segment that no network has seen gets an estimate (see `namings`). At the
recipe's own threshold nothing is estimated, and the result is the flow's.

What somebody joins or names stays as it is at every threshold, until it is undone.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Literal

import numpy as np

from zeroguide.errors import UsageError
from zeroguide.image import Image
from zeroguide.recipe import Merge
from zeroguide.result import Label, Labeling
from zeroguide.web.namings import Naming, Namings, Parts, TextTable
from zeroguide.web.typed_names import clean_name

Source = Literal["network", "estimate", "hand"]
"""Who named a segment: the networks, an estimate from its parts, or somebody by hand."""


@dataclass(frozen=True, eq=False)
class EditedSegment:
    """A segment as it stands now.

    fixed: it was named or joined by hand, so no threshold changes it. area: in pixels.
    """

    parts: Parts
    label: str
    score: float
    confidence: float
    alternatives: tuple[tuple[str, float], ...]
    source: Source
    fixed: bool
    embedding: np.ndarray
    area: int
    composed: bool = False


@dataclass(frozen=True)
class _Fixed:
    """What somebody decided: these parts are one segment, perhaps with a name."""

    parts: Parts
    label: str | None


class Editor:
    """The segments of one image, and what may be done to them without a network.

    Args:
        image: the image; pixels (H, W, 3) uint8.
        label_map: (H, W) integers 0..n-1, its over-segments, every value present.
        named: what the networks say, at least of every over-segment `(i,)`.
        texts: holds every name in `named`.
        merge: the recipe's section: edges, weight and the first threshold.
        provenance: of the recipe, for results.
        tree: (n-1, 2), the segmenter's merge tree; needed for the edges "siblings".
        certainty: the recipe's, with which names were chosen; None where it doesn't act.

    A segment is spoken of by any one of its over-segments, whose numbers never change. `areas` are
    their pixels: (n,) integers.
    Raises ValueError if `named` or the tree lack something.
    """

    def __init__(
        self,
        image: Image,
        label_map: np.ndarray,
        *,
        named: Mapping[Parts, Naming],
        texts: TextTable,
        merge: Merge,
        provenance: dict[str, Any],
        tree: np.ndarray | None = None,
        certainty: float | None = None,
    ) -> None:
        from zeroguide.name.merging import Merger  # torch: not before there is an image

        self.image, self.label_map, self.tree = image, label_map, tree
        self.n_parts = int(label_map.max()) + 1
        self.threshold = merge.threshold
        self._recipe_threshold = merge.threshold
        self.certainty = self.recipe_certainty = certainty
        self._provenance = provenance
        self.areas = np.bincount(label_map.ravel(), minlength=self.n_parts)
        self._namings = Namings(named, texts, self.areas)
        self._merger = Merger(merge, label_map, tree)
        self._fixed: tuple[_Fixed, ...] = ()
        self._before: list[tuple[_Fixed, ...]] = []
        self._segments: list[EditedSegment] | None = None

    @property
    def segments(self) -> list[EditedSegment]:
        """In the order of their parts; every over-segment belongs to exactly one."""
        if self._segments is None:
            self._segments = [self._describe(parts) for parts in self._merged()]
        return self._segments

    @property
    def can_undo(self) -> bool:
        """Whether there is a decision by hand to take back."""
        return bool(self._before)

    def over_segments(self) -> list[EditedSegment]:
        """Every over-segment by itself, as the networks named it."""
        singles: list[Parts] = [(part,) for part in range(self.n_parts)]
        return [self._view(parts, self._namings[parts], "network") for parts in singles]

    def edges(self) -> list[tuple[int, int, float]]:
        """The merge graph's edges between over-segments: (i, j, similarity), i < j."""
        graph = self._graph([(part,) for part in range(self.n_parts)])
        return sorted((min(i, j), max(i, j), float(w)) for i, j, w in graph.edges(data="weight"))

    def segment_of(self, part: int) -> EditedSegment:
        """The segment that an over-segment is in. UsageError if there is no such over-segment."""
        for segment in self.segments:
            if part in segment.parts:
                return segment
        raise UsageError(f"there is no over-segment {part + 1}: they count 1 to {self.n_parts}")

    def set_threshold(self, threshold: float) -> None:
        """Merge anew: what is at least as similar becomes one. UsageError if it isn't a number."""
        if not math.isfinite(threshold):
            raise UsageError(f"the threshold {threshold} is not a number")
        self.threshold, self._segments = threshold, None

    def embeddings(self) -> dict[Parts, np.ndarray]:
        """What CLIP saw in every segment that it has seen, joined ones too: (e,) float32 each."""
        return self._namings.embeddings()

    def names(self) -> Collection[str]:
        """All names whose texts are known."""
        return self._namings.texts.plain.keys()

    def set_certainty(
        self, certainty: float, named: Mapping[Parts, Naming], texts: TextTable
    ) -> None:
        """Take the names that a decoder chooses with another certainty, and merge anew.

        named: of every segment in `embeddings`; it isn't read where the certainty is the recipe's,
        as those names are known. texts: holds the names in it.
        """
        self._namings.say(None if certainty == self.recipe_certainty else named, texts)
        self.certainty, self._segments = certainty, None

    def rename(self, part: int, label: str) -> None:
        """Give the segment around an over-segment a name of one's own. UsageError if it's blank."""
        self._fix(self.segment_of(part).parts, clean_name(label))

    def join(self, parts: Sequence[int]) -> None:
        """Make one segment of those around the given over-segments.

        If one of them was named by hand, the whole gets that name; of several, the largest one's.
        Raises UsageError if they are fewer than two segments.
        """
        joined = {segment.parts: segment for segment in map(self.segment_of, parts)}
        if len(joined) < 2:
            raise UsageError("joining takes two different segments")
        by_hand = [segment for segment in joined.values() if segment.source == "hand"]
        label = max(by_hand, key=lambda segment: segment.area).label if by_hand else None
        self._fix(tuple(sorted(part for own in joined for part in own)), label)

    def add_naming(self, part: int, naming: Naming, texts: TextTable) -> None:
        """Take what the networks now say of the segment around an over-segment, and keep it so.

        texts: holds the new names.
        """
        parts = self.segment_of(part).parts
        self._namings.add(parts, naming, texts)
        self._fix(parts, None)

    def undo(self) -> None:
        """Take back the last decision by hand, if there is one; the threshold stays."""
        if self._before:
            self._fixed, self._segments = self._before.pop(), None

    def labeling(self) -> Labeling:
        """The result. Its `recipe` has a field "edits" if it isn't just what the recipe gives."""
        segment_of = np.empty(self.n_parts, np.int32)
        labels = []
        for i, segment in enumerate(self.segments):
            segment_of[list(segment.parts)] = i
            labels.append(
                Label(
                    segment.label,
                    segment.score,
                    segment.confidence,
                    segment.alternatives,
                    [part + 1 for part in segment.parts],
                    segment.embedding,
                    segment.composed,
                )
            )
        plain = Labeling.build(self.image, segment_of[self.label_map], labels, self._provenance)
        edits = self._edits(plain)
        if not edits:
            return plain
        recipe = {**self._provenance, "edits": edits}
        return replace(plain, recipe=recipe)

    def _edits(self, labeling: Labeling) -> dict[str, Any]:
        """What differs from the recipe: the threshold, and ids of segments by what was done."""
        found: dict[str, Any] = {}
        if self.threshold != self._recipe_threshold:
            found["threshold"] = self.threshold
        if self.certainty != self.recipe_certainty:
            found["certainty"] = self.certainty
        ids = {segment.merged_from[0] - 1: segment.id for segment in labeling.segments}
        kinds = {
            "fixed": [s for s in self.segments if s.fixed],
            "named_by_hand": [s for s in self.segments if s.source == "hand"],
            "estimated": [s for s in self.segments if s.source == "estimate"],
        }
        for kind, segments in kinds.items():
            if segments:
                found[kind] = sorted(ids[segment.parts[0]] for segment in segments)
        return found

    def _fix(self, parts: Parts, label: str | None) -> None:
        self._before.append(self._fixed)
        others = [fixed for fixed in self._fixed if not set(fixed.parts) & set(parts)]
        self._fixed, self._segments = (*others, _Fixed(parts, label)), None

    def _merged(self) -> list[Parts]:
        """The flow's merging: join what is alike, name the joined, until nothing is alike."""
        from zeroguide.name.merging import merge_all, merge_groups

        def alike(segments: list[Parts]) -> list[list[Parts]]:
            groups = merge_groups(self._graph(segments), self.threshold)
            return [[segments[i] for i in group] for group in groups]

        def join(groups: list[list[list[Parts]]]) -> list[list[Parts]]:
            return [[tuple(sorted(chain(*group))) for group in of_image] for of_image in groups]

        fixed = [one.parts for one in self._fixed]
        taken = {part for parts in fixed for part in parts}
        free: list[Parts] = [(part,) for part in range(self.n_parts) if part not in taken]
        (merged,) = merge_all([free], alike, join)
        return sorted(merged + fixed)

    def _graph(self, segments: list[Parts]) -> Any:
        """The merge graph of segments; see `zeroguide.name.merging.merge_graph`."""
        import torch

        namings = [self._namings[parts] for parts in segments]
        return self._merger.graph(
            segments,
            torch.from_numpy(np.stack([naming.embedding for naming in namings])),
            [naming.labels[0][0] for naming in namings],
            torch.from_numpy(np.stack([self._namings.label_embedding(p) for p in segments])),
        )

    def _describe(self, parts: Parts) -> EditedSegment:
        fixed = next((one for one in self._fixed if one.parts == parts), None)
        naming = self._namings[parts]
        if fixed is not None and fixed.label is not None:
            others = tuple(one for one in naming.labels if one[0] != fixed.label)
            # What a person says is sure.
            naming = Naming(((fixed.label, 1.0), *others), naming.embedding, 1.0)
            return self._view(parts, naming, "hand", fixed=True)
        source: Source = "estimate" if self._namings.is_estimate(parts) else "network"
        return self._view(parts, naming, source, fixed=fixed is not None)

    def _view(
        self, parts: Parts, naming: Naming, source: Source, *, fixed: bool = False
    ) -> EditedSegment:
        (label, score), *alternatives = naming.labels
        return EditedSegment(
            parts=parts,
            label=label,
            score=score,
            confidence=naming.confidence,
            composed=naming.composed,
            alternatives=tuple(alternatives),
            source=source,
            fixed=fixed,
            embedding=naming.embedding,
            area=int(self.areas[list(parts)].sum()),
        )
