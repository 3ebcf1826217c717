"""Does clustering a picture's attention features in two separate foreground from background?

    python -m scripts.evaluate.foreground --real ../shared/real --page docs/results.md

The claim of Cheung et al., "A Lightweight Clustering Framework for Unsupervised Semantic
Segmentation" (2023), tested on COCO panoptic's photographs that have things on 5 to 95 % of their
labelled pixels: foreground is what the truth counts as a thing. Two clusters by k-means of the
features at unit length, on the patch grid; the better of the two ways to say which is the
foreground counts (the claim is that they separate, not that one knows which is which). IoU of the
foreground and the share of cells on the right side, means over photographs with 95 % intervals.
The last row doesn't separate: all is foreground, or all background. A separation has to beat it.

`--dino` may be given several times: DINO and DINOv2, where both are at hand.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from scripts.shared.pages import replace_block, table
from scripts.shared.photographs import interval
from zeroguide.evaluate.datasets import Sample, load_dataset
from zeroguide.models import load_dino
from zeroguide.segment.features import extract_features
from zeroguide.segment.segmenters import segment

FACETS = ("token", "key", "query", "value")
SHORTER_SIDE = 336
LEAST_SHARE = 0.05  # of either side, of what is labelled


def things(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) bool each: what is labelled, and of that what belongs to things."""
    truth = sample.semantic()
    kinds = np.array([each.kind == "thing" for each in sample.dataset.classes])
    return truth >= 0, (truth >= 0) & kinds[truth]


def on_grid(mask: np.ndarray, h: int, w: int) -> np.ndarray:
    """(h, w) float: the share of each cell's pixels that lie in a mask (H, W)."""
    rows = np.arange(mask.shape[0]) * h // mask.shape[0]
    columns = np.arange(mask.shape[1]) * w // mask.shape[1]
    cell = rows[:, None] * w + columns
    hits = np.bincount(cell.ravel(), mask.ravel(), minlength=h * w)
    return (hits / np.bincount(cell.ravel(), minlength=h * w)).reshape(h, w)


def separation(side: np.ndarray, known: np.ndarray, front: np.ndarray) -> tuple[float, float]:
    """IoU of the foreground and the share that lies right, each of the better of two ways.

    side: (h, w) bool; known, front: (h, w), what is labelled and what is a thing, by area.
    """
    overlaps, rights = [], []
    for chosen in (side, ~side):
        both = (front * chosen).sum()
        union = front.sum() + (known * chosen).sum() - both
        right = both + ((known - front) * ~chosen).sum()
        overlaps.append(float(both / union))
        rights.append(float(right / known.sum()))
    return max(overlaps), max(rights)


def main() -> None:
    """Print the table, and with --page put it into the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--real", type=Path, default=Path("../shared/real"))
    parser.add_argument("--dino", action="append", help="default: out/real-weights/dinov2-small")
    parser.add_argument("--limit", type=int, help="photographs")
    parser.add_argument("--page", type=Path)
    args = parser.parse_args()
    found: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    samples = list(load_dataset("coco-panoptic", args.real / "coco_panoptic"))[: args.limit]
    paths = args.dino or ["out/real-weights/dinov2-small"]
    for path in paths:
        dino = load_dino(path, device="cpu", offline=True)
        for sample in samples:
            known, front = things(sample)
            if not LEAST_SHARE <= front.sum() / max(1, known.sum()) <= 1 - LEAST_SHARE:
                continue
            pixels = sample.open_image().pixels
            for facet in FACETS:
                features = extract_features(dino, pixels, shorter_side=SHORTER_SIDE, facet=facet)
                h, w = features.shape[:2]
                truth = on_grid(known, h, w), on_grid(front, h, w)
                cut = segment(features, method="multilevel", n_segments=2, seed=0).label_map
                found[Path(path).name, facet].append(separation(cut == 1, *truth))
            if path == paths[0]:
                nothing = separation(np.ones((h, w), bool), *truth)
                found["", "all on one side"].append(nothing)
    rows: list[dict[str, str | float]] = [
        {
            "network": network,
            "features": facet,
            "foreground IoU, %": interval([iou for iou, _ in own], [1.0] * len(own)),
            "on the right side, %": interval([right for _, right in own], [1.0] * len(own)),
        }
        for (network, facet), own in found.items()
    ]
    print(f"{len(found['', 'all on one side'])} photographs")
    print(table(rows))
    if args.page:
        replace_block(args.page, "evaluate.foreground", table(rows))


if __name__ == "__main__":
    main()
