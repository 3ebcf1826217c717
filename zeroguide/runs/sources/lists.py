"""Lists of paths, in a file or from another program: one a line, or each ended by NUL.

Lines are taken as they are: spaces belong to names, "#" begins no comment. Only empty lines are
skipped.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator
from typing import BinaryIO

from zeroguide.errors import UsageError
from zeroguide.runs.sources.item import FileItem, Item, Spot, Trouble
from zeroguide.runs.sources.keys import Root

LIST = re.compile(r".+\.(txt|lst)", re.IGNORECASE | re.DOTALL)
_BLOCK = 2**16


def items_of(lists: Spot, root: Root) -> Iterator[Item]:
    """The files that a list names, relative to the list's folder."""
    try:
        with open(lists.path, "rb", buffering=0) as file:
            folder, name = os.path.dirname(lists.path), os.path.dirname(lists.name)
            yield from _items(file, folder, name, root)
    except OSError as error:
        yield Trouble(lists.key, lists.name, lists.reason(error))
    except _WrongEncodingError:
        yield Trouble(lists.key, lists.name, f"{lists.name}: is in UTF-16; save it as UTF-8")


def items_of_stdin(folder: str, root: Root) -> Iterator[Item]:
    """The files that standard input names, relative to the working directory."""
    try:
        yield from _items(_stdin(), folder, "", root)
    except _WrongEncodingError:
        raise UsageError("standard input: is in UTF-16; write the list as UTF-8") from None


class _WrongEncodingError(Exception):
    pass


def _stdin() -> BinaryIO:
    """Standard input without Python's buffer, whose lock a waiting thread would hold for ever."""
    try:
        return io.FileIO(sys.stdin.fileno(), closefd=False)
    except (AttributeError, OSError, ValueError):  # no file but something like one
        return sys.stdin.buffer


def _items(file: BinaryIO, folder: str, name: str, root: Root) -> Iterator[Item]:
    for line in _lines(file):
        place = os.path.abspath(os.path.join(folder, line))
        yield FileItem(root.key(place), os.path.join(name, line), place)


def _lines(file: BinaryIO) -> Iterator[str]:
    """Paths, as soon as they are there. A NUL at the beginning: that is what ends them."""
    read = getattr(file, "read1", file.read)  # what there is, without waiting for a whole block
    block = more = read(_BLOCK)
    while more and b"\n" not in block and b"\0" not in block:
        more = read(_BLOCK)
        block += more
    if block.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _WrongEncodingError
    block = block.removeprefix(b"\xef\xbb\xbf")
    end = b"\0" if b"\0" in block else b"\n"
    rest = b""
    while block:
        *lines, rest = (rest + block).split(end)
        for line in lines:
            yield from _path(line, end)
        block = read(_BLOCK)
    yield from _path(rest, end)


def _path(line: bytes, end: bytes) -> Iterator[str]:
    if end == b"\n":
        line = line.removesuffix(b"\r")
    if line.strip():
        yield line.decode("utf-8", "surrogateescape")
