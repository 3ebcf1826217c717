"""Every over-segmenter on photographs with truth, beside classical peers and the tree's ceiling.

    python -m scripts.evaluate.segmenters --real ../shared/real --page docs/results.md

Features are those of a preset, `photo` unless another is named, and so is all else of its recipe
but the method: the number of segments is chosen from each photograph (`auto`, granularity 0.5), and
small ones stay. The preset's own cut stands below them, and so does what becomes of it when like
neighbours are joined by name: what is labelled. The columns, in per cent:

- per-image mIoU: segments are matched to classes photograph by photograph; what is left is wrong;
- best overlap: the IoU of the segment that fits a region best, regions of any size counted alike;
- border F: against every annotator, where there are several;
- PQ of masks: panoptic quality with one class.

Felzenszwalb and Huttenlocher's graph segments (IJCV 2004) and SLIC superpixels whose neighbours of
like colour are joined (Achanta et al., PAMI 2012) know nothing but colours: scikit-image's, by its
own settings unless PEERS says otherwise. The ceiling is what the best node of Ward's tree covers of
each region, of whole cells: no choice of nodes does better, and none may take two that overlap.

Settings are to be chosen on `--half even`; the other half is what is reported.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scripts.shared.pages import replace_block, table
from scripts.shared.photographs import SETS as NAMED_SETS
from scripts.shared.worst_page import Card, write_page
from zeroguide.clip.frame import make_frame, soft_masks
from zeroguide.evaluate.datasets import Sample, load_dataset
from zeroguide.evaluate.metrics.bootstrap import of_ratio
from zeroguide.evaluate.predictions.prediction import Prediction
from zeroguide.evaluate.scoring.image import Classes, ratio, score
from zeroguide.evaluate.scoring.masks import class_agnostic, per_image
from zeroguide.evaluate.scoring.results import ImageRow, image_sums
from zeroguide.labeler import Labeler
from zeroguide.recipe import Recipe, load_recipe
from zeroguide.segment.refine import refine
from zeroguide.segment.segmenters import arguments, segment
from zeroguide.segment.segmenters.common import contiguous, prepare
from zeroguide.segment.segmenters.ward import ward_of_grid

METHODS: dict[str, dict[str, str]] = {
    "kmeans": {},
    "agglomerative": {},
    "spectral": {},
    "ncut, bipartition": {"variant": "bipartition"},
    "ncut, maskcut": {"variant": "maskcut"},
    "ncut, recursive": {"variant": "recursive"},
    "kway": {},
    "communities": {},
    "prima": {},
    "multilevel": {},
}
SETS = {**NAMED_SETS, "bsds500": "bsds500"}
COLUMNS = {
    "image_miou/left over: missed": "per-image mIoU",
    "best_overlap": "best overlap",
    "boundary_f": "border F",
    "mask_pq": "PQ of masks",
}
OWN = "the preset's own"
LABELLED = "the preset's own, joined by name"
CEILING = "best nodes of Ward's tree"


def settings(recipe: Recipe, method: str, **changes: Any) -> dict[str, Any]:
    """Keyword arguments of `segment` under a recipe for a method, or for its own."""
    if method == OWN:
        return arguments(recipe.segmenter)
    plain = {"method": method.partition(",")[0], "granularity": 0.5, "min_share": 0.0}
    changed = {**plain, **METHODS.get(method, {}), **changes}
    return arguments(recipe.segmenter.model_copy(update=changed))


def felzenszwalb_segments(pixels: np.ndarray) -> np.ndarray:
    """(H, W) labels; the scale gives some ten segments to a photograph of 640 x 480."""
    from skimage.segmentation import felzenszwalb

    labels: np.ndarray = felzenszwalb(pixels, scale=1000, sigma=0.8, min_size=2000)
    return labels


def joined_superpixels(pixels: np.ndarray) -> np.ndarray:
    """(H, W) labels of SLIC's superpixels, neighbours joined while their mean colours are near."""
    from skimage.graph import merge_hierarchical, rag_mean_color
    from skimage.segmentation import slic

    superpixels = slic(pixels, n_segments=250, compactness=10, start_label=0)
    graph = rag_mean_color(pixels, superpixels)

    def weight(graph: Any, _: int, kept: int, other: int) -> dict[str, float]:
        gap = graph.nodes[kept]["mean color"] - graph.nodes[other]["mean color"]
        return {"weight": float(np.linalg.norm(gap))}

    def merge(graph: Any, gone: int, kept: int) -> None:
        node, old = graph.nodes[kept], graph.nodes[gone]
        node["total color"] += old["total color"]
        node["pixel count"] += old["pixel count"]
        node["mean color"] = node["total color"] / node["pixel count"]

    labels: np.ndarray = merge_hierarchical(
        superpixels,
        graph,
        thresh=35,
        rag_copy=False,
        in_place_merge=True,
        merge_func=merge,
        weight_func=weight,
    )
    return labels


PEERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "Felzenszwalb": felzenszwalb_segments,
    "SLIC, joined by colour": joined_superpixels,
}


def best_nodes(features: np.ndarray, sample: Sample, recipe: Recipe) -> np.ndarray:
    """(n,) IoU of each true region that counts with the node of Ward's tree that fits it best."""
    h, w = features.shape[:2]
    merges, _ = ward_of_grid(prepare(features, normalize=recipe.segmenter.normalize), h, w)
    regions = sample.regions()
    n = len(regions.classes)
    label_map = np.where(regions.label_map < 0, n, regions.label_map).astype(np.int32)
    # One "patch" a cell: shares of cells are all that is asked for.
    frame = make_frame(*label_map.shape, fit="features", side=min(h, w), patch=1)
    shares = soft_masks(label_map, frame, n + 1).numpy()[:n].T  # (cells, n)
    if len(shares) != h * w:
        raise ValueError(f"{len(shares)} cells of truth but {h * w} of features")
    inside = np.zeros((2 * h * w - 1, n))
    sizes = np.ones(len(inside))
    inside[: h * w] = shares
    for node, (a, b) in enumerate(merges.tolist(), start=h * w):
        inside[node], sizes[node] = inside[a] + inside[b], sizes[a] + sizes[b]
    union = sizes[:, None] + shares.sum(0) - inside
    areas = np.bincount(label_map.ravel(), minlength=n + 1)[:n]
    best: np.ndarray = (inside / union).max(0)[(areas > 0) & ~regions.crowd]
    return best


def score_photograph(
    sample: Sample, classes: Classes, labeler: Labeler, methods: Sequence[str]
) -> dict[str, ImageRow]:
    """What is measured of one photograph: a row for each method, each peer and the ceiling."""
    recipe = labeler.recipe
    pixels = sample.open_image().pixels
    (encoded,) = labeler.embedder.encode([pixels])
    features = labeler.embedder.features(encoded, recipe.features.facet).cpu().numpy()
    protocols = [per_image, class_agnostic] if classes.n else [class_agnostic]
    rows = {}
    for name in (*methods, OWN, LABELLED, *PEERS):
        started = time.perf_counter()
        if name == LABELLED:
            label_map = contiguous(labeler.label(pixels).label_map)[0]
            seconds = time.perf_counter() - started
        elif name in PEERS:
            label_map = contiguous(PEERS[name](pixels))[0]
            seconds = time.perf_counter() - started
        else:
            arguments = settings(recipe, name, n_segments="auto")
            over = segment(features, seed=recipe.seed, **arguments)
            seconds = time.perf_counter() - started
            label_map = refine(
                over.label_map,
                pixels,
                features=torch.from_numpy(features),
                **recipe.refine.model_dump(),
            )
        labels = [""] * (int(label_map.max()) + 1)
        prediction = Prediction(label_map.astype(np.int32), labels, seconds=seconds)
        rows[name] = score(sample, prediction, classes, protocols)[0].image
    best = best_nodes(features, sample, recipe)
    sums = {"best_overlap": ratio(float(best.sum()), len(best))}
    return rows | {CEILING: ImageRow(sample.name, sums=sums)}


def draw_worst(
    samples: Sequence[Sample],
    photographs: Sequence[dict[str, ImageRow]],
    labeler: Labeler,
    folder: Path,
) -> None:
    """A page of the 40 photographs whose true regions fit worst what is labelled."""
    sums = [image_sums([rows[LABELLED]], "best_overlap") for rows in photographs]
    overlaps = np.array([of_ratio(*own).value for own in sums])  # NaN where no region counts
    cards = (
        Card(
            f"{samples[i].name}: best overlap {overlaps[i]:.0f} %",
            [],
            samples[i],
            labeler.label(samples[i].open_image().pixels),
            samples[i].regions(),
        )
        for i in np.argsort(overlaps)[:40]
    )
    write_page(folder, "What is labelled fits true regions worst", cards)


def rows_of(photographs: Sequence[dict[str, ImageRow]]) -> Iterator[dict[str, str | float]]:
    """The table's rows; intervals are of 95 %, bootstrapped over photographs."""
    for name in photographs[0]:
        own = [rows[name] for rows in photographs]
        row: dict[str, str | float] = {"method": name, "segments": "", "ms": ""}
        if name != CEILING:
            row["segments"] = f"{np.mean([each.n_segments for each in own]):.1f}"
            row["ms"] = f"{1000 * np.median([each.seconds for each in own]):.0f}"
        for key, title in COLUMNS.items():
            row[f"{title}, %"] = ""
            if any(key in each.sums or key in each.values for each in own):
                found = of_ratio(*image_sums(own, key))
                row[f"{title}, %"] = f"{found.value:.1f} [{found.low:.1f}, {found.high:.1f}]"
        yield row


def main() -> None:
    """Print a table for each set, and with --page put them into the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--real", type=Path, default=Path("../shared/real"))
    parser.add_argument("--preset", default="photo", help="one whose CLIP is its DINO")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--method", action="append", choices=METHODS, help="default: all")
    parser.add_argument("--half", choices=("even", "odd"), default="odd")
    parser.add_argument("--limit", type=int, help="photographs of each set")
    parser.add_argument("--page", type=Path)
    parser.add_argument("--worst", type=Path, help="folder for a page of each set's 40 worst cuts")
    args = parser.parse_args()
    labeler = Labeler(load_recipe(args.preset, args.set), offline=True)
    if labeler.segmenter.embedder is None:
        parser.error(f"preset {args.preset} has a DINO beside its CLIP; choose photo")
    for title in args.sets:
        dataset = load_dataset(SETS[title], args.real / title)
        samples = list(dataset)[args.half == "odd" :: 2][: args.limit]
        classes = Classes(dataset)
        methods = args.method or list(METHODS)
        photographs = [score_photograph(s, classes, labeler, methods) for s in samples]
        rows = table(list(rows_of(photographs)))
        print(f"{title}, {args.half}, {len(samples)} photographs\n{rows}", flush=True)
        if args.page:
            replace_block(args.page, f"evaluate.segmenters, {title}", rows)
        if args.worst:
            draw_worst(samples, photographs, labeler, args.worst / title)


if __name__ == "__main__":
    main()
