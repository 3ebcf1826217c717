"""Normalised cuts of the cosine graph: TokenCut, MaskCut, and the recursive cut of DiffCut.

- "bipartition": Wang et al., "Self-Supervised Transformers for Unsupervised Object Discovery using
  Normalized Cut" (TokenCut), CVPR 2022. Two cells are linked (1) if their cosine exceeds 0.2, else
  hardly (1e-5). The graph's first eigenvector is split at its mean; the side of its largest entry
  is foreground, and of that the connected part around the largest entry is the segment.
- "maskcut": Wang et al., "Cut and Learn for Unsupervised Object Detection and Instance
  Segmentation" (CutLER), CVPR 2023. The same again and again on what is left, with 0.15, a side
  that holds three corners of the picture counting as background. The source cuts three times and
  drops masks of at most 1 % of the picture. It sets found cells' features to zero; here they leave
  the graph, which is the same but for links of 1e-5, and faster. Masks can't overlap, so that its
  test for overlap isn't needed.
- "recursive": Couairon et al., "DiffCut: Catalyzing Zero-Shot Semantic Segmentation with Diffusion
  Features and Recursive Normalized Cut", NeurIPS 2024. Cosines, stretched to 0..1, to the power 10;
  the best of 100 thresholds on the eigenvector; parts are split, the clearest cut first, until the
  best cut costs 0.5 or more. Its tree of splits is the merge tree.

Fails where the threshold on cosines doesn't suit the features. If it lies below all cosines, there
is no cut, and the picture stays one segment: `center` helps. If it lies above most of them, single
odd cells are cut off.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from zeroguide.errors import UsageError
from zeroguide.segment.segmenters.affinity import Grid, cosines, first_equal, sharpened
from zeroguide.segment.segmenters.common import SegmenterResult, check_n_segments, contiguous
from zeroguide.segment.segmenters.eigen import cut_vectors
from zeroguide.system.one_thread import one_thread

Variant = Literal["bipartition", "maskcut", "recursive"]
# The least cosine that links two cells, and the largest cost of a cut, by variant.
TAU = {"bipartition": 0.2, "maskcut": 0.15, "recursive": 0.5}

WEAK_LINK = 1e-5
LEAST_SHARE = 0.01  # of the picture, for a second or later mask
N_CORNERS = 3
POWER = 10
N_THRESHOLDS = 100


@one_thread()
def ncut(
    features: Any,
    *,
    n_segments: int,
    variant: Variant = "maskcut",
    tau: float | None = None,
    center: bool = False,
    seed: int = 0,
) -> SegmenterResult:
    """Cuts features (h, w, d) into at most `n_segments` segments; a merge tree if "recursive".

    variant: see the module. Of "bipartition" and "maskcut", what no mask holds is a segment too:
    n_segments = 4 are the three masks of the source. tau: the least cosine of linked cells, or,
    if "recursive", the cost from which parts aren't split; None is the source's. `center` is
    explained at segmenters.affinity.Grid.build. Raises UsageError for values out of
    range.
    """
    check_n_segments(n_segments)
    if variant not in TAU:
        raise UsageError(
            f"unknown segmenter.variant {variant!r}: choose one of {', '.join(get_args(Variant))}"
        )
    tau = TAU[variant] if tau is None else tau
    if not -1 <= tau <= 2:
        raise UsageError(f"segmenter.tau={tau} is out of range: choose -1 to 2")
    grid = Grid.build(features, center=center)
    n_cells = len(grid.coarse_rows)
    if n_segments == 1 or grid.is_constant:
        tree = np.empty((0, 2), np.int64) if variant == "recursive" else None
        return SegmenterResult(grid.spread(np.zeros(n_cells, np.int32)), tree)
    if variant == "recursive":
        return _recursive(grid, n_segments, tau, seed)
    n_masks = n_segments - 1 if variant == "maskcut" else 1
    labels = np.zeros(n_cells, np.int32)  # 0: in no mask
    affinity = cosines(grid.coarse_rows)
    np.greater(affinity, tau, out=affinity, casting="unsafe")  # in place: the matrix is large
    np.maximum(affinity, np.float32(WEAK_LINK), out=affinity)
    left = np.arange(n_cells)
    for i in range(1, n_masks + 1):
        mask = _mask(affinity, left, grid.coarse_shape, variant == "maskcut", seed)
        # Nothing changes after a mask that is dropped: all later ones would be the same.
        if mask is None or (i > 1 and mask.sum() <= LEAST_SHARE * n_cells):
            break
        labels[left[mask]] = i
        affinity = affinity[np.ix_(~mask, ~mask)]
        left = left[~mask]
    return SegmenterResult(contiguous(grid.spread(labels))[0])


def _mask(
    affinity: np.ndarray, left: np.ndarray, shape: tuple[int, int], corners: bool, seed: int
) -> np.ndarray | None:
    """Which of the cells that are left, (n,) indices, are the next foreground; None: no cut.

    affinity: (n, n) of the cells left. corners: whether the rule about corners holds.
    """
    from scipy.ndimage import label

    values, vectors = cut_vectors(affinity, 1, seed=seed)
    if len(values) == 0:
        return None
    vector = vectors[:, 0]  # its largest entry is positive
    side = vector > vector.mean()
    h, w = shape
    n_corners = np.isin([0, w - 1, (h - 1) * w, h * w - 1], left[side]).sum()
    if corners and n_corners >= N_CORNERS and min(shape) > 1:
        vector, side = -vector, ~side
    picture = np.zeros(h * w, bool)
    picture[left[side]] = True
    parts = label(picture.reshape(shape))[0].ravel()
    return parts[left] == parts[left[vector.argmax()]]


def _recursive(grid: Grid, n_segments: int, tau: float, seed: int) -> SegmenterResult:
    """The clearest of all parts' cuts first; every split is a node of the tree."""
    affinity = sharpened(cosines(grid.coarse_rows), POWER)
    same = first_equal(grid.coarse_rows)
    labels = np.zeros(len(same), np.int64)
    cuts = {0: _best_cut(affinity, same, seed)}  # part -> cost, its first side
    splits: list[tuple[int, int, int]] = []  # part, its two parts
    while len(cuts) < n_segments:
        part = min(cuts, key=lambda name: cuts[name][0])
        cost, side = cuts[part]
        if cost >= tau:
            break
        del cuts[part]
        children = (2 * len(splits) + 1, 2 * len(splits) + 2)
        splits.append((part, *children))
        cells = np.flatnonzero(labels == part)
        for child, own in zip(children, (cells[side], cells[~side]), strict=True):
            labels[own] = child
            cuts[child] = _best_cut(affinity[np.ix_(own, own)], same[own], seed)
    label_map, leaves = contiguous(grid.spread(labels))
    return SegmenterResult(label_map, _tree(leaves, splits))


def _best_cut(affinity: np.ndarray, same: np.ndarray, seed: int) -> tuple[float, np.ndarray]:
    """Cost and one side (n,) of the cheapest cut of a part (n, n); equal cells, `same`, stay."""
    none = np.inf, np.zeros(len(same), bool)
    if (same == same[0]).all():
        return none
    values, vectors = cut_vectors(affinity, 1, seed=seed)
    if len(values) == 0:
        return none
    # The value that its first equal cell has, which is in the same part.
    _, first, inverse = np.unique(same, return_index=True, return_inverse=True)
    vector = vectors[first[inverse], 0]
    thresholds = np.linspace(vector.min(), vector.max(), N_THRESHOLDS + 2)[1:-1]
    sides = vector[:, None] > thresholds
    # Rounding may put a threshold on the largest value: that is no cut.
    sides = sides[:, sides.any(axis=0) & ~sides.all(axis=0)].astype(np.float32)  # (n, thresholds)
    if sides.shape[1] == 0:
        return none
    degree = affinity.sum(axis=1, dtype=np.float64)
    volume = degree @ sides
    links = volume - np.einsum("nt,nt->t", sides, affinity @ sides, dtype=np.float64)
    costs = links / volume + links / (degree.sum() - volume)
    best = int(np.argmin(costs))
    return float(costs[best]), sides[:, best] > 0


def _tree(leaves: np.ndarray, splits: list[tuple[int, int, int]]) -> np.ndarray:
    """Splits from the last to the first, as merges of the segments, whose parts are `leaves`."""
    node = {int(leaf): i for i, leaf in enumerate(leaves)}
    merges: list[tuple[int, int]] = []
    for part, a, b in reversed(splits):
        if a in node and b in node:
            merges.append((node[a], node[b]))
            node[part] = len(leaves) + len(merges) - 1
        elif a in node or b in node:  # no cell of the picture took over the other one's label
            node[part] = node[a] if a in node else node[b]
    return np.array(merges, dtype=np.int64).reshape(-1, 2)
