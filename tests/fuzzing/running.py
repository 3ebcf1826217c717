"""Damaged files read in processes of their own, which may crash or hang."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]


def read_files(numbers: range, *, bombs: bool = False) -> Iterator[dict[str, Any]]:
    """What became of each mutated file, or of each bomb: see `fuzzing.reader`.

    Each with number, what, bytes, seconds (of the processor), peak (bytes) and outcome. A file that
    ended the reader has the outcome "fault: ..." and the next reader goes on behind it.
    """
    start = numbers.start
    while start < numbers.stop:
        code = f"import sys; sys.path[:0] = [{str(TESTS)!r}, {str(TESTS.parent)!r}]\n"
        code += f"from fuzzing.reader import main; main({start}, {numbers.stop}, {bombs})"
        reader = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # libtiff prints its complaints
            text=True,
        )
        assert reader.stdout is not None
        entry: dict[str, Any] = {"number": start, "outcome": ""}
        for line in reader.stdout:
            entry = json.loads(line)
            if "outcome" in entry:
                yield entry
        if "outcome" in entry and reader.wait() == 0:
            return
        ended = f"fault: the reader ended with code {reader.wait()}"
        yield entry | {"what": "?", "bytes": 0, "seconds": 0.0, "peak": 0, "outcome": ended}
        start = entry["number"] + 1
