"""Label from several threads at once, and compare with one thread: not a bit may differ.

    python -m scripts.check.threads [--photos FOLDER] [--threads 8] [--calls 50] [--set KEY=VALUE]

Every thread labels mixed pictures, Playroom scenes and the photographs of a folder, on one
`Labeler` of the preset `tiny`, in an order of its own. Exits with 1 if a result differs from the
one that a single thread gave.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from zeroguide.image import Image, from_array, open_image
from zeroguide.labeler import Labeler
from zeroguide.playroom import render
from zeroguide.recipe import load_recipe
from zeroguide.result import Labeling

SUFFIXES = (".jpg", ".jpeg", ".png")
SIDE = 320  # photographs are shrunk to it: this is about threads, not about pixels


def pictures(photos: Path | None, number: int) -> list[Image]:
    """Scenes of several sizes, and photographs."""
    scenes = [
        from_array(render(7, i, size=(96, 128, 224)[i % 3]).pixels, f"scene {i}")
        for i in range(number)
    ]
    if photos is None:
        return scenes
    files = sorted(path for path in photos.rglob("*") if path.suffix.lower() in SUFFIXES)
    return scenes + [small(open_image(path)) for path in files[:number]]


def small(image: Image) -> Image:
    """The image, its longer side at most `SIDE`."""
    step = -(-max(image.pixels.shape[:2]) // SIDE)
    return from_array(np.ascontiguousarray(image.pixels[::step, ::step]), image.file_name)


def differences(a: Labeling, b: Labeling) -> list[str]:
    """What isn't equal, bit for bit."""
    found = []
    if not np.array_equal(a.label_map, b.label_map):
        found.append("label map")
    if a.segments != b.segments:
        found.append("labels, scores or confidences")
    if a.embeddings is None or b.embeddings is None or a.embeddings.shape != b.embeddings.shape:
        found.append("number of embeddings")
    elif a.embeddings.tobytes() != b.embeddings.tobytes():
        found.append("embeddings")
    return found


def main() -> None:
    """Run and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--calls", type=int, default=50, help="of each thread")
    parser.add_argument("--pictures", type=int, default=8, help="of each kind")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="recipe")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()

    images = pictures(args.photos, args.pictures)
    labeler = Labeler(load_recipe("tiny", args.set), device=args.device, offline=True)
    started = time.perf_counter()
    alone = [labeler.label(image) for image in images]
    one = (time.perf_counter() - started) / len(images)

    begin = threading.Barrier(args.threads)

    def work(number: int) -> list[str]:
        order = random.Random(number).choices(range(len(images)), k=args.calls)
        begin.wait()
        return [
            f"thread {number}: {images[i].file_name}: {what}"
            for i in order
            for what in differences(labeler.label(images[i]), alone[i])
        ]

    started = time.perf_counter()
    with ThreadPoolExecutor(args.threads) as pool:
        wrong = list(itertools.chain.from_iterable(pool.map(work, range(args.threads))))
    together = (time.perf_counter() - started) / (args.threads * args.calls)
    for line in wrong[:20]:
        print(line)
    print(
        f"{args.threads} threads x {args.calls} calls, {len(images)} pictures: {len(wrong)} "
        f"differences; {one * 1000:.0f} ms per picture alone, {together * 1000:.0f} ms together"
    )
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
