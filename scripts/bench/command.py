"""Time `zeroguide label` on one scene, and `--help`, against bare imports and bare starts.

    python -m scripts.bench.command

Prints medians of whole processes that take turns. With --render instead: scenes per second of the
Playroom on one core.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "playroom.png"
IMPORTS = "import torch, open_clip, transformers"


def seconds(command: list[str]) -> float:
    """Wall time of a process that must succeed."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--render", action="store_true")
    args = parser.parse_args()
    if args.render:
        from zeroguide.playroom import render

        for size in (112, 224):
            render(0, 0, size=size)
            started = time.process_time()
            for index in range(600):
                render(0, index, size=size)
            rate = 600 / (time.process_time() - started)
            print(f"{size} px: {rate:.0f} scenes/s of CPU time")
        return
    with tempfile.TemporaryDirectory() as folder:
        bare = [sys.executable, "-c", IMPORTS]
        zeroguide = [sys.executable, "-m", "zeroguide"]
        label = [*zeroguide, "label", str(EXAMPLE), "--preset", "tiny"]
        label += ["--overwrite", "-o", folder]
        commands = {
            "bare imports": bare,
            "label": label,
            "bare start": [sys.executable, "-c", "pass"],
            "--help": [*zeroguide, "--help"],
            "label --help": [*zeroguide, "label", "--help"],
        }
        for command in commands.values():
            seconds(command)  # fills the disk cache
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(args.runs):
            for name, command in commands.items():
                times[name].append(seconds(command))
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, value in medians.items():
        print(f"{name:14} {value:6.2f} s")
    extra = medians["label"] - medians["bare imports"]
    ratio = medians["label"] / medians["bare imports"]
    print(f"label takes {extra:.2f} s more than the bare imports, {ratio:.2f} times as long")
    for name in ("--help", "label --help"):
        print(f"{name} takes {medians[name] / medians['bare start']:.1f} bare starts")


if __name__ == "__main__":
    main()
