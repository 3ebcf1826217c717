"""Step 1 of the photo model: DINOv2's features of the training photographs, averaged by region.

    python -m scripts.train.photo.features --captioned ../shared/captioned --out out/photo

The trunk stays as it is, so each photograph goes through it once. Its tokens are joined to regions
as segmenters do it, by Ward's method among neighbours; kept are the last 32 regions and what they
become when they are joined further, 63 nodes: any cut of the picture is a choice of these. Images
are done in files of 256, and a run that was interrupted goes on with the first that is missing.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.cluster import ward_tree
from sklearn.feature_extraction.image import grid_to_graph

from scripts.train.photo.networks import DINOV2, trunk
from zeroguide.clip.frame import Frame, make_frame, preprocess
from zeroguide.models import Dino

BATCH = 8
LEAVES = 32
DARK = 24.0  # mean of a row of a frame, 0..255
MOST_CELLS = 1024
SMALLEST = 112  # side of a picture in pixels: 64 patches
IMAGES_PER_FILE = 256


def main() -> None:
    """Write what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--captioned", type=Path, required=True, help="folder of captioned sets")
    parser.add_argument("--dino", default=DINOV2)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()

    jobs = []
    for folder in sorted(args.captioned.iterdir()):
        files = sorted((folder / "images").iterdir())
        for first in range(0, len(files), IMAGES_PER_FILE):
            out = args.out / "nodes" / f"{folder.name}-{first // IMAGES_PER_FILE:03d}.npz"
            if not out.exists():
                jobs.append((files[first : first + IMAGES_PER_FILE], out))
    (args.out / "nodes").mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(args.processes, initializer=_load, initargs=(args,)) as pool:
        futures = [pool.submit(_write, *job) for job in jobs]
        for done, future in enumerate(as_completed(futures), 1):
            print(f"{future.result()}  {done} of {len(jobs)}", flush=True)


_dino: Dino | None = None


def _load(args: argparse.Namespace) -> None:
    global _dino
    torch.set_num_threads(1)
    _dino = trunk(args.dino, args.device)


def _write(files: Sequence[Path], out: Path) -> str:
    """Nodes of some images in one file; the arrays are those of `nodes`, images first."""
    assert _dino is not None
    found = []
    for first in range(0, len(files), BATCH):
        images = [
            without_frame(np.array(Image.open(file).convert("RGB")))
            for file in files[first : first + BATCH]
        ]
        for features, class_token in picture_features(_dino, images):
            found.append(nodes(features) | {"class_token": class_token.astype(np.float16)})
    arrays = {key: np.stack([one[key] for one in found]) for key in found[0]}
    partial = out.with_suffix(".partial.npz")
    arrays["files"] = np.array([file.stem for file in files])
    np.savez(partial, allow_pickle=False, **arrays)
    partial.rename(out)
    return out.name


def without_frame(image: np.ndarray) -> np.ndarray:
    """The picture (h, w, 3) uint8 without the black frame that scanned slides have."""
    for _ in range(2):  # rows, then columns
        dark = image.mean((1, 2)) < DARK
        widest = max(1, len(dark) // 16)
        # The first that isn't dark; none is: a night, not a frame.
        first = int(np.argmin(dark[: widest + 1]))
        last = int(np.argmin(dark[::-1][: widest + 1]))
        image = image[first : len(image) - last].transpose(1, 0, 2)
    return image


def picture_features(
    dino: Dino, images: Sequence[np.ndarray]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The trunk's tokens after its last norm, at each image's own size.

    Of each image (h, w, d) float32 and the class token (d,).
    """
    device = next(dino.network.parameters()).device
    by_frame: dict[Frame, list[int]] = {}
    for i, image in enumerate(images):
        side = max(SMALLEST, round((image.shape[0] * image.shape[1]) ** 0.5))
        frame = make_frame(*image.shape[:2], fit="native", side=side, patch=dino.patch_size)
        by_frame.setdefault(frame, []).append(i)
    found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for frame, alike in by_frame.items():
        inputs = [preprocess(images[i], frame, dino.mean, dino.std) for i in alike]
        with torch.inference_mode():
            states = dino.network(torch.stack(inputs).to(device)).last_hidden_state.cpu().numpy()
        for i, tokens in zip(alike, states, strict=True):
            patches = tokens[dino.n_prefix :].reshape(frame.rows, frame.columns, -1)
            found[i] = patches, tokens[0]
    return [found[i] for i in range(len(images))]


def nodes(features: np.ndarray) -> dict[str, np.ndarray]:
    """A picture's regions, coarse to fine, from its features (h, w, d).

    Returns means (63, d) float16, leaves first, then each join, the whole picture last; sizes (63,)
    float32, shares of the picture; children (31, 2) int16, what each join joined; grid (2,) int16,
    h and w; and cells (MOST_CELLS,) int8, the leaf of each patch, row by row, then -1.
    """
    h, w, d = features.shape
    flat = features.reshape(-1, d)
    children, _, _, _ = ward_tree(flat, connectivity=grid_to_graph(h, w))
    n = len(flat)
    # The joins above the last LEAVES regions; those below tell which cells a region has.
    kept = np.arange(2 * n - LEAVES, 2 * n - 1)
    tops = sorted({int(c) for c in children[kept - n].ravel()} - set(kept.tolist()))
    owner = np.full(2 * n - 1, -1)
    for i, top in enumerate(tops):
        owner[top] = i
    for node in range(2 * n - LEAVES - 1, n - 1, -1):
        if owner[node] >= 0:
            owner[children[node - n]] = owner[node]
    cells = owner[:n]
    sums = np.zeros((2 * LEAVES - 1, d))
    np.add.at(sums, cells, flat)
    counts = np.zeros(2 * LEAVES - 1)
    np.add.at(counts, cells, 1)
    place = {top: i for i, top in enumerate(tops)} | {
        int(node): LEAVES + i for i, node in enumerate(kept)
    }
    joins = np.array([[place[int(c)] for c in children[node - n]] for node in kept])
    for i, (a, b) in enumerate(joins):
        sums[LEAVES + i] = sums[a] + sums[b]
        counts[LEAVES + i] = counts[a] + counts[b]
    padded = np.full(MOST_CELLS, -1, np.int8)
    padded[:n] = cells
    return {
        "grid": np.array([h, w], np.int16),
        "cells": padded,
        "means": (sums / counts[:, None]).astype(np.float16),
        "sizes": (counts / n).astype(np.float32),
        "children": joins.astype(np.int16),
    }


if __name__ == "__main__":
    main()
