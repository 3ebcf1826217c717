"""Time the naming of overlapping masks that come from elsewhere, models loaded.

    python -m scripts.bench.masks [--masks 100] [--preset photo]

Ellipses of all sizes on a photograph of 640 x 480 pixels, so that nearly all overlap. Prints the
median of several runs, in seconds of the wall and of the processor, and the share of the cutting
into atoms.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image

from zeroguide.clip.atoms import regions_of
from zeroguide.labeler import Labeler
from zeroguide.recipe import load_recipe

PHOTO = Path(__file__).parents[2] / "examples" / "bus.jpg"
WIDTH, HEIGHT = 640, 480


def ellipses(n: int) -> np.ndarray:
    """(n, HEIGHT, WIDTH) bool."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    found = []
    for _ in range(n):
        middle_y, middle_x = random.integers(HEIGHT), random.integers(WIDTH)
        half_height, half_width = random.integers(10, 200, 2)
        away = ((y - middle_y) / half_height) ** 2 + ((x - middle_x) / half_width) ** 2
        found.append(away <= 1)
    return np.stack(found)


def seconds(job: Callable[[], object], runs: int) -> tuple[float, float]:
    """Median of a job on the wall's clock and the processor's, after a run that warms up."""
    job()
    walls, processor = [], []
    for _ in range(runs):
        started, used = time.perf_counter(), time.process_time()
        job()
        walls.append(time.perf_counter() - started)
        processor.append(time.process_time() - used)
    return statistics.median(walls), statistics.median(processor)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--masks", type=int, default=100)
    parser.add_argument("--preset", default="photo")
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    pixels = np.array(PIL.Image.open(PHOTO).convert("RGB").resize((WIDTH, HEIGHT)))
    masks = ellipses(args.masks)
    labeler = Labeler(load_recipe(args.preset), device="cpu", offline=True)
    wall, used = seconds(lambda: labeler.name_masks(pixels, masks), args.runs)
    atoms, _ = seconds(lambda: regions_of(pixels, masks), args.runs)
    n_atoms = int(regions_of(pixels, masks)[0].image.label_map.max()) + 1
    print(f"{args.masks} masks, {n_atoms} atoms: {wall:.2f} s, {used:.2f} s of processor time")
    print(f"of it {atoms:.2f} s for the atoms")


if __name__ == "__main__":
    main()
