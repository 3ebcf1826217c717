"""Score a recipe on Playroom scenes it was never trained on, with 95 % intervals.

    python -m scripts.evaluate.playroom --preset tiny

Naming: the true masks are given and each is named with the nearest of all 104 names, by three
kinds of embedding. End to end: what `zeroguide label` gives, against the truth. Regions below 1 %
of the picture don't count. Intervals are bootstrapped over scenes. ``--redrawn`` changes the
pictures in a way that training never does, to see whether the models know one rendering only.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageFilter, ImageOps

from scripts.shared.playroom import TEST_SEED, Hits, counted, interval, match_names, true_regions
from zeroguide.clip import Region, SegmentEmbedder
from zeroguide.image import from_array
from zeroguide.labeler import Labeler
from zeroguide.name.phrase_files import read_prompts
from zeroguide.name.vocabulary import VocabularyDecoder
from zeroguide.playroom import NAMES, Scene, render
from zeroguide.recipe import load_recipe

REDRAWN: dict[str, Callable[[Image.Image], Image.Image]] = {
    "posterised": lambda picture: ImageOps.posterize(picture, 2),
    "pixelated": lambda picture: picture.reduce(3).resize(picture.size, Image.Resampling.NEAREST),
    "grey": lambda picture: picture.convert("L").convert("RGB"),
    "inked": lambda picture: ImageChops.multiply(
        picture, picture.convert("L").filter(ImageFilter.CONTOUR).convert("RGB")
    ),
}
"""Renderings unlike any in training."""


def redraw(scene: Scene, how: str) -> Scene:
    """The scene in another rendering, with the same truth."""
    picture = REDRAWN[how](Image.fromarray(scene.pixels))
    return dataclasses.replace(scene, pixels=np.asarray(picture))


def score_names(labeler: Labeler, scenes: Sequence[Scene]) -> dict[str, Hits]:
    """Top-1 naming given the true masks, over all names, by kind of embedding."""
    decode = VocabularyDecoder(
        labeler.texts,
        phrases=NAMES,
        templates=read_prompts(labeler.recipe.decoder.templates),
        n_alternatives=0,
    )
    own = labeler.recipe.embedding.model_dump()
    crops = SegmentEmbedder(labeler.texts.clip, **own | {"mode": "crop"})
    hits: dict[str, Hits] = {"whole image": [], "masked CLIP": [], "masked crop": []}
    for scene in scenes:
        regions = true_regions(scene)
        everything = Region(regions[0].image, tuple(range(len(regions))))
        for kind, embedder, asked in (
            ("whole image", labeler.embedder, [everything] * len(regions)),
            ("masked CLIP", labeler.embedder, regions),
            ("masked crop", crops, regions),
        ):
            labels = decode(embedder.embed(embedder.prepare([regions[0].image]), asked), asked)
            right = [labels[i][0][0] == scene.names[i] for i in counted(scene)]
            hits[kind].append(np.array(right))
    return hits


def score_labels(
    labeler: Labeler, scenes: Sequence[Scene]
) -> tuple[dict[str, Hits], dict[str, float]]:
    """Regions matched by a segment, and by one of the right name; and figures per picture."""
    hits: dict[str, Hits] = {"matched": [], "matched and rightly named": []}
    segments, started = 0, time.perf_counter()
    for index, scene in enumerate(scenes):
        labeling = labeler.label(from_array(scene.pixels, f"scene {index}"))
        segments += len(labeling.segments)
        match, named = match_names(scene, labeling)
        keep = counted(scene)
        hits["matched"].append(match[keep].any(1))
        hits["matched and rightly named"].append((match & named)[keep].any(1))
    seconds = (time.perf_counter() - started) / len(scenes)
    return hits, {"segments per picture": segments / len(scenes), "seconds per picture": seconds}


def main() -> None:
    """Print both tables; with --json, write the figures too."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=TEST_SEED, help="the world of the scenes")
    parser.add_argument("--size", type=int, default=224, help="pixels of a scene's side")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--part", choices=("names", "labels", "both"), default="both")
    parser.add_argument("--redrawn", choices=REDRAWN)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()

    labeler = Labeler(load_recipe(args.preset, args.set), device=args.device, offline=True)
    scenes = [render(args.seed, i, size=args.size) for i in range(args.scenes)]
    if args.redrawn:
        scenes = [redraw(scene, args.redrawn) for scene in scenes]
    rng = np.random.default_rng(0)
    rows: dict[str, tuple[float, float, float]] = {}
    figures: dict[str, float] = {}
    if args.part != "labels":
        for kind, hits in score_names(labeler, scenes).items():
            rows[f"names given true masks, {kind}"] = interval(hits, rng)
    if args.part != "names":
        end_to_end, figures = score_labels(labeler, scenes)
        rows |= {f"end to end, {kind}": interval(h, rng) for kind, h in end_to_end.items()}
    rendering = f", {args.redrawn}" if args.redrawn else ""
    print(f"{args.scenes} scenes of seed {args.seed} at {args.size} px{rendering}, in %")
    for name, (share, low, high) in rows.items():
        print(f"{name:48} {share:5.1f}  [{low:.1f}, {high:.1f}]")
    for name, value in figures.items():
        print(f"{name:48} {value:5.2f}")
    if args.json:
        args.json.write_text(json.dumps({"shares": rows, "figures": figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
