"""Every over-segmenter on the same scenes: how well its segments cover the true regions.

    python scripts/evaluate_segmenters_playroom.py --page docs/results.md

The pictures are rendered Playroom scenes; evaluate_segmenters.py has the same for photographs.

Per region, the IoU of the segment that fits it best; their mean is the best overlap, the mean share
of regions with an IoU of at least 0, 0.01, ... 1 is AR. F compares borders. Regions below 1 % of
the picture don't count. Seconds are of the method alone, without features and refinement, on one
thread. "Best fixed" is the number of segments, the same for all pictures, with the best overlap,
found on these very pictures: the number that a user can't know beforehand.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from evaluate_segmenters import METHODS as PHOTO_METHODS
from evaluate_segmenters import settings
from pages import replace_block, table
from training import TEST_SEED

from zeroguide.evaluate.metrics.boundary import boundary_counts
from zeroguide.evaluate.metrics.overlap import intersections
from zeroguide.evaluate.metrics.recall import best_ious, recall_curve
from zeroguide.models import choose_device, load_dino
from zeroguide.playroom import render
from zeroguide.recipe import Recipe, load_recipe
from zeroguide.segment.features import extract_features_and_attention
from zeroguide.segment.refine import refine
from zeroguide.segment.segmenters import segment

METHODS = {**PHOTO_METHODS, "saliency": {}}  # reads the attention of the class token
FIXED = (2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20)
LEAST_SHARE = 0.01


@dataclass(frozen=True)
class Item:
    """One picture with its truth, (H, W) with -1 for void, and its features."""

    pixels: np.ndarray
    truth: np.ndarray
    features: np.ndarray
    attention: np.ndarray


@dataclass
class Scores:
    """One value a picture."""

    segments: list[int]
    overlap: list[float]
    recall: list[float]
    boundary: list[float]
    seconds: list[float]


def score(items: Sequence[Item], recipe: Recipe, arguments: dict[str, Any], how: str) -> Scores:
    """Segment every picture and compare it with its truth; `how` it is brought to full size."""
    scores = Scores([], [], [], [], [])
    refining = recipe.refine.model_dump() | {"method": how}
    for item in items:
        started = time.perf_counter()
        over = segment(item.features, attention=item.attention, seed=recipe.seed, **arguments)
        scores.seconds.append(time.perf_counter() - started)
        label_map = refine(over.label_map, item.pixels, **refining)
        n_true, n_found = int(item.truth.max()) + 1, int(label_map.max()) + 1
        overlap = intersections(label_map, item.truth, n_found, n_true)
        counted = overlap.truth_areas >= LEAST_SHARE * item.truth.size
        best = best_ious(overlap)[counted]
        scores.segments.append(n_found)
        scores.overlap.append(float(best.mean()))
        scores.recall.append(float(recall_curve(best).mean()))
        if how != "none":
            scores.boundary.append(boundary_counts(label_map, [item.truth]).f)
    return scores


def interval(values: Sequence[float]) -> str:
    """The mean in percent with a 95 % bootstrap interval over pictures."""
    array = 100 * np.asarray(values)
    draws = np.random.default_rng(0).integers(len(array), size=(2000, len(array)))
    low, high = np.quantile(array[draws].mean(1), [0.025, 0.975])
    return f"{array.mean():.1f} [{low:.1f}, {high:.1f}]"


def compare(
    items: Sequence[Item], recipe: Recipe, *, methods: Sequence[str]
) -> Iterator[dict[str, str | float]]:
    """One row of the table for each method."""
    warm = items[0]
    for method in methods:
        # The first call pays for imports.
        segment(warm.features, attention=warm.attention, **settings(recipe, method, n_segments=2))
        auto = score(
            items, recipe, settings(recipe, method, n_segments="auto"), recipe.refine.method
        )
        row: dict[str, str | float] = {
            "method": method,
            "segments": f"{np.mean(auto.segments):.1f}",
            "best overlap, %": interval(auto.overlap),
            "AR, %": f"{100 * np.mean(auto.recall):.1f}",
            "border F, %": f"{100 * np.mean(auto.boundary):.1f}",
            "ms": f"{1000 * np.median(auto.seconds):.0f}",
        }

        def mean(**changes: Any) -> float:
            found = score(items, recipe, settings(recipe, method, **changes), "none")  # noqa: B023
            return 100 * float(np.mean(found.overlap))

        fixed = {k: mean(n_segments=k) for k in FIXED}
        best = max(fixed, key=lambda k: fixed[k])
        row["auto, unrefined"] = f"{mean(n_segments='auto'):.1f}"
        row["best fixed"] = f"{fixed[best]:.1f} (k = {best})"
        row["eigengap"] = f"{mean(n_segments='eigengap'):.1f}"
        row["silhouette"] = f"{mean(n_segments='silhouette'):.1f}"
        row["auto, specks removed"] = f"{mean(n_segments='auto', min_share=0.005):.1f}"
        print(" | ".join(map(str, row.values())), flush=True)
        yield row


def with_features(pictures: Sequence[tuple[np.ndarray, np.ndarray]], recipe: Recipe) -> list[Item]:
    """Pixels and truth of each picture, with the recipe's features."""
    dino = load_dino(recipe.models.dino, device=choose_device("cpu"), offline=True)
    items = []
    for pixels, truth in pictures:
        features, attention = extract_features_and_attention(
            dino, pixels, **recipe.features.model_dump()
        )
        items.append(Item(pixels, truth, features.cpu().numpy(), attention.cpu().numpy()))
    return items


def main() -> None:
    """Print the table, and with --page put it into the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=TEST_SEED, help="the world of the scenes")
    parser.add_argument("--size", type=int, default=224, help="pixels of a scene's side")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--method", action="append", choices=METHODS, help="default: all")
    parser.add_argument("--page", type=Path)
    args = parser.parse_args()

    recipe = load_recipe("tiny", args.set)
    scenes = [render(args.seed, i, size=args.size) for i in range(args.scenes)]
    items = with_features([(s.pixels, s.label_map.astype(np.int64)) for s in scenes], recipe)
    rows = table(list(compare(items, recipe, methods=args.method or list(METHODS))))
    if args.page:
        replace_block(args.page, "evaluate_segmenters_playroom", rows)


if __name__ == "__main__":
    main()
