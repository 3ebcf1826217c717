"""The file of a run's embeddings, memory-mapped: what a search compares with its text.

It is a safetensors file, written as a stream: a run's embeddings needn't fit into memory.
"""

from __future__ import annotations

import json
import math
import mmap
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from zeroguide.errors import ZeroguideError

SCHEMA = "zeroguide-search/1"
# The file's tensors: their types in safetensors' terms and in numpy's.
_TENSORS = {
    "embeddings": ("F16", "<f2"),
    "first": ("I64", "<i8"),
    "label": ("I32", "<i4"),
    "stamps": ("I64", "<i8"),
    "names": ("U8", "<u1"),  # JSON: what isn't numbers
}
# Bytes of the size and the header, which is written last: safetensors allows spaces at its end.
_HEADER = 1024

Stamp = tuple[int, int, int]
"""A file's size, time of change in nanoseconds, and inode."""


class Described(NamedTuple):
    """What the index keeps of an image: its segments' labels and (n, e) float16 embeddings.

    embeddings: None if it was labelled without.
    """

    key: str
    labels: list[str]
    embeddings: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Index:
    """The segments of a run's images, image after image, each image's in the order of their ids.

    recipe: how all of them were made (`zeroguide.result.provenance`). keys: of the images. first:
    (images + 1,) int64; image i has the rows first[i] to first[i + 1], its segment 1 first; none if
    it was labelled without embeddings. label: (n,) int32, each segment's place in labels.
    embeddings: (n, e) float16, unit vectors up to rounding; n is at least 1. files, stamps: what
    it was made from; stamps is (files, 3) int64.
    """

    recipe: dict[str, Any]
    keys: list[str]
    labels: list[str]
    files: list[str]
    first: np.ndarray
    label: np.ndarray
    stamps: np.ndarray
    embeddings: np.ndarray

    @property
    def n_without(self) -> int:
        """Images that were labelled without embeddings."""
        return int((self.first[1:] == self.first[:-1]).sum())

    def images(self, rows: np.ndarray) -> np.ndarray:
        """The images, as places in keys, that segments belong to; both (k,) int64."""
        return np.searchsorted(self.first, rows, side="right") - 1

    def known_files(self) -> dict[str, Stamp]:
        """The files it was made from, with their stamps."""
        stamps = map(tuple, self.stamps.tolist())
        return dict(zip(self.files, stamps, strict=True))


def load(path: Path) -> Index | None:
    """The index in a file; None if there is none, or a damaged one."""
    try:
        with open(path, "rb") as file:
            return parse(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def parse(content: mmap.mmap) -> Index:
    """The index in a file's bytes, which stay where they are.

    Raises ValueError, KeyError, TypeError or IndexError if they are damaged.
    """
    if int.from_bytes(content[:8], "little") != _HEADER - 8:
        raise ValueError("another header")
    header = json.loads(content[8:_HEADER])
    arrays: dict[str, np.ndarray] = {}
    for name, (kind, dtype) in _TENSORS.items():
        shape, (start, end) = header[name]["shape"], header[name]["data_offsets"]
        count = math.prod(shape)
        if header[name]["dtype"] != kind or end - start != count * np.dtype(dtype).itemsize:
            raise ValueError(f"{name} is of another type or size")
        arrays[name] = np.frombuffer(content, dtype, count, _HEADER + start).reshape(shape)
    names: dict[str, Any] = json.loads(arrays.pop("names").tobytes())
    if names.pop("schema") != SCHEMA:
        raise ValueError("another schema")
    index = Index(**{**names, **arrays})
    n = len(index.label)
    if (
        index.embeddings.ndim != 2
        or len(index.embeddings) != n
        or index.first.shape != (len(index.keys) + 1,)
        or (index.first[0], index.first[-1]) != (0, n)
        or (np.diff(index.first) < 0).any()
        or index.label.min() < 0
        or index.label.max() >= len(index.labels)
        or index.stamps.shape != (len(index.files), 3)
    ):
        raise ValueError("its parts don't fit together")
    return index


def write(
    file: IO[bytes], images: Iterable[Described], recipe: dict[str, Any], files: dict[str, Stamp]
) -> None:
    """Fill an empty file: the embeddings of one image after the other, then what goes with them.

    Raises ZeroguideError if there are none, or embeddings of different lengths.
    """
    file.write(bytes(_HEADER))
    keys: list[str] = []
    first, label = array("q", [0]), array("i")
    number: dict[str, int] = {}  # of each label
    length = 0
    for key, labels, embeddings in images:
        keys.append(key)
        if embeddings is not None:
            if length not in (0, embeddings.shape[1]):
                raise ZeroguideError(
                    f"{key}: its embeddings have {embeddings.shape[1]} numbers where others have "
                    f"{length}, so another model made them; label all images again with --overwrite"
                )
            length = embeddings.shape[1]
            file.write(embeddings.astype("<f2", copy=False).tobytes())
            label.extend(number.setdefault(text, len(number)) for text in labels)
        first.append(len(label))
    if not label:
        raise ZeroguideError(
            "no embeddings, which a search compares; label the images again with --overwrite and "
            "without --no-embeddings"
        )
    names = {
        "schema": SCHEMA,
        "recipe": recipe,
        "keys": keys,
        "labels": list(number),
        "files": list(files),
    }
    tensors = {
        "first": np.array(first),
        "label": np.array(label),
        "stamps": np.array(list(files.values())),
        "names": np.frombuffer(json.dumps(names).encode(), np.uint8),
    }
    end = 2 * len(label) * length
    header = {"embeddings": _described("embeddings", (len(label), length), 0, end)}
    for name, tensor in tensors.items():
        data = tensor.astype(_TENSORS[name][1]).tobytes()
        file.write(data)
        header[name] = _described(name, tensor.shape, end, end + len(data))
        end += len(data)
    file.seek(0)
    file.write((_HEADER - 8).to_bytes(8, "little"))
    file.write(json.dumps(header).encode().ljust(_HEADER - 8))
    file.flush()


def _described(name: str, shape: tuple[int, ...], start: int, end: int) -> dict[str, Any]:
    return {"dtype": _TENSORS[name][0], "shape": list(shape), "data_offsets": [start, end]}
