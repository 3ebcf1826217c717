"""A service whose labeler does what a picture's name says; the rest is real.

broken.png: fails. device.png: the device fails. slow.png: waits for a file, whose path is
the first argument.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from fake_labeler import FakeLabeler

from zeroguide.errors import DeviceError, ZeroguideError
from zeroguide.recipe import load_recipe
from zeroguide.serve.server import bind, serve, url_of


def obey(file_name: str) -> None:
    """Called for each image."""
    if file_name == "broken.png":
        raise KeyError("a fault of the program")
    if file_name == "refused.png":
        raise ZeroguideError("refused.png: the networks can't take it; send another")
    if file_name == "device.png":
        raise DeviceError("cuda:0", "an illegal memory access was encountered", "somebody's.png")
    if file_name == "slow.png":
        go = Path(sys.argv[1])
        go.with_name("began").touch()
        while not go.exists():
            time.sleep(0.02)


def main() -> int:
    """Serve until the end; the exit code."""
    FakeLabeler.hook = staticmethod(obey)  # type: ignore[method-assign]
    labeler: Any = FakeLabeler(load_recipe("tiny"))
    sock = bind("127.0.0.1", 0)
    try:
        serve(
            labeler,
            sock,
            queue=3,
            started=lambda: print(url_of(sock), flush=True),
            note=lambda text: print(text, file=sys.stderr, flush=True),
        )
    except ZeroguideError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
