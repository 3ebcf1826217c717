"""The classes that `discover` and `fit` find in a folder, against the true ones.

    python -m scripts.evaluate.discover --page docs/results.md

200 rendered Playroom scenes with 104 true classes, found by the shipped models without knowing any
of them. Clusters are matched one to one to the true classes on all pixels (Hungarian, on counts);
accuracy is the share of all pixels that are then right, mIoU the mean over the true classes. A name
is right if it is exactly that of the class its cluster was matched to. `prototypes` is plain
spherical k-means on tokens. The linear probe is the supervised yardstick beside the clusters: a
linear classifier of the same tokens, taught the true classes on as many scenes of the training
world; nothing is matched, its classes are the true ones.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from scripts.shared.pages import replace_block, table
from scripts.shared.playroom import TEST_SEED, TRAIN_SEED
from zeroguide.evaluate.metrics.overlap import Overlap, intersections
from zeroguide.evaluate.metrics.semantic import class_counts
from zeroguide.evaluate.metrics.unsupervised import fit_linear_probe, hungarian_counts
from zeroguide.evaluate.taxonomy import Survey
from zeroguide.image import open_image
from zeroguide.labeler import Labeler
from zeroguide.models import load_dino
from zeroguide.playroom import NAMES, Scene, render
from zeroguide.recipe import Recipe, load_recipe
from zeroguide.segment.fitted import METHODS, FeatureStore, fit
from zeroguide.segment.fitted.store import add_image
from zeroguide.segment.refine import refine

Row = dict[str, str | float]
PROBE_TOKENS = 20_000  # that the linear probe is taught on, drawn from all scenes


def true_classes(scene: Scene) -> np.ndarray:
    """(H, W) indices into NAMES."""
    return np.array([NAMES.index(name) for name in scene.names])[scene.label_map]


def scored(
    tag: str,
    scenes: Sequence[Scene],
    class_map: Callable[[int], np.ndarray],
    n_found: int,
    names: Sequence[str] | None,
    seconds: float,
    *,
    taught: bool = False,
) -> Row:
    """A row of the table; `class_map` gives a scene's classes (H, W), from 0.

    taught: whether they are the true ones already, so that there is nothing to match.
    """
    total: Overlap | None = None
    for i, scene in enumerate(scenes):
        own = intersections(class_map(i).astype(np.int32), true_classes(scene), n_found, len(NAMES))
        total = own if total is None else total + own
    assert total is not None
    matched = np.arange(n_found) if taught else hungarian_counts(total)
    if not taught:
        untouched = total.counts[np.arange(n_found), np.maximum(matched, 0)] == 0
        matched[untouched] = -1  # paired only to fill the matching
    counts = class_counts(total, matched)
    row: Row = {
        "how": tag,
        "classes": str(n_found),
        "matched": "" if taught else str(int((matched >= 0).sum())),
        "accuracy, %": f"{100 * counts.accuracy:.1f}",
        "mIoU, %": f"{100 * counts.miou:.1f}",
        "names right, %": "",
        "s a picture": f"{seconds / len(scenes):.2f}",
    }
    if names is not None:
        right = [names[i] == NAMES[c] for i, c in enumerate(matched) if c >= 0]
        row["names right, %"] = f"{100 * np.mean(right):.1f}"
    print(" | ".join(map(str, row.values())), flush=True)
    return row


def discovered(scenes: Sequence[Scene], paths: Sequence[Path], recipe: Recipe) -> list[Row]:
    """Rows of `discover`, with the true number of classes and with its own."""
    started = time.perf_counter()
    rows = []
    with Survey(Labeler(recipe, device="cpu", offline=True)) as survey:
        for path in paths:
            survey.add(path, open_image(path))
        looked = time.perf_counter() - started
        for tag, n in (("discover, auto", None), (f"discover, {len(NAMES)}", len(NAMES))):
            started = time.perf_counter()
            taxonomy, found = survey.find_classes(n)
            seconds = looked + time.perf_counter() - started
            names = [c.label for c in taxonomy.classes]

            def class_map(i: int) -> np.ndarray:
                return survey.class_map(i, found) - 1  # noqa: B023

            rows.append(scored(tag, scenes, class_map, len(names), names, seconds))
    return rows


def fitted(scenes: Sequence[Scene], paths: Sequence[Path], recipe: Recipe) -> list[Row]:
    """Rows of `fit`, with the true number of classes."""
    rows = []
    features = recipe.features.model_dump()
    refining = recipe.refine.model_dump()
    with FeatureStore(recipe.models.dino, features) as store:
        started = time.perf_counter()
        dino = load_dino(recipe.models.dino, device="cpu", offline=True)
        for path in paths:
            add_image(store, path, open_image(path), dino, recipe)
        looked = time.perf_counter() - started
        for method in METHODS:
            started = time.perf_counter()
            model = fit(store, method=method, n_classes=len(NAMES), seed=recipe.seed)
            seconds = looked + time.perf_counter() - started

            def class_map(i: int) -> np.ndarray:
                cells = model.classify(store.features(i))  # noqa: B023
                present, own = np.unique(cells, return_inverse=True)
                fine = refine(own.reshape(cells.shape), scenes[i].pixels, **refining)
                return present[fine]

            tag = f"fit, {method}"
            rows.append(scored(tag, scenes, class_map, model.n_classes, None, seconds))
    return rows


def probed(scenes: Sequence[Scene], folder: Path, recipe: Recipe) -> list[Row]:
    """The row of a linear probe of DINO's tokens."""
    started = time.perf_counter()
    refining = recipe.refine.model_dump()
    taught_on = [render(TRAIN_SEED, i, size=scenes[0].pixels.shape[0]) for i in range(len(scenes))]
    everything = [*taught_on, *scenes]
    with FeatureStore(recipe.models.dino, recipe.features.model_dump()) as store:
        dino = load_dino(recipe.models.dino, device="cpu", offline=True)
        for path in save(everything, folder):
            add_image(store, path, open_image(path), dino, recipe)
        grids = [store.features(i) for i in range(len(taught_on))]  # (h, w, d) each
        codes = np.concatenate([grid.reshape(-1, grid.shape[-1]) for grid in grids])
        true = [at_cells(true_classes(s), g.shape) for s, g in zip(taught_on, grids, strict=True)]
        classes = np.concatenate([each.ravel() for each in true])
        rng = np.random.default_rng(recipe.seed)
        drawn = rng.choice(len(codes), min(PROBE_TOKENS, len(codes)), replace=False)
        probe = fit_linear_probe(codes[drawn], classes[drawn], seed=recipe.seed)
        seconds = time.perf_counter() - started

        def class_map(i: int) -> np.ndarray:
            grid = store.features(len(taught_on) + i)
            cells = probe.predict(grid.reshape(-1, grid.shape[-1])).reshape(grid.shape[:2])
            present, own = np.unique(cells, return_inverse=True)
            fine = refine(own.reshape(cells.shape), scenes[i].pixels, **refining)
            return present[fine]

        tag = "linear probe, tokens"
        return [scored(tag, scenes, class_map, len(NAMES), None, seconds, taught=True)]


def at_cells(classes: np.ndarray, grid: Sequence[int]) -> np.ndarray:
    """(h, w) classes at the centres of a grid's cells, from those of the (H, W) pixels."""
    rows, columns = (
        ((np.arange(n) + 0.5) * size / n).astype(int)
        for n, size in zip(grid, classes.shape, strict=False)
    )
    return classes[np.ix_(rows, columns)]


def save(scenes: Sequence[Scene], folder: Path) -> list[Path]:
    """The scenes as files, numbered."""
    paths = [Path(folder, f"{i}.png") for i in range(len(scenes))]
    for path, scene in zip(paths, scenes, strict=True):
        Image.fromarray(scene.pixels).save(path)
    return paths


def main() -> None:
    """Print the table, and with --page put it into the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=TEST_SEED, help="the world of the scenes")
    parser.add_argument("--size", type=int, default=224, help="pixels of a scene's side")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--part", choices=("discover", "fit", "probe"), help="only this")
    parser.add_argument("--page", type=Path)
    args = parser.parse_args()

    recipe = load_recipe("tiny", args.set)
    scenes = [render(args.seed, i, size=args.size) for i in range(args.scenes)]
    with tempfile.TemporaryDirectory(prefix="zeroguide-") as folder:
        paths = save(scenes, Path(folder))
        parts = {
            "discover": lambda: discovered(scenes, paths, recipe),
            "fit": lambda: fitted(scenes, paths, recipe),
            "probe": lambda: probed(scenes, Path(folder), recipe),
        }
        rows = [row for name, part in parts.items() if args.part in (None, name) for row in part()]
    if args.page:
        replace_block(args.page, "evaluate.discover", table(rows))


if __name__ == "__main__":
    main()
