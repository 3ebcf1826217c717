"""A run over many images, read again: what run.json says of it, and its results one by one."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.result import Labeling
from zeroguide.result.entry import Entry
from zeroguide.runs.layout import MANIFEST, PARTS, key_of, part_files, result_path, results
from zeroguide.runs.sources.keys import Places
from zeroguide.system.files import write_atomically

SCHEMA = "zeroguide-run/1"


@dataclass
class Manifest:
    """What run.json says.

    recipe: as in every result (`result.provenance`). roots: folders; an image's file is a root
    and its key, where the image is a local file. counts: images "labelled", "kept" from earlier
    runs and "failed", of the last run that ended. replacing: results of other recipes may still be
    there and are to be replaced.
    """

    recipe: dict[str, Any]
    roots: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    replacing: bool = False

    @classmethod
    def read(cls, folder: str | PathLike[str]) -> Manifest | None:
        """The manifest of a folder, None if it has none. UsageError for a damaged one."""
        folder = Path(folder)
        path = folder / MANIFEST
        try:
            content = json.loads(path.read_bytes())
            if content["schema"] != SCHEMA:
                raise ValueError(f"schema {content['schema']!r}")
            recipe, roots, counts = (content[key] for key in ("recipe", "roots", "counts"))
            parts = [recipe, recipe.get("versions", {}), recipe.get("settings", {}), counts]
            if not (all(isinstance(part, dict) for part in parts) and isinstance(roots, list)):
                raise TypeError("a field has the wrong type")
            replacing = bool(content.get("replacing", False))
            return cls(recipe, [str(root) for root in roots], counts, replacing)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise UsageError(f"{path}: can't be read ({error.strerror})") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f"{path}: is damaged ({type(error).__name__}: {error}); delete this one file and "
                "run the same command again: results that are there are kept"
            ) from None

    def write(self, folder: str | PathLike[str], name: str = MANIFEST) -> None:
        """Raises ZeroguideError if it can't be written."""
        folder = Path(folder)
        content = {
            "schema": SCHEMA,
            "recipe": self.recipe,
            "roots": self.roots,
            "counts": self.counts,
            **({"replacing": True} if self.replacing else {}),
        }
        # ASCII: names of folders need not be valid UTF-8.
        text = json.dumps(content, indent=1)
        write_atomically(folder / name, (text + "\n").encode())


class RunFolder:
    """The results of a run, in the order of their keys; read one at a time, as often as asked.

    Raises UsageError for a folder that isn't there or holds no result.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise UsageError(
                f"{self.path}: is not a folder; name the one that `zeroguide label -o` has written"
            )
        self.manifest = Manifest.read(self.path)
        self.places = Places()
        self._roots = [Path(root) for root in self.manifest.roots] if self.manifest else []
        if next(self._keys(), None) is None:
            raise UsageError(
                f"{self.path}: holds no labels; name the folder that `zeroguide label -o` has "
                "written"
            )

    def keys(self) -> list[str]:
        """Of all labelled images, sorted."""
        return sorted(self._keys())

    def __iter__(self) -> Iterator[Entry[Labeling]]:
        """Raises ZeroguideError for a damaged result."""
        if parts := part_files(self.path):
            yield from self._from_parts(parts)
            return
        for key in self.keys():
            labeling = Labeling.load(result_path(self.path, key))
            yield Entry(key, labeling, self._image(key, labeling.sha256))

    def _image(self, key: str, sha256: str) -> Path | None:
        """The file of an image; if it may be one of several, that with its content."""
        paths = (Path(self.places.path(root, key)) for root in self._roots)
        files = [path for path in paths if path.is_file()]
        if len(files) > 1:
            files = [file for file in files if _sha256(file) == sha256]
        return files[0] if files else None

    def _keys(self) -> Iterator[str]:
        if parts := part_files(self.path):
            from zeroguide.runs.parts import read_keys

            yield from read_keys(parts)
            return
        for path in results(self.path):
            yield key_of(path.relative_to(self.path).as_posix())

    def _from_parts(self, parts: list[Path]) -> Iterator[Entry[Labeling]]:
        from zeroguide.runs.parts import read_parts

        for key, content in read_parts(parts):
            try:
                labeling = Labeling.from_dict(json.loads(content))
            except ValueError as error:
                raise ZeroguideError(
                    f"{self.path / PARTS}: the result of {key} is damaged ({error}); label again"
                ) from None
            yield Entry(key, labeling, self._image(key, labeling.sha256))


def _sha256(path: Path) -> str | None:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:  # it has gone meanwhile
        return None
