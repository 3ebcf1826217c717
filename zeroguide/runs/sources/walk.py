"""Searches folders and glob patterns lazily: one folder's names in memory at a time, in order.

What begins with a dot is left out, and so are results of earlier runs. Links to folders are
followed, but no folder is searched twice: not below one that a link has led to, and not by a link
if it is found without. Pictures of kinds that can't be read are counted.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator
from pathlib import Path

from zeroguide.image.kinds import Kind, kind_of_name
from zeroguide.runs.sources.files import IMAGE, RESULT, RUN_NAMES, of_a_run
from zeroguide.runs.sources.item import Spot, Trouble
from zeroguide.runs.sources.keys import joined
from zeroguide.runs.sources.left_out import LOOPS, RESULTS, LeftOut

TABLE = re.compile(r".+\.parquet", re.IGNORECASE | re.DOTALL)
TAR = re.compile(r".+\.(tar|tar\.gz|tgz)", re.IGNORECASE | re.DOTALL)


class Walk:
    """The files below a folder, or those that match a pattern below it.

    top : the folder
    pattern : the rest of a glob pattern, one part for each component; "**" stands for any number
        of folders. Empty: everything. A folder that matches is searched at any depth.
    output : the absolute path of the results' folder, which is left out
    """

    def __init__(self, top: Spot, pattern: tuple[str, ...], output: str) -> None:
        self.top = top
        self.output = output
        self.parts = pattern
        self.tests = [re.compile(fnmatch.translate(part)) for part in pattern]
        self._real_top = os.path.realpath(top.path)
        self._followed: set[str] = set()  # the real folders that links have led to

    def files(self, wanted: re.Pattern[str], left_out: LeftOut) -> Iterator[Spot | Trouble]:
        """Files whose names match, in the order of their paths' components.

        left_out : counts images that are left out
        """
        self._followed = set()
        stack = [self._listed(self.top, self._closed({0}), wanted, left_out)]
        while stack:
            found = next(stack[-1], None)
            if found is None:
                stack.pop()
            elif isinstance(found, Trouble):
                yield found
            elif isinstance(found, tuple):
                stack.append(self._listed(*found, wanted, left_out))
            elif wanted is IMAGE and RESULT.fullmatch(found.name):
                left_out[RESULTS] += 1
            else:
                yield found

    def _listed(
        self, folder: Spot, at: frozenset[int], wanted: re.Pattern[str], left_out: LeftOut
    ) -> Iterator[Spot | Trouble | tuple[Spot, frozenset[int]]]:
        """A folder's files and, with their state in the pattern, its folders."""
        names: list[tuple[str, Kind | None, bool, bool]] = []
        run_names: list[str] = []
        try:
            with os.scandir(folder.path) as entries:
                for entry in entries:
                    if entry.name in RUN_NAMES:
                        run_names.append(entry.name)
                    kind = kind_of_name(entry.name) if wanted is IMAGE else None
                    is_folder = _is_folder(entry)
                    if is_folder or kind or wanted.fullmatch(entry.name):
                        names.append((entry.name, kind, is_folder, entry.is_symlink()))
        except OSError as error:
            yield Trouble(folder.key or ".", folder.name, folder.reason(error))
        names.sort(key=lambda each: each[0])
        results = of_a_run(folder.path, run_names)
        for name, kind, is_folder, is_link in names:
            then = self._after(at, name)
            if not then:
                continue
            path = os.path.join(folder.path, name)
            spot = Spot(path, joined(folder.key, name), os.path.join(folder.name, name))
            if not is_folder:
                if len(self.parts) in then:
                    if kind is None:
                        yield spot
                    else:
                        left_out[kind] += 1
            elif (
                path != self.output
                and name not in results
                and self._is_new(path, is_link, then, left_out)
            ):
                yield spot, then

    def _is_new(self, path: str, is_link: bool, then: frozenset[int], left_out: LeftOut) -> bool:
        """Whether a folder isn't searched under another name; remembers where links lead."""
        if not is_link:
            return not self._followed or os.path.realpath(path) not in self._followed
        real = os.path.realpath(path)
        if _is_below(os.path.realpath(os.path.dirname(path)), real):
            left_out[LOOPS] += 1
            return False
        if real in self._followed or real == os.path.realpath(self.output):
            return False
        if _is_below(real, self._real_top):  # is it found without the link?
            reached = self._closed({0})
            for part in Path(real).relative_to(self._real_top).parts:
                reached = self._after(reached, part)
            if then <= reached:
                return False
        if any(_is_below(real, other) for other in self._followed):
            return False
        self._followed.add(real)
        return True

    def _after(self, at: frozenset[int], name: str) -> frozenset[int]:
        """The parts of the pattern that may come next, once a name has matched; none: no match."""
        then = set()
        for i in at:
            hidden = name.startswith(".")
            if i == len(self.parts) or self.parts[i] == "**":
                if not hidden:
                    then.add(i)
            elif self.tests[i].fullmatch(name) and hidden <= self.parts[i].startswith("."):
                then.add(i + 1)
        return self._closed(then)

    def _closed(self, at: set[int]) -> frozenset[int]:
        for i in range(len(self.parts)):
            if i in at and self.parts[i] == "**":
                at.add(i + 1)
        return frozenset(at)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_below(path: str, folder: str) -> bool:
    """Whether a real path is a folder's or lies below it."""
    return path == folder or path.startswith(os.path.join(folder, ""))


def has_magic(text: str) -> bool:
    """Whether a path is a glob pattern."""
    return re.search(r"[*?]|\[[^]]+\]", text) is not None


def split_pattern(text: str) -> tuple[str, tuple[str, ...]]:
    """A pattern's fixed folder and its other components."""
    parts = text.split(os.sep)
    n_fixed = next(i for i, part in enumerate(parts) if has_magic(part))
    fixed = os.sep.join(parts[:n_fixed])
    if n_fixed and not fixed:
        fixed = os.sep
    return fixed, tuple(part for part in parts[n_fixed:] if part not in ("", "."))


def braces(text: str) -> Iterator[str]:
    """`shard-{000..099}.tar` and `{train,test}.tar` written out, as a shell does."""
    match = re.search(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}", text)
    if match is None:
        yield text
        return
    first, last, choices = match.groups()
    options: Iterator[str]
    if first is None:
        options = iter(choices.split(","))
    else:
        step = 1 if int(first) <= int(last) else -1
        padded = any(text[0] == "0" and len(text) > 1 for text in (first, last))
        width = max(len(first), len(last)) if padded else 0
        options = (f"{i:0{width}d}" for i in range(int(first), int(last) + step, step))
    for option in options:
        yield from braces(text[: match.start()] + option + text[match.end() :])
