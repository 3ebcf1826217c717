"""The number of segments from the image itself: the criteria of `choose`, applied to features.

"auto" is the merge cost in Ward's tree of the connected grid, whatever method is to run then: on
Playroom scenes its number is nearly as good for the other methods as for Ward's own segments, and
better than what "eigengap" and "silhouette" find (docs/results.md).

No picture says by itself whether its parts, its objects or its whole scene are wanted: that is the
granularity, by which the number is multiplied.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from zeroguide.errors import UsageError
from zeroguide.segment.segmenters.affinity import Grid, cosines
from zeroguide.segment.segmenters.agglomerative import agglomerative
from zeroguide.segment.segmenters.choose import eigengap, silhouette
from zeroguide.segment.segmenters.common import prepare
from zeroguide.segment.segmenters.eigen import cut_vectors
from zeroguide.system.one_thread import one_thread

Criterion = Literal["auto", "eigengap", "silhouette"]
RANGE = 4  # how many times the number is multiplied or divided, at the ends of the granularity
MOST_SEGMENTS = 30  # that eigengap and silhouette consider


@one_thread()
def choose_n_segments(
    features: Any, criterion: Criterion = "auto", granularity: float = 0.5, *, seed: int = 0
) -> int:
    """How many segments features (h, w, d) have: 1 or more. UsageError: no such criterion.

    "auto": `merge_cost` of Ward's tree; "eigengap": of the graph of positive cosines; "silhouette":
    of the 1 to 30 segments of Ward's tree. granularity: 0 to 1; the number is multiplied by
    ``RANGE ** (2 * granularity - 1)``, but what the criterion holds for one segment stays one.
    """
    return finer(_number(features, criterion, seed), granularity)


def finer(number: int, granularity: float) -> int:
    """The number that a criterion has found, made finer or coarser: 1 or more."""
    return number if number == 1 else max(1, round(number * RANGE ** (2 * granularity - 1)))


def _number(features: Any, criterion: Criterion, seed: int) -> int:
    if criterion == "auto":
        return 1 + int(agglomerative(features, n_segments=None, normalize=True).label_map.max())
    if criterion == "eigengap":
        grid = Grid.build(features)
        if grid.is_constant:
            return 1
        affinity = cosines(grid.coarse_rows)
        values, _ = cut_vectors(np.maximum(affinity, 0, out=affinity), MOST_SEGMENTS, seed=seed)
        return eigengap(np.concatenate([[0.0], values]))
    if criterion == "silhouette":
        most = agglomerative(features, n_segments=MOST_SEGMENTS, normalize=True)
        assert most.tree is not None
        label_maps = [most.label_map]
        for i in range(len(most.tree)):  # the last merge leaves one segment
            last = label_maps[-1].copy()
            last[np.isin(last, most.tree[i])] = len(most.tree) + 1 + i
            label_maps.append(last)
        rows = prepare(features, normalize=True)
        best = silhouette(rows, [np.unique(m, return_inverse=True)[1] for m in label_maps])
        return len(np.unique(label_maps[best]))
    raise UsageError(
        f"unknown segmenter.n_segments {criterion!r}: choose a number or one of "
        f"{', '.join(get_args(Criterion))}"
    )
