"""Keys: an image's place in a run's results, as a relative POSIX path that any program can read.

A key's components are the names of files and folders. What a name may hold and a key may not (bytes
that aren't UTF-8, NUL, "..") is written with U+FFFD as an escape character, so that different names
stay different; every other name stays as it is.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

_ESCAPE = "\ufffd"
_ODD = re.compile(rf"{_ESCAPE}|~[0-9a-f]{{16}}")  # what `component` may have written
# Names of files may have 255 bytes on most systems, and results add a suffix.
_LONGEST = 240


def component(name: str) -> str:
    """One name, as the system or an archive gives it, as a component of a key.

    Valid Unicode of 1 to 240 bytes in UTF-8, without "/", NUL and not "." or ".."; different names
    give different components. A longer name is cut and ends in a hash of the whole, then its
    suffix.
    """
    if not name.isascii() or "\0" in name or "/" in name or name in ("", ".", ".."):
        name = _escaped(name)
    if len(name) * 4 > _LONGEST and len(name.encode()) > _LONGEST:
        suffix = os.path.splitext(name)[1][:20]
        end = f"~{hashlib.sha256(name.encode()).hexdigest()[:16]}{suffix}"
        room = _LONGEST - len(end.encode())
        name = name.encode()[:room].decode("utf-8", "ignore") + end
    return name


def _escaped(name: str) -> str:
    if name in ("", ".", ".."):
        return _ESCAPE + _ESCAPE.join(["2E"] * len(name))
    return "".join(map(_escaped_character, name))


def _escaped_character(character: str) -> str:
    code = ord(character)
    if character == _ESCAPE:
        return _ESCAPE * 2
    if 0xDC80 <= code <= 0xDCFF:  # how Python carries a byte that isn't UTF-8
        return f"{_ESCAPE}{code - 0xDC00:02X}"
    if 0xD800 <= code <= 0xDFFF:
        return f"{_ESCAPE}u{code:04X}"
    return f"{_ESCAPE}{code:02X}" if character in "\0/" else character


def joined(folder: str, *names: str) -> str:
    """The key of what is called `names` below the key `folder` ("" at the top)."""
    parts = map(component, names)
    return "/".join([folder, *parts] if folder else parts)


def of_member(archive: str, member: str) -> str:
    """The key of a file in an archive, whatever path the archive gives it."""
    return joined(archive, *(name for name in member.split("/") if name not in ("", ".")))


@dataclass(frozen=True)
class Root:
    """The folder that keys are relative to.

    folder : an absolute path
    prefix : the folder's own key, "" for the top
    """

    folder: str
    prefix: str = ""

    def key(self, path: str) -> str:
        """The key of a file by its absolute path; outside of the folder it is the whole path."""
        inside = os.path.join(self.folder, "")
        if path == self.folder:
            return self.prefix
        if path.startswith(inside):
            return joined(self.prefix, *path[len(inside) :].split(os.sep))
        return joined("", *os.path.splitdrive(path)[1].strip(os.sep).split(os.sep))


class Places:
    """The files that keys stand for. What a name can hold and a key can't is looked up in its
    folder, which is listed once.
    """

    def __init__(self) -> None:
        self._names: dict[str, dict[str, str]] = {}  # folder -> component -> name

    def path(self, root: str | os.PathLike[str], key: str) -> str:
        """The path below a root whose key this is; where there is no file, it may be any."""
        place = os.fspath(root)
        for part in key.split("/"):
            name = self._odd_names(place).get(part, part) if _ODD.search(part) else part
            place = os.path.join(place, name)
        return place

    def _odd_names(self, folder: str) -> dict[str, str]:
        if folder not in self._names:
            try:
                names = os.listdir(folder)
            except OSError:
                names = []
            odd = {component(name): name for name in names}
            self._names[folder] = {key: name for key, name in odd.items() if key != name}
        return self._names[folder]


def apart(keys: Iterable[str]) -> bool:
    """Whether no key is the same as another, or the beginning of its path."""
    paths = sorted(key.split("/") if key else [] for key in keys)
    # What lies below a path sorts right after it.
    return not any(later[: len(path)] == path for path, later in itertools.pairwise(paths))
