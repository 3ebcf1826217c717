"""Time every over-segmenter on 3,600 cells, beside one dense eigendecomposition of their graph.

    python -m scripts.bench.segmenters --page docs/results.md

Features of one rendered scene: of the shipped DINO, and of a ViT-B with random weights, which is as
wide as a real one. Seconds are medians of a warm process on one thread, "auto" with the choice of
the number of segments; MB is the most that a method holds at once (tracemalloc: what numpy
allocates), the features left out.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from scripts.check.architectures import write
from scripts.evaluate.segmenters import METHODS, settings
from scripts.shared.pages import replace_block, table
from zeroguide.models import choose_device, load_dino
from zeroguide.playroom import render
from zeroguide.recipe import load_recipe
from zeroguide.segment.features import extract_features_and_attention
from zeroguide.segment.segmenters import segment
from zeroguide.segment.segmenters.affinity import cosines, unit_rows
from zeroguide.segment.segmenters.eigen import dense

CELLS = 60  # a side
N_SEGMENTS = 10
ROUNDS = 3  # of MaskCut, as in its source


def features(random: bool) -> tuple[np.ndarray, np.ndarray]:
    """(60, 60, d) features and (60, 60) attention of a scene."""
    pixels = render(3, 0, size=480).pixels
    with tempfile.TemporaryDirectory(prefix="zeroguide-") as folder:
        recipe = load_recipe("base" if random else "tiny")
        checkpoint = recipe.models.dino
        if random:
            write(checkpoint, Path(folder), None)
            checkpoint = folder
        dino = load_dino(checkpoint, device=choose_device("cpu"), offline=True)
    stride = recipe.features.stride or dino.patch_size
    rows, attention = extract_features_and_attention(
        dino, pixels, shorter_side=CELLS * stride, stride=stride, facet=recipe.features.facet
    )
    return rows.numpy(), attention.numpy()


def measure(arguments: dict[str, Any], runs: int) -> tuple[float, float]:
    """Median seconds, and the most megabytes at once."""
    segment(**arguments)  # pays for imports
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        segment(**arguments)
        seconds.append(time.perf_counter() - started)
    tracemalloc.start()
    segment(**arguments)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return statistics.median(seconds), peak / 1e6


def main() -> None:
    """Print the table, and with --page put it into the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--page", type=Path)
    args = parser.parse_args()
    recipe = load_recipe("tiny")
    rows: dict[str, dict[str, str | float]] = {}
    for random in (False, True):
        own, attention = features(random)
        name = f"{own.shape[2]} wide"
        for method in (*METHODS, "saliency"):
            n = ROUNDS + 1 if method == "ncut, maskcut" else N_SEGMENTS
            base = {"features": own, "attention": attention}
            fixed, peak = measure(base | settings(recipe, method, n_segments=n), args.runs)
            auto, _ = measure(base | settings(recipe, method, n_segments="auto"), args.runs)
            row = rows.setdefault(method, {"method": method})
            row |= {
                f"s, {name}": f"{fixed:.2f}",
                f"s, auto, {name}": f"{auto:.2f}",
                f"MB, {name}": f"{peak:.0f}",
            }
            print(method, name, f"{fixed:.3f} s, auto {auto:.3f} s, {peak:.0f} MB", flush=True)
        affinity = np.maximum(cosines(unit_rows(own)), 0)
        root = np.sqrt(affinity.sum(axis=1, dtype=np.float64))
        started = time.perf_counter()
        with threadpool_limits(1):
            dense(affinity, root, 1)
        seconds = time.perf_counter() - started
        row = rows.setdefault("dense eigenvectors", {"method": "dense eigenvectors"})
        row[f"s, {name}"] = f"{seconds:.2f}"
        print("dense eigenvectors", name, f"{seconds:.3f} s", flush=True)
    if args.page:
        replace_block(args.page, "bench.segmenters", table(list(rows.values())))


if __name__ == "__main__":
    main()
