"""One word of the command line: what it names, looked into, as a source of items."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from zeroguide.errors import UsageError
from zeroguide.runs.sources import hub, lists
from zeroguide.runs.sources.files import IMAGE
from zeroguide.runs.sources.item import FileItem, Item, Spot, Trouble
from zeroguide.runs.sources.keys import Root
from zeroguide.runs.sources.left_out import LeftOut, nothing_but
from zeroguide.runs.sources.walk import TABLE, TAR, Walk, braces, has_magic, split_pattern

STDIN = "-"
_TABLE_FILE = re.compile(r".+\.(parquet|arrow)", re.IGNORECASE | re.DOTALL)
# What a folder is taken for, the first that it holds: a stray archive is no photo.
_KINDS = (IMAGE, TABLE, TAR)

Series = Callable[[Root, LeftOut], Iterator[Item]]


@dataclass(frozen=True)
class Source:
    """What one word of the command line names.

    given : the word
    folder : the absolute folder that its names are relative to
    series : its items, anew at each call; counts the names left out, by what they look like
    area : the path that all its items lie at or below; None for lists, which name anything
    root : what its keys are relative to; None: the common parent of all inputs
    """

    given: str
    folder: str
    series: Series
    area: str | None = None
    root: Root | None = None


class Inputs:
    """Makes sources of words.

    output : the absolute path of the results' folder, which is left out of folders
    offline : never ask the hub
    alone : there is one word only
    """

    def __init__(self, output: str, *, offline: bool, alone: bool) -> None:
        self.output = output
        self.offline = offline
        self.alone = alone

    def sources(self, given: str) -> list[Source]:
        """One source, or one for each file that braces stand for.

        Raises UsageError for what is missing, can't be read or has no image in it.
        """
        if given == STDIN:
            here = os.getcwd()
            return [Source(given, here, lambda root, _: lists.items_of_stdin(here, root))]
        if given.startswith(("http://", "https://")):
            raise UsageError(f"{given}: nothing is fetched from the web; download it first")
        if given.startswith(hub.PREFIX):
            return [self._hub(given)]
        file, _, column = given.rpartition("#")
        if not os.path.lexists(given) and file and column and os.path.exists(file):
            return [self._file_or_folder(file, column)]
        words = [given] if os.path.lexists(given) else list(dict.fromkeys(braces(given)))
        if len(words) > 1:
            return self._of_braces(given, words)
        if has_magic(given) and not os.path.lexists(given):
            return [self._pattern(given)]
        return [self._file_or_folder(given, None)]

    def _of_braces(self, given: str, words: list[str]) -> list[Source]:
        sources: list[Source] = []
        for word in words:
            if not has_magic(word) and not os.path.exists(word):
                raise UsageError(f"{word}: no such file, but {given} stands for it; check the name")
            if not sources or has_magic(word) or os.path.isdir(word):
                sources += self.sources(word)
            else:  # of many files only the first one is looked into
                sources.append(self._file(word, None))
        return sources

    def _file_or_folder(self, given: str, column: str | None) -> Source:
        if os.path.isdir(given):
            return self._folder(given, column)
        if column is not None and not _TABLE_FILE.fullmatch(given):
            raise UsageError(f"{given}#{column}: only tables have columns; name a Parquet file")
        source = self._file(given, column)
        if any(kind.fullmatch(given) for kind in (_TABLE_FILE, TAR, lists.LIST)):
            _look_into(source)
        return source

    def _file(self, given: str, column: str | None) -> Source:
        place = os.path.abspath(given)
        folder = os.path.dirname(place)
        if lists.LIST.fullmatch(given):
            return Source(
                given,
                folder,
                lambda root, _: lists.items_of(Spot(place, root.key(place), given), root),
            )
        return Source(
            given,
            folder,
            lambda root, left_out: _opened(Spot(place, root.key(place), given), column, left_out),
            area=place,
        )

    def _folder(self, given: str, column: str | None) -> Source:
        place = os.path.abspath(given)
        name = "" if str(Path(given)) == "." else str(Path(given))
        from zeroguide.runs.sources.saved import tables_of

        if tables_of(Spot(place, "", name)) is None:
            kinds = _KINDS if column is None else (TABLE,)
            return self._search(given, Spot(place, "", name), (), kinds, column)

        def series(root: Root, left_out: LeftOut) -> Iterator[Item]:
            for table in tables_of(Spot(place, root.key(place), name)) or []:
                yield from _opened(table, column, left_out)

        source = Source(given, place, series, area=place)
        _look_into(source)
        return source

    def _pattern(self, given: str) -> Source:
        fixed, rest = split_pattern(given)
        return self._search(given, Spot(os.path.abspath(fixed), "", fixed), rest, _KINDS, None)

    def _search(
        self,
        given: str,
        top: Spot,
        pattern: tuple[str, ...],
        kinds: tuple[re.Pattern[str], ...],
        column: str | None,
        root: Root | None = None,
    ) -> Source:
        """A folder's files, or those that match a pattern: of the first kind that there is."""
        kind = self._first_kind(given, top, pattern, kinds)

        def series(root: Root, left_out: LeftOut) -> Iterator[Item]:
            start = Spot(top.path, root.key(top.path), top.name)
            for found in Walk(start, pattern, self.output).files(kind, left_out):
                if isinstance(found, Trouble):
                    yield found
                else:
                    yield from _opened(found, column, left_out)

        source = Source(given, top.path, series, area=top.path, root=root)
        if kind is not IMAGE:
            _look_into(source)
        return source

    def _first_kind(
        self,
        given: str,
        top: Spot,
        pattern: tuple[str, ...],
        kinds: tuple[re.Pattern[str], ...],
    ) -> re.Pattern[str]:
        left_out: LeftOut = Counter()
        trouble = None
        for kind in kinds:
            for found in Walk(top, pattern, self.output).files(kind, left_out):
                if not isinstance(found, Trouble):
                    return kind
                trouble = trouble or found.error
        if trouble is not None:
            raise UsageError(trouble)
        if pattern:
            raise UsageError(f"{given}: matches no image{nothing_but(left_out)}; check the pattern")
        raise UsageError(
            f"{given}: has no image in it{nothing_but(left_out)}; name a folder with images or "
            "image files"
        )

    def _hub(self, given: str) -> Source:
        address, _, column = given.partition("#")
        part = hub.fetch(address, self.offline)
        place = str(part.local)
        if part.local.is_file():
            prefix = "/".join([part.id, *part.path.split("/")[:-1]])
            root = Root(os.path.dirname(place), "" if self.alone else prefix)
            source = Source(
                given,
                root.folder,
                lambda root, left_out: _opened(
                    Spot(place, root.key(place), address), column or None, left_out
                ),
                area=place,
                root=root,
            )
            _look_into(source)
            return source
        prefix = "/".join([part.id, part.path] if part.path else [part.id])
        root = Root(place, "" if self.alone else prefix)
        top = Spot(place, "", address.rstrip("/"))
        return self._search(given, top, (), (part.kind,), column or None, root)


def _opened(spot: Spot, column: str | None, left_out: LeftOut) -> Iterator[Item]:
    """A file's items: itself, or what it holds."""
    if _TABLE_FILE.fullmatch(spot.path):
        from zeroguide.runs.sources import tables

        yield from tables.items_of(spot, column)
    elif TAR.fullmatch(spot.path):
        from zeroguide.runs.sources import tars

        yield from tars.items_of(spot, left_out)
    else:
        yield FileItem(spot.key, spot.name, spot.path)


def _look_into(source: Source) -> None:
    """UsageError unless a source begins with an image."""
    left_out: LeftOut = Counter()
    first = next(source.series(source.root or Root(source.folder), left_out), None)
    if isinstance(first, Trouble):
        raise UsageError(first.error)
    if first is None:
        raise UsageError(
            f"{source.given}: has no image in it{nothing_but(left_out)}; check what it is"
        )
