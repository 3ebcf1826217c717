"""What embedding modes, decoders and merging are worth on Playroom scenes, and what they cost.

    python -m scripts.evaluate.core --work runs/core [--page docs/results.md]

Every variant of the recipe labels the same scenes of the test world twice: with the true regions
given (naming), and from its own over-segments (end to end, as scripts/evaluate/playroom.py scores
it). Seconds are per picture, from over-segments to labels: the segments are the same for all.
Variants that are done are kept in the work folder, so that a run can be taken up again; --page
writes the table into a page and the curve of accuracy over time beside it (core.png).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np

from scripts.shared.pages import replace_block, table
from scripts.shared.playroom import TEST_SEED, counted, interval, match_names, true_regions
from zeroguide.image import Image, from_array
from zeroguide.labeler import Labeler
from zeroguide.playroom import Scene, render
from zeroguide.recipe import load_recipe

DEFAULT = "packed, beam"
PAPER = "exact, subtraction, zerocap"
# ZeroCap takes ten times as long as all the others: it gets the first scenes only.
FEWER_SCENES = 50
_ZEROCAP = ["decoder.method=zerocap", "decoder.beam_size=5", "decoder.n_candidates=512"]
_DECODERS = {
    "beam": ["decoder.method=beam"],
    "vocabulary": ["decoder.method=vocabulary"],
    "text-memory": ["decoder.method=text-memory"],
    "zerocap": _ZEROCAP,
}
_MODES = {
    "exact": ["embedding.mode=exact", "embedding.subtraction_sd=none"],
    "exact, subtraction": ["embedding.mode=exact", "embedding.subtraction_sd=5.0"],
    "packed": ["embedding.mode=packed"],
    "packed+global": ["embedding.mode=packed+global", "embedding.subtraction_sd=5.0"],
    "pooled": ["embedding.mode=pooled"],
    "crop": ["embedding.mode=crop"],
}


def variants() -> dict[str, list[str]]:
    """Name -> overrides of the recipe."""
    found = {}
    for mode, mode_overrides in _MODES.items():
        for decoder, decoder_overrides in _DECODERS.items():
            # The slow ones only where the question needs them.
            if mode == "crop" and decoder != "beam":
                continue
            if decoder != "zerocap" or mode in ("exact", "exact, subtraction", "packed"):
                found[f"{mode}, {decoder}"] = mode_overrides + decoder_overrides
    for n in range(1, 7):
        found[f"packed, {n} of 6 blocks"] = [f"embedding.masked_blocks={n}"]
    for sd in (2.0, 5.0, 20.0):
        found[f"exact, sd {sd:g}"] = ["embedding.mode=exact", f"embedding.subtraction_sd={sd}"]
    found["packed, without merging"] = ["merge.threshold=1.1"]
    found["packed, hard masks"] = ["embedding.softness=0.0"]
    found["packed, windows"] = ["embedding.windows=true"]
    return found


class Segments:
    """The over-segments of every scene, found once for all variants."""

    def __init__(self, labeler: Labeler, images: list[Image]) -> None:
        self.found = {id(image): labeler.segmenter.segment(image).label_map for image in images}

    def segment(self, image: Image) -> np.ndarray:
        return self.found[id(image)]


def score(labeler: Labeler, scenes: list[Scene], images: list[Image]) -> dict[str, Any]:
    """Hits per scene with true and with own regions, and seconds per picture."""
    named, matched, seconds = [], [], []
    for scene, image in zip(scenes, images, strict=True):
        regions = true_regions(scene)
        prepared = labeler.embedder.prepare([regions[0].image])
        ranked = labeler.decode(labeler.embedder.embed(prepared, regions), regions)
        right = [ranked[i][0][0] == scene.names[i] for i in counted(scene)]
        named.append([bool(hit) for hit in right])
        started = time.perf_counter()
        labeling = labeler.label(image)
        seconds.append(time.perf_counter() - started)
        match, of_name = match_names(scene, labeling)
        matched.append((match & of_name)[counted(scene)].any(1).tolist())
    return {"named": named, "end to end": matched, "seconds": float(np.median(seconds))}


def difference(a: list[list[bool]], b: list[list[bool]]) -> tuple[float, float, float]:
    """Share of hits in `a` less that in `b`, with a 95 % interval, in points.

    On the scenes that both have, the first ones.
    """
    n = min(len(a), len(b))
    a, b = a[:n], b[:n]
    counts = np.array([len(hits) for hits in a], float)
    gains = np.array([sum(x) - sum(y) for x, y in zip(a, b, strict=True)], float)
    draws = np.random.default_rng(0).integers(len(a), size=(2000, len(a)))
    shares = 100 * gains[draws].sum(1) / counts[draws].sum(1)
    low, high = np.quantile(shares, [0.025, 0.975])
    return 100 * gains.sum() / counts.sum(), float(low), float(high)


def report(results: dict[str, dict[str, Any]]) -> str:
    """All variants as a Markdown table, and what the default loses."""
    rows = []
    rng = np.random.default_rng(0)
    for name, result in results.items():
        row: dict[str, str | float] = {"variant": name}
        for key, heading in (("named", "named, true masks"), ("end to end", "end to end")):
            share, low, high = interval([np.array(hits) for hits in result[key]], rng)
            row[heading] = f"{share:.1f} [{low:.1f}, {high:.1f}]"
        row["ms a picture"] = f"{1000 * result['seconds']:.0f}"
        rows.append(row | {"scenes": str(len(result["named"]))})
    lines = [table(rows)]
    for other in (PAPER, "exact, zerocap"):
        if {DEFAULT, other} <= results.keys():
            gain, low, high = difference(
                results[DEFAULT]["end to end"], results[other]["end to end"]
            )
            bounds = f"[{low:.1f}, {high:.1f}]"
            lines.append(f"End to end, `{DEFAULT}` less `{other}`: {gain:+.1f} points {bounds}.")
    return "\n".join(lines) + "\n"


def curve(results: dict[str, dict[str, Any]], path: Path) -> None:
    """End-to-end accuracy over time, a point per mode and decoder."""
    matplotlib.use("agg")
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    markers = dict(zip(_DECODERS, "osD^", strict=True))
    palette = ("#0072b2", "#56b4e9", "#d55e00", "#e69f00", "#009e73", "#999999")
    colours = dict(zip(_MODES, palette, strict=True))
    for mode, colour in colours.items():
        for decoder, marker in markers.items():
            result = results.get(f"{mode}, {decoder}")
            if result:
                hits = np.concatenate([np.array(h, float) for h in result["end to end"]])
                axes.plot(
                    1000 * result["seconds"], 100 * hits.mean(), marker, color=colour,
                    markersize=9, markeredgecolor="white",
                )  # fmt: skip
    windows = results.get("packed, windows")
    if windows:
        hits = np.concatenate([np.array(h, float) for h in windows["end to end"]])
        axes.plot(
            1000 * windows["seconds"], 100 * hits.mean(), "*", color=colours["packed"],
            markersize=13, markeredgecolor="white", linestyle="none",
            label="packed, windows, beam",
        )  # fmt: skip
    for mode, colour in colours.items():
        axes.plot([], [], "s", color=colour, label=mode)
    for decoder, marker in markers.items():
        axes.plot([], [], marker, color="black", fillstyle="none", label=decoder)
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds a picture, without over-segmentation (log)")
    axes.set_ylabel("regions found and rightly named, %")
    axes.set_title("Playroom, tiny models: accuracy over time by mode (colour) and decoder (shape)")
    axes.grid(alpha=0.3)
    axes.legend(ncols=2, frameon=False)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Run what isn't done yet and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder that keeps what is done")
    parser.add_argument("--page", type=Path, help="docs/results.md: write table and curve there")
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--only", action="append", help="variants, by name; default: all")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    scenes = [render(TEST_SEED, i, size=args.size) for i in range(args.scenes)]
    images = [from_array(scene.pixels, f"scene {i}") for i, scene in enumerate(scenes)]
    segments: Segments | None = None
    results = {}
    for name, overrides in variants().items():
        path = args.work / f"{name.replace(', ', '-').replace(' ', '_')}.json"
        if not path.exists() and (not args.only or name in args.only):
            labeler = Labeler(load_recipe("tiny", overrides), device="cpu", offline=True)
            segments = segments or Segments(labeler, images)
            labeler.segmenter = segments  # type: ignore[assignment]
            n = FEWER_SCENES if "zerocap" in name else len(scenes)
            path.write_text(json.dumps(score(labeler, scenes[:n], images[:n])))
            print(f"{name}: done", flush=True)
        if path.exists():
            results[name] = json.loads(path.read_text())
    print(report(results))
    if args.page:
        replace_block(args.page, "evaluate.core", report(results))
        curve(results, args.page.parent / "core.png")


if __name__ == "__main__":
    main()
