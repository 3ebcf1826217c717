"""Pictures, archives and folders for the tests, and what `find_items` finds in them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import PIL.Image
import pytest

from zeroguide.errors import ImageError, UsageError
from zeroguide.runs.sources import Item, Items, find_items


def picture(colour: int, kind: str = "JPEG") -> bytes:
    """A small picture of one colour, so that it can be told from others."""
    data = io.BytesIO()
    PIL.Image.new("RGB", (8, 8), (colour * 37 % 256, colour * 11 % 256, 0)).save(data, format=kind)
    return data.getvalue()


def made(folder: Path, *names: str) -> None:
    """Files, each with its own name as content."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def packed(path: Path, members: Mapping[str, bytes], mode: str = "w") -> None:
    """A tar with these members."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def items(*inputs: str, output: str = "out", notes: list[str] | None = None) -> Items:
    return find_items(inputs, Path(output), (notes if notes is not None else []).append)


def keys(*inputs: str, output: str = "out", notes: list[str] | None = None) -> list[str]:
    """The keys, which must be the same at a second look."""
    found = items(*inputs, output=output, notes=notes)
    first = [item.key for item in found]
    assert [item.key for item in found] == first
    assert len(set(first)) == len(first)
    return first


def refusal(*inputs: str) -> str:
    """The sentence about inputs that are refused at once."""
    with pytest.raises(UsageError) as caught:
        items(*inputs)
    return one_sentence(caught.value)


def failure(item: Item) -> str:
    """The sentence about an image that can't be read."""
    with pytest.raises(ImageError) as caught:
        item.read()
    return one_sentence(caught.value)


def one_sentence(error: Exception) -> str:
    text = str(error)
    assert "\n" not in text.strip() and ";" in text
    return text
