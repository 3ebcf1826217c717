"""What the command line names, as a lazy series of items with unique keys.

A key is the image's path relative to the common parent of everything on the command line. It
depends on what is named and not on what is found, so that a run that is taken up again has the same
keys. Nothing is ever a list of all images.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from pathlib import Path

from zeroguide.errors import UsageError
from zeroguide.runs.sources.inputs import STDIN, Inputs, Source
from zeroguide.runs.sources.item import Item
from zeroguide.runs.sources.keys import Root, apart
from zeroguide.runs.sources.left_out import LeftOut, named, unread
from zeroguide.runs.sources.seen import Seen


class Items:
    """All images of a run, found anew at each iteration; standard input can be read once.

    Iterating raises UsageError if two different images would have one key, and if standard input
    is empty or not text. What else can't be listed is an item whose `read` fails.

    roots : folders with root / key the local file, for items that are local files
    """

    def __init__(
        self,
        sources: Sequence[Source],
        roots: Sequence[Root],
        note: Callable[[str], None],
        *,
        overlap: bool,
    ) -> None:
        self._sources = sources
        self._roots = roots
        self._note = note
        self._overlap = overlap
        self._stdin_is_read = False
        self._noted: set[str] = set()
        self.roots = list(dict.fromkeys(Path(r.folder) for r in roots if not r.prefix))
        if any(source.area is None for source in sources):
            self.roots.append(Path(Path(roots[0].folder).anchor))

    def __iter__(self) -> Iterator[Item]:
        if any(source.given == STDIN for source in self._sources):
            if self._stdin_is_read:
                raise ValueError("standard input can be read only once")
            self._stdin_is_read = True
        return self._unique() if self._overlap else self._all()

    def _all(self) -> Iterator[Item]:
        everywhere: LeftOut = Counter()
        for source, root in zip(self._sources, self._roots, strict=True):
            is_empty = True
            left_out: LeftOut = Counter()
            for item in source.series(root, left_out):
                is_empty = False
                yield item
            if source.given == STDIN and is_empty:
                raise UsageError("standard input: is empty; write one path a line")
            everywhere.update(left_out)
            for text in named(source.given, left_out):
                self._tell(text)
        if sentence := unread(everywhere):
            self._tell(sentence)

    def _tell(self, text: str) -> None:
        """Once, however often the items are read."""
        if text not in self._noted:
            self._noted.add(text)
            self._note(text)

    def _unique(self) -> Iterator[Item]:
        seen = Seen()
        for item in self._all():
            before = seen.add(item.key, f"{item.origin}\n{item.name}")
            if before is None:
                yield item
            elif not before.startswith(f"{item.origin}\n"):
                raise UsageError(
                    f"{item.name} and {before.rpartition(chr(10))[2]} would both be {item.key} in "
                    "the results; label them one after the other, with a folder each (-o)"
                )


def find_items(
    inputs: Sequence[str | PathLike[str]],
    output: str | PathLike[str],
    note: Callable[[str], None],
    *,
    offline: bool = False,
) -> Items:
    """Images, folders, glob patterns, lists, tars, tables, data sets of the hub, "-" for stdin.

    inputs : as on the command line
    output : the folder of the results, which is left out of folders
    note : takes sentences about what is left out
    offline : never ask the hub

    Each input is looked into: UsageError, one sentence, for a folder, pattern, list, archive or
    table that is missing, can't be read or has no image in it, and for a data set that can't be
    had. An image file is only looked at when it is read.
    """
    words = [os.fspath(each) for each in inputs]
    if not words:
        raise UsageError("there is nothing to label; name an image or a folder")
    if words.count(STDIN) > 1:
        raise UsageError("standard input can be named only once; drop one -")
    reader = Inputs(os.path.abspath(output), offline=offline, alone=len(words) == 1)
    sources = [source for given in words for source in reader.sources(given)]
    local = [source.folder for source in sources if source.root is None]
    try:
        common = Root(os.path.commonpath(local)) if local else Root(os.getcwd())
    except ValueError:  # Windows only
        raise UsageError("images of different drives: label one drive at a time") from None
    roots = [source.root or common for source in sources]
    areas = [
        root.key(source.area)
        for source, root in zip(sources, roots, strict=True)
        if source.area is not None
    ]
    overlap = len(areas) < len(sources) or not apart(areas)
    return Items(sources, roots, note, overlap=overlap)
