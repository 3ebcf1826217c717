"""Why ZeroCap says the same few captions on `tiny`, and what it says with real networks.

    make real-weights
    python -m scripts.evaluate.zerocap --page docs/results.md

On `tiny`: the labels of all over-segments of a few scenes, by the number of gradient steps. With
MiniLM as CLIP's text side and SmolLM2-135M (4 bits) as language model: ten names, each given as its
own embedding, by the number of steps; see scripts/evaluate/naming.py.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path

from scripts.evaluate.naming import Bench
from scripts.shared.pages import replace_block, table
from scripts.shared.playroom import VALIDATION_SEED
from scripts.shared.stand_ins import MINILM, Gap
from zeroguide.image import from_array
from zeroguide.labeler import Labeler
from zeroguide.playroom import render
from zeroguide.recipe import load_recipe
from zeroguide.system.memo import Memo

NAMES = (
    "zebra", "pizza", "umbrella", "sky", "brick wall", "traffic light", "surfboard", "tree",
    "keyboard", "sheep",
)  # fmt: skip
BEAMS = ["decoder.method=zerocap", "decoder.beam_size=5"]


def on_scenes(iterations: int, n_scenes: int) -> dict[str, str | float]:
    """A row: what is said of the over-segments of some scenes."""
    settings = [*BEAMS, "decoder.n_candidates=128", "merge.threshold=2"]
    recipe = load_recipe("tiny", [*settings, f"decoder.iterations={iterations}"])
    labeler = Labeler(recipe, device="cpu")
    said: Counter[str] = Counter()
    right = total = 0
    for index in range(n_scenes):
        scene = render(VALIDATION_SEED, index)
        labels = [s.label for s in labeler.label(from_array(scene.pixels, "scene")).segments]
        said.update(labels)
        right += sum(label in scene.names for label in labels)
        total += len(labels)
    return {
        "steps": str(iterations),
        "segments": str(total),
        "different labels": str(len(said)),
        "a name of the scene, %": f"{100 * right / total:.0f}",
        "the commonest": ", ".join(f"{label} ({n})" for label, n in said.most_common(4)),
    }


def on_names(bench: Bench, iterations: int, candidates: int) -> dict[str, str | float]:
    """A row: what is said of NAMES' own embeddings."""
    unit = bench.embed(list(NAMES))
    gap = Gap(unit.shape[1])
    settings = [*BEAMS, f"decoder.n_candidates={candidates}", f"decoder.iterations={iterations}"]
    decoder = bench.decoder(settings)
    started = time.perf_counter()
    found = decoder(gap.queries(unit, gap.noise(unit), 0.0), (), Memo())
    seconds = time.perf_counter() - started
    labels = [own[0][0] for own in found]
    right = sum(name in label.casefold() for name, label in zip(NAMES, labels, strict=True))
    return {
        "steps": str(iterations),
        "candidates": str(candidates),
        "name said, of 10": str(right),
        "different labels": str(len(set(labels))),
        "s": f"{seconds:.0f}",
        "labels": ", ".join(labels),
    }


def main() -> None:
    """Print both tables, and with --page put them into the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenes", type=int, default=3)
    parser.add_argument("--page", type=Path)
    args = parser.parse_args()
    if not MINILM.is_dir():
        parser.error(f"{MINILM} is missing: make real-weights")
    scenes = table([on_scenes(n, args.scenes) for n in (5, 20, 60)])
    print(scenes, flush=True)
    bench = Bench(writes=True)
    names = table([on_names(bench, n, candidates) for n, candidates in ((5, 64), (20, 64))])
    print(names)
    if args.page:
        replace_block(args.page, "evaluate.zerocap", f"{scenes}\n{names}")


if __name__ == "__main__":
    main()
