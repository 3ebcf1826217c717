"""Mutated image files and crafted bombs through the loader; says what became of them.

    python -m scripts.check.fuzz_images --n 10000 [--start 0]

The files are the same on every run: `tests/fuzzing` makes them. Ends with code 1 on a fault: an
exception other than ImageError, a refusal that isn't one sentence, a crash, a mutated file that
takes more than 5 seconds of the processor, or more than 2 GB of memory.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from fuzzing.bombs import BOMBS
from fuzzing.running import read_files

SECONDS, BYTES = 5.0, 2_000_000_000


def report(title: str, entries: list[dict[str, Any]]) -> bool:
    """Print counts, the slowest and the largest file; whether anything is at fault."""
    slowest = max(entries, key=lambda e: e["seconds"])
    largest = max(entries, key=lambda e: e["peak"])
    print(f"{title}: {len(entries)} files, {sum(e['seconds'] for e in entries):.1f} s")
    for outcome in ("image", "refused", "fault"):
        kinds = Counter(
            entry["what"].replace("-", " ").partition(" ")[0]
            for entry in entries
            if entry["outcome"].startswith(outcome)
        )
        parts = ", ".join(f"{kind} {n}" for kind, n in sorted(kinds.items()))
        print(f"  {outcome}: {kinds.total()}" + (f" ({parts})" if len(entries) > 100 else ""))
    print(f"  slowest: {slowest['seconds']:.2f} s, {slowest['what']} ({slowest['number']})")
    print(f"  most memory: {largest['peak'] / 1e6:.0f} MB, {largest['what']} ({largest['number']})")
    faults = [e for e in entries if e["outcome"].startswith("fault") or e["peak"] > BYTES]
    for entry in faults:
        print(f"  FAULT {entry}")
    return bool(faults)


def main() -> int:
    """The command; 1 on a fault."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--n", type=int, default=10_000, help="number of mutated files")
    parser.add_argument("--start", type=int, default=0, help="number of the first")
    options = parser.parse_args()
    mutated = list(read_files(range(options.start, options.start + options.n)))
    slow = [e for e in mutated if e["seconds"] > SECONDS]
    for entry in slow:
        print(f"SLOW {entry}")
    wrong = report("mutated files", mutated)
    wrong |= report("bombs", list(read_files(range(len(BOMBS)), bombs=True)))
    return int(wrong or bool(slow))


if __name__ == "__main__":
    sys.exit(main())
