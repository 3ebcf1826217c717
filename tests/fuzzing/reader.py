"""A process that reads damaged files, one after another, and says what became of each.

    python -m fuzzing.reader START STOP [bombs]

One JSON line before each file, its number alone, and one after it, with the outcome. A file that
takes longer than HANG seconds ends the process, as one that crashes a library does.
"""

from __future__ import annotations

import contextlib
import faulthandler
import hashlib
import json
import re
import resource
import sys
import time

from fuzzing.bombs import BOMBS
from fuzzing.mutations import mutated
from zeroguide.errors import ImageError
from zeroguide.image import read_image
from zeroguide.image.limits import MAX_PIXELS

HANG = 120  # seconds of the clock, after which nothing is waited for; the machine may be busy
NAME = "folder/photo.img"


def main(start: int, stop: int, bombs: bool) -> None:
    # So that a fault ends this process and not others; the measured peak is what is judged.
    resource.setrlimit(resource.RLIMIT_AS, (8 * 2**30, 8 * 2**30))
    for number in range(start, stop):
        print(json.dumps({"number": number}), flush=True)
        what, data = (BOMBS[number].__name__, BOMBS[number]()) if bombs else mutated(number)
        faulthandler.dump_traceback_later(HANG, exit=True)
        _forget_peak()
        before = time.process_time()
        outcome = read(data)
        seconds = time.process_time() - before
        faulthandler.cancel_dump_traceback_later()
        entry = {"number": number, "what": what, "bytes": len(data), "seconds": seconds}
        print(json.dumps(entry | {"peak": _peak(), "outcome": outcome}), flush=True)


def read(data: bytes) -> str:
    """How the loader takes a file: "image", "refused: ..." with its words, or "fault: ..."."""
    try:
        image = read_image(data, NAME)
    except ImageError as error:
        return _judged(str(error))
    except BaseException as error:
        return f"fault: {type(error).__name__}: {error}"
    pixels = image.pixels
    sound = pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == "uint8"
    if not (sound and 0 < pixels.shape[0] * pixels.shape[1] <= MAX_PIXELS):
        return f"fault: pixels {pixels.shape} {pixels.dtype}"
    if not (pixels.flags.writeable and pixels.flags.c_contiguous):
        return "fault: pixels that can't be written or aren't in one piece"
    if (image.file_name, image.sha256) != ("photo.img", hashlib.sha256(data).hexdigest()):
        return f"fault: {image.file_name}, {image.sha256}"
    return "image"


def _judged(sentence: str) -> str:
    """A refusal is one sentence: file, problem, remedy, in characters that can be printed."""
    good = re.fullmatch(rf"{NAME}: [^;]+.*; [^;]+\.|{NAME}: .*; .+\.", sentence)
    if good and sentence.isprintable() and len(sentence) < 300:
        return f"refused: {sentence.removeprefix(NAME + ': ')}"
    return f"fault: not a sentence: {sentence!r}"


def _forget_peak() -> None:
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def _peak() -> int:
    """Most bytes of memory since `_forget_peak`; 0 where the system doesn't say."""
    with contextlib.suppress(OSError), open("/proc/self/status") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), "bombs" in sys.argv[3:])
