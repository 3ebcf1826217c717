"""Time the embeddings of the list of labels: made once, then read from disk.

    python -m scripts.bench.phrases [--limit N] [--page docs/results.md]

The text tower is that of ViT-B/16 (12 layers, 512 wide) with random weights (`random_networks`).
"read" is the median of twenty. With --limit only the first N phrases are embedded, and the time for
all is extrapolated.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import torch

from scripts.bench.random_networks import random_clip
from scripts.shared.pages import replace_block, table
from zeroguide.clip import TextEncoder
from zeroguide.name.phrase_files import read_prompts


def main() -> None:
    """Print the table, and write it into the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--limit", type=int)
    parser.add_argument("--page", type=Path)
    args = parser.parse_args()

    every = read_prompts("labels")
    phrases = every[: args.limit]
    templates = read_prompts("templates_labels")
    clip = random_clip("ViT-B-16", torch.device("cpu"))
    with tempfile.TemporaryDirectory(prefix="zeroguide-") as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        started, worked = time.perf_counter(), time.process_time()
        TextEncoder(clip).embed_phrases(phrases, templates)
        share = len(phrases) / len(every)
        making = (time.perf_counter() - started) / share
        working = (time.process_time() - worked) / share
        readings = []
        for _ in range(20):
            started = time.perf_counter()
            TextEncoder(clip).embed_phrases(phrases, templates)
            readings.append(time.perf_counter() - started)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.npy"))
    row: dict[str, str | float] = {
        "phrases": str(len(every)),
        "templates": float(len(templates)),
        "threads": float(torch.get_num_threads()),
        "made, s": making,
        "made, s of CPU": working,
        "read, s": statistics.median(readings) / share,
        "MB on disk": size / 1e6 / share,
    }
    text = table([row])
    print(text)
    if args.page:
        replace_block(args.page, "bench.phrases", text)


if __name__ == "__main__":
    main()
