"""Fit a recipe's confidence on Playroom scenes, and see on others how true it is.

    python scripts/calibrate_confidence.py --preset tiny

Labels scenes of the validation world; a segment is right if its label is the name of most of its
pixels. Prints the midpoint and slope of the logistic curve that fits best, to be written into the
recipe, and, on scenes of the test world, how often labels of each confidence are right under the
recipe as it is: a table and the expected calibration error (Guo et al., 2017).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from pages import replace_block, table
from sklearn.linear_model import LogisticRegression
from training import TEST_SEED, VALIDATION_SEED

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
    shares = shares.clip(1e-9, 1 - 1e-9)
    z_scores = np.log(shares / (1 - shares)) / knobs.slope + knobs.midpoint
    fit = LogisticRegression(C=1e6).fit(z_scores[:, None], right)
    slope, offset = float(fit.coef_[0, 0]), float(fit.intercept_[0])
    print(f"{len(right)} segments of seed {VALIDATION_SEED}, {100 * right.mean():.1f} % right")
    print(f"best fit: midpoint = {-offset / slope:.2f}, slope = {slope:.2f}")

    shares, right = label(labeler, TEST_SEED, args.scenes, args.size)
    print(f"\nseed {TEST_SEED}, midpoint = {knobs.midpoint}, slope = {knobs.slope}")
    rows: list[dict[str, str | float]] = []
    error = 0.0
    for k in range(BINS):
        inside = np.minimum((shares * BINS).astype(int), BINS - 1) == k
        if inside.any():
            error += inside.mean() * abs(shares[inside].mean() - right[inside].mean())
            bounds = f"{k / BINS:.1f} to {(k + 1) / BINS:.1f}"
            share = f"{100 * right[inside].mean():.0f} %"
            rows.append({"confidence": bounds, "segments": int(inside.sum()), "right": share})
    text = f"{table(rows)}\nExpected calibration error: {100 * error:.1f} points.\n"
    print(text)
    if args.page:
        replace_block(args.page, "calibrate_confidence", text)


if __name__ == "__main__":
    main()
