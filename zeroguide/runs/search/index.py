"""A run's index as of now: the one on disk if nothing changed since, else a new one.

    OUT/.search.safetensors   a copy of what the results hold; it may be deleted at any time

The index remembers size, time of change and inode of every file of results. A result is only ever
replaced by a new file that is renamed to its name, and two files that exist at once never share an
inode, so one look at the folders shows every change, without opening a file. What didn't change is
copied from the old index instead of being read again.

Failure modes: a copy of a run has new inodes, so its first search reads all results. The results
of a cluster, many in a file, are all read again when one of the files changed.
"""

from __future__ import annotations

import base64
import contextlib
import json
import mmap
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np

from zeroguide.errors import ZeroguideError
from zeroguide.result.provenance import differences, made_alike
from zeroguide.runs.label_maps import check_finished
from zeroguide.runs.layout import PARTS, is_result, json_files, key_of, part_files
from zeroguide.runs.run_folder import RunFolder
from zeroguide.runs.search.index_file import Described, Index, Stamp, load, parse, write
from zeroguide.system.files import write_atomically

FILE = ".search.safetensors"
_STEP = 100  # images between two signs of life

T = TypeVar("T")


def open_index(
    run: RunFolder,
    *,
    note: Callable[[str], None] = lambda text: None,
    step: Callable[[str], None] = lambda text: None,
) -> Index:
    """The index, which is written if it had to be made.

    note, step: are told remarks, and what is being done. Raises ZeroguideError for a run without
    embeddings, of several recipes, or with a damaged result.
    """
    check_finished(run.path)
    recipe = run.manifest.recipe if run.manifest else next(iter(run)).labeling.recipe
    old = load(run.path / FILE)
    if old is not None and not made_alike(old.recipe, recipe):
        old = None
    known = old.known_files() if old else {}
    try:
        parts = part_files(run.path)
        if parts:
            files = {f"{PARTS}/{path.name}": _stamp(path.stat()) for path in parts}
        else:
            files = {
                name: stamp
                for name, stamp in sorted(_json_files(run.path))
                if known.get(name) == stamp or is_result(run.path / name)
            }
        if old is not None and files == known:
            return old
        images = _from_parts(parts) if parts else _from_json(run.path, files, old, known)
        return _make(run.path, _alike(images, recipe), recipe, files, note, step)
    except OSError as error:
        place = error.filename or run.path
        raise ZeroguideError(f"{place}: can't be read ({error.strerror})") from None


def _json_files(folder: Path) -> Iterator[tuple[str, Stamp]]:
    """The files in which `RunFolder` would look for results, and their stamps."""
    for path in json_files(folder):
        with contextlib.suppress(FileNotFoundError):  # gone since it was listed
            yield path.relative_to(folder).as_posix(), _stamp(path.stat())


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_size, status.st_mtime_ns, status.st_ino & (2**63 - 1)


Made = tuple[Described, Any]
"""What an image's result holds, and its recipe."""


def _from_json(
    folder: Path, files: dict[str, Stamp], old: Index | None, known: dict[str, Stamp]
) -> Iterator[Made]:
    """The results in these files, from the old index if they didn't change."""
    place = {name: i for i, name in enumerate(known)}
    for name, stamp in files.items():
        if old is None or known.get(name) != stamp:
            yield _read(folder / name, key_of(name), (folder / name).read_bytes())
            continue
        i = place[name]
        own = slice(old.first[i], old.first[i + 1])
        labels = [old.labels[j] for j in old.label[own]]
        yield Described(old.keys[i], labels, old.embeddings[own] if labels else None), old.recipe


def _from_parts(parts: list[Path]) -> Iterator[Made]:
    from zeroguide.runs.parts import read_parts

    for key, text in read_parts(parts):
        yield _read(parts[0].parent, key, text)


def _read(path: Path, key: str, text: str | bytes) -> Made:
    """A result without its masks, which `Labeling` spends most of its time on."""
    try:
        content = json.loads(text)
        entries, recipe = content["segments"], content["recipe"]
        labels = [str(entry["label"]) for entry in entries]
        encoded = [entry["embedding"] for entry in entries if "embedding" in entry]
        if not encoded:
            return Described(key, labels, None), recipe
        if len(encoded) < len(labels):
            raise ValueError("some segments have an embedding, others don't")
        rows = [np.frombuffer(base64.b64decode(row, validate=True), "<f2") for row in encoded]
        embeddings = np.stack(rows)  # (n, e)
        if not (embeddings.size and np.isfinite(embeddings).all()):
            raise ValueError("an embedding isn't finite numbers")
        return Described(key, labels, embeddings), recipe
    except (ValueError, KeyError, TypeError) as error:
        raise ZeroguideError(
            f"{path}: the result of {key} is damaged ({type(error).__name__}: {error}); delete it "
            "and label again"
        ) from None


def _alike(images: Iterable[Made], recipe: dict[str, Any]) -> Iterator[Described]:
    """The images, as long as their recipe is the run's."""
    for image, own in images:
        if own != recipe and not made_alike(recipe, own):
            what = "; ".join(differences(recipe, own)) if isinstance(own, dict) else "none"
            raise ZeroguideError(
                f"the result of {image.key} is of another recipe ({what}), so that embeddings "
                "can't be compared; label all images again with --overwrite"
            )
        yield image


def _make(
    folder: Path,
    images: Iterable[Described],
    recipe: dict[str, Any],
    files: dict[str, Stamp],
    note: Callable[[str], None],
    step: Callable[[str], None],
) -> Index:
    """Write the index beside the results; where that can't be done, it is made for this once."""
    try:
        with _scratch_file(folder) as file:
            write(file, _telling(images, step), recipe, files)
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        if error.filename:  # a result that can't be read
            raise
        raise ZeroguideError(
            f"{folder}: its search index can't be made ({error.strerror}); make room there"
        ) from None
    except ZeroguideError as error:
        text = str(error)
        raise ZeroguideError(
            text if text.startswith(f"{folder}") else f"{folder}: {text}"
        ) from None
    try:
        write_atomically(folder / FILE, content)  # type: ignore[arg-type]  # as good as bytes
    except ZeroguideError as error:
        cause = error.__cause__ or error.__context__
        reason = cause.strerror if isinstance(cause, OSError) else error
        note(
            f"{folder}: its search index can't be kept there ({reason}), so the next search reads "
            "all results again"
        )
    return parse(content)


def _scratch_file(folder: Path) -> IO[bytes]:
    """A file without a name: beside the results, where there is room for them, if it can be."""
    try:
        return tempfile.TemporaryFile(dir=folder)
    except OSError:
        return tempfile.TemporaryFile()


def _telling(items: Iterable[T], step: Callable[[str], None]) -> Iterator[T]:
    for n, item in enumerate(items):
        if n % _STEP == 0:
            step(f"reading the embeddings of image {n + 1}")
        yield item
