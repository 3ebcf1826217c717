"""Fit a recipe's confidence on Playroom scenes, and see on others how true it is.

    python -m scripts.evaluate.confidence --preset tiny

Labels scenes of the validation world; a segment is right if its label is the name of most of its
pixels. Prints the midpoint and slope of the logistic curve that fits best, to be written into the
recipe, and, on scenes of the test world, how often labels of each confidence are right under the
recipe as it is: a table and the expected calibration error (Guo et al., 2017).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from scripts.shared.confidence import bin_of, calibration_error, log_odds, logistic_fit
from scripts.shared.pages import replace_block, table
from scripts.shared.playroom import TEST_SEED, VALIDATION_SEED
from zeroguide.image import from_array
from zeroguide.labeler import Labeler
from zeroguide.playroom import render
from zeroguide.recipe import load_recipe

BINS = 5


def label(labeler: Labeler, seed: int, scenes: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Every segment's confidence, and whether its label is right: (n,) float, (n,) bool."""
    confidence, right = [], []
    for index in range(scenes):
        scene = render(seed, index, size=size)
        labeling = labeler.label(from_array(scene.pixels))
        for segment in labeling.segments:
            inside = scene.label_map[labeling.mask(segment.id)]
            majority = scene.names[int(np.bincount(inside).argmax())]
            confidence.append(segment.confidence)
            right.append(segment.label == majority)
    return np.array(confidence), np.array(right)


def main() -> None:
    """Fit, then judge the recipe."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--page", type=Path, help="docs/results.md: write the table there")
    args = parser.parse_args()
    labeler = Labeler(load_recipe(args.preset, args.set), offline=True)
    knobs = labeler.recipe.confidence

    shares, right = label(labeler, VALIDATION_SEED, args.scenes, args.size)
    z_scores = log_odds(shares, 1e-9) / knobs.slope + knobs.midpoint
    slope, offset = logistic_fit(z_scores, right)
    print(f"{len(right)} segments of seed {VALIDATION_SEED}, {100 * right.mean():.1f} % right")
    print(f"best fit: midpoint = {-offset / slope:.2f}, slope = {slope:.2f}")

    shares, right = label(labeler, TEST_SEED, args.scenes, args.size)
    print(f"\nseed {TEST_SEED}, midpoint = {knobs.midpoint}, slope = {knobs.slope}")
    rows: list[dict[str, str | float]] = []
    for k in range(BINS):
        inside = bin_of(shares, BINS) == k
        if inside.any():
            bounds = f"{k / BINS:.1f} to {(k + 1) / BINS:.1f}"
            share = f"{100 * right[inside].mean():.0f} %"
            rows.append({"confidence": bounds, "segments": int(inside.sum()), "right": share})
    error = calibration_error(shares, right, BINS)
    text = f"{table(rows)}\nExpected calibration error: {error:.1f} points.\n"
    print(text)
    if args.page:
        replace_block(args.page, "evaluate.confidence", text)


if __name__ == "__main__":
    main()
