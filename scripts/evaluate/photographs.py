"""What photographs say of the method: names given true masks, by the way a segment is embedded.

    python -m scripts.evaluate.photographs --real ../shared/real --clip FOLDER

Every true region of at least 1 % of its photograph is embedded and named with the nearest of all
names of its data set; top-1 and top-5 in per cent, intervals of 95 % bootstrapped over photographs.
The half at odd places is given beside all of them: settings are to be chosen by the other half.

`--clip FOLDER` is what scripts.train.photo.export wrote; `--class-token FOLDER` DINOv2's own blocks
read out at their class token, with a projection trained for it (scripts.train.photo.head with
--read-out class-token): the paper's masked attention needs one. At least one of the two is needed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from scripts.shared.pages import replace_block, table
from scripts.shared.photographs import SETS, Truth, interval, true_regions
from zeroguide.clip import Region, SegmentEmbedder, TextEncoder
from zeroguide.evaluate.datasets import Dataset, load_dataset
from zeroguide.models import Clip, load_clip
from zeroguide.name.phrase_files import read_prompts
from zeroguide.recipe import load_recipe


def _packed(blocks: int) -> tuple[str, dict[str, Any]]:
    return "class token", {"mode": "packed", "masked_blocks": blocks}


# Ways to embed a segment -> which network reads it ("mean" of patches or "class token"), settings.
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "whole photograph, mean of patches": ("mean", {"whole": True}),
    "masked crop, mean of patches": ("mean", {"mode": "crop"}),
    "mean of the segment's patches": ("mean", {}),
    "whole photograph, class token": ("class token", {"whole": True, "mode": "pooled"}),
    "masked crop, class token": ("class token", {"mode": "crop"}),
    "class token, last attention masked": ("class token", {"mode": "pooled"}),
    "class token, masked in the last 2 blocks": _packed(2),
    "class token, masked in the last 3": _packed(3),
    "class token, masked in the last 4": _packed(4),
    "class token, masked in the last 5": _packed(5),
    "exact, with the paper's subtraction": ("class token", {"mode": "exact", "masked_blocks": 4}),
}


def truths(dataset: Dataset, limit: int | None) -> Iterator[Truth]:
    """Of the first `limit` samples; some have no such region."""
    return map(true_regions, list(dataset)[:limit])


def embedder(clip: Clip, recipe: Any, settings: dict[str, Any]) -> SegmentEmbedder:
    """The preset's own, with a way's settings."""
    own = recipe.embedding.model_dump() | {k: v for k, v in settings.items() if k != "whole"}
    own["image_size"] = recipe.features.shorter_side
    return SegmentEmbedder(clip, **own)


def names_of(dataset: Dataset, texts: TextEncoder, templates: list[str]) -> torch.Tensor:
    """(classes, e): of each class its name; what else it may be called is left out."""
    return F.normalize(texts.embed_phrases([c.name for c in dataset.classes], templates), dim=-1)


def score(truth: Truth, way: SegmentEmbedder, whole: bool, names: torch.Tensor) -> np.ndarray:
    """(regions,) the place of each region's own name, from 0."""
    if not truth.regions:
        return np.zeros(0, int)
    picture = truth.regions[0].image
    asked = truth.regions
    if whole:
        everything = Region(picture, tuple(range(int(picture.label_map.max()) + 1)))
        asked = [everything] * len(asked)
    found = F.normalize(way.embed(way.prepare([picture]), asked), dim=-1) @ names.T
    own = found[torch.arange(len(asked)), torch.from_numpy(truth.classes).long()]
    places: np.ndarray = (found > own[:, None]).sum(1).numpy()
    return places


def hits(places: list[np.ndarray], best: int) -> str:
    """Share of regions whose own name is among the `best` first."""
    return interval([int((p < best).sum()) for p in places], [len(p) for p in places])


def shown(row: dict[str, str | float]) -> dict[str, str | float]:
    """The columns for the page: a half of few photographs and the seconds say little."""
    return {k: v for k, v in row.items() if k != "seconds" and "odd half" not in k}


def main() -> None:
    """Print the table; with --json, write it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--real", type=Path, default=Path("../shared/real"))
    parser.add_argument("--clip", type=Path, help="folder in open_clip's format")
    parser.add_argument("--class-token", type=Path, help="the network read out at its class token")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--limit", type=int, help="photographs of each set")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", type=Path, help="page whose table of ways is replaced")
    args = parser.parse_args()

    folders = {"mean": args.clip, "class token": args.class_token}
    clips = {kind: load_clip(path, device="cpu") for kind, path in folders.items() if path}
    if not clips:
        parser.error("name a network: --clip, --class-token or both")
    own = ["embedding.mode=pooled", "embedding.fit=features", "features.shorter_side=336"]
    recipe = load_recipe("fast", own)
    rows: list[dict[str, str | float]] = []
    for way, (kind, settings) in WAYS.items():
        if kind not in clips:
            continue
        row: dict[str, str | float] = {"embedding": way}
        embed = embedder(clips[kind], recipe, settings)
        texts = TextEncoder(clips[kind])
        seconds = 0.0
        for title in args.sets:
            dataset = load_dataset(SETS[title], args.real / title)
            names = names_of(dataset, texts, read_prompts(recipe.decoder.templates))
            started = time.perf_counter()
            places = [
                score(truth, embed, "whole" in settings, names)
                for truth in truths(dataset, args.limit)
            ]
            seconds += time.perf_counter() - started
            row[f"{title}, top-1"] = hits(places, 1)
            row[f"{title}, odd half"] = hits(places[1::2], 1)
            row[f"{title}, top-5"] = hits(places, 5)
        row["seconds"] = f"{seconds:.0f}"
        rows.append(row)
        print(json.dumps(row), flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(table(rows))
    if args.page:
        replace_block(args.page, "evaluate.photographs", table([shown(row) for row in rows]))


if __name__ == "__main__":
    main()
