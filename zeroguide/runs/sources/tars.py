"""Images in tar archives: WebDataset shards, or any folder that was packed.

Members are found by reading headers one after the other, never a list of all. In a plain tar an
item knows where its bytes lie; a compressed one can only be read forward (see `replay`). An archive
that is damaged somewhere gives the images before that place and then one item that fails.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import os
import re
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from zeroguide.errors import ImageError
from zeroguide.image.kinds import kind_of_name
from zeroguide.runs.sources.files import IMAGE, RESULT
from zeroguide.runs.sources.item import Item, Spot, Trouble, reason
from zeroguide.runs.sources.keys import of_member
from zeroguide.runs.sources.left_out import ANNOTATIONS, LINKS, RESULTS, LeftOut
from zeroguide.runs.sources.replay import Replay, Value
from zeroguide.runs.sources.seen import Seen

# WebDataset calls all files of a sample alike up to the first dot. Of 17.jpg and 17.seg.png, the
# second is an annotation; but holiday.2020.jpg is a photo.
_NAMES = "alpha|depth|edges?|instances?|labels?|maps?|masks?|matte|normals?|panoptic|seg"
_ANNOTATION = re.compile(rf".*\.({_NAMES}|segmentation|semantic)\.\w+", re.I | re.DOTALL)
_DAMAGE = (tarfile.TarError, OSError, EOFError, zlib.error, ValueError)


@dataclass(frozen=True, slots=True)
class _Member:
    """A file in a tar. archive : its absolute path"""

    key: str
    name: str
    archive: str

    @property
    def path(self) -> None:
        return None


@dataclass(frozen=True, slots=True)
class PlainMember(_Member):
    """offset, size : where its bytes lie in the archive"""

    offset: int
    size: int

    @property
    def origin(self) -> str:
        return f"{self.archive}\0{self.offset}"

    def read(self) -> bytes:
        if self.size == 0:
            raise _empty(self.name)
        try:
            with open(self.archive, "rb") as file:
                if os.fstat(file.fileno()).st_size < self.offset + self.size:
                    raise ImageError(f"{self.name}: the archive ends too early; copy it again.")
                file.seek(self.offset)
                return file.read(self.size)
        except OSError as error:
            raise _unreadable(self.name, error) from None


@dataclass(frozen=True, slots=True)
class CompressedMember(_Member):
    """number : its place among the archive's images"""

    number: int

    @property
    def origin(self) -> str:
        return f"{self.archive}\0{self.number}"

    def read(self) -> bytes:
        try:
            status = os.stat(self.archive)
            replay = _replay(self.archive, status.st_size, status.st_mtime_ns)
            data = replay.get(self.number)[0]
        except IndexError:
            raise ImageError(f"{self.name}: the archive has changed; start again.") from None
        except _DAMAGE as error:
            raise _unreadable(self.name, error) from None
        if not data:
            raise _empty(self.name)
        return data


def items_of(archive: Spot, left_out: LeftOut) -> Iterator[Item]:
    """The images of a tar, in its order, and a Trouble where it can't be read.

    left_out : counts images that are left out
    """
    seen = Seen()
    found = 0
    try:
        compressed = _is_compressed(archive.path)
        with _opened(archive.path, compressed) as tar:
            for member in _images(tar, left_out):
                key = _unique(of_member(archive.key, member.name), seen)
                name = f"{archive.name}:{member.name}"
                if compressed:
                    yield CompressedMember(key, name, archive.path, found)
                else:
                    offset, size = member.offset_data, member.size
                    yield PlainMember(key, name, archive.path, offset, size)
                found += 1
    except (FileNotFoundError, NotADirectoryError, PermissionError, IsADirectoryError) as error:
        yield Trouble(archive.key, archive.name, archive.reason(error))
    except _DAMAGE as error:
        after = f"after {found} images " if found else ""
        text = f"{archive.name}: is not a tar or is damaged {after}({reason(error)})"
        yield Trouble(archive.key, archive.name, f"{text}; copy it again")


def _images(tar: tarfile.TarFile, left_out: LeftOut) -> Iterator[tarfile.TarInfo]:
    while (member := tar.next()) is not None:
        tar.members.clear()  # type: ignore[attr-defined] # it would keep them all
        parts = member.name.split("/")
        hidden = any(part.startswith(".") for part in parts if part not in (".", ".."))
        if hidden or member.issparse():
            continue
        if not IMAGE.fullmatch(parts[-1]):
            if member.isreg() and (kind := kind_of_name(parts[-1])):
                left_out[kind] += 1
            continue
        if not member.isreg():
            if member.issym() or member.islnk():
                left_out[LINKS] += 1
            continue
        if RESULT.fullmatch(parts[-1]):
            left_out[RESULTS] += 1
        elif _ANNOTATION.fullmatch(parts[-1]):
            left_out[ANNOTATIONS] += 1
        else:
            yield member


def _unique(key: str, seen: Seen) -> str:
    """A tar may hold several files of one name; the later ones get a number."""
    stem, suffix = os.path.splitext(key)
    unique, number = key, 2
    while seen.add(unique, "") is not None:
        unique, number = f"{stem}~{number}{suffix}", number + 1
    return unique


class _Header(tarfile.TarInfo):
    """A damaged header in the middle is an error: tarfile takes it for the archive's end."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> _Header:
        try:
            return super().fromtarfile(tar)
        except tarfile.HeaderError as error:
            if type(error).__name__ in ("InvalidHeaderError", "TruncatedHeaderError"):
                raise tarfile.ReadError(str(error)) from None
            raise


def _is_compressed(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == b"\x1f\x8b"


@contextlib.contextmanager
def _opened(path: str, compressed: bool) -> Iterator[tarfile.TarFile]:
    with contextlib.ExitStack() as stack:
        options: dict[str, Any] = {"mode": "r:", "name": path}
        if compressed:
            # not mode "r|gz", which takes a stream that was cut off for a short one
            options = {"mode": "r|", "fileobj": stack.enter_context(gzip.open(path))}
        yield stack.enter_context(tarfile.open(**options, tarinfo=_Header))


@functools.lru_cache(maxsize=4)
def _replay(path: str, size: int, changed: int) -> Replay:
    """The images of a compressed tar by number; size and time make a changed file another one."""

    def read_from(_: int) -> Iterator[tuple[int, Value]]:
        with _opened(path, compressed=True) as tar:
            for number, member in enumerate(_images(tar, Counter())):
                file = tar.extractfile(member)
                yield number, (file.read() if file else b"", None)

    return Replay(read_from, lambda number: 0)


def _empty(name: str) -> ImageError:
    return ImageError(f"{name}: is empty (0 bytes); copy or export it again.")


def _unreadable(name: str, error: Exception) -> ImageError:
    return ImageError(f"{name}: can't be read ({reason(error)}); copy the archive again.")
