"""A run over many images, read again: what run.json says of it, and its results one by one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.result import Labeling
from zeroguide.result.entry import Entry
from zeroguide.runs.label_maps import check_finished
from zeroguide.runs.layout import MANIFEST, PARTS, key_of, part_files, result_path, results
from zeroguide.runs.photos import Photos
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

    photos_at: a folder to which the photos have moved; see `Photos`.
    Raises UsageError for a folder that isn't there or holds no result, and for `photos_at` if it
    isn't one or no photo of the run is there.
    """

    def __init__(
        self, path: str | PathLike[str], *, photos_at: str | PathLike[str] | None = None
    ) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise UsageError(
                f"{self.path}: is not a folder; name the one that `zeroguide label -o` has written"
            )
        self.manifest = Manifest.read(self.path)
        self.photos = Photos(self.manifest.roots if self.manifest else [], photos_at)
        if next(self._keys(), None) is None:
            raise UsageError(
                f"{self.path}: holds no labels; name the folder that `zeroguide label -o` has "
                "written"
            )
        self.photos.check_moved(self._keys())

    def keys(self) -> list[str]:
        """Of all labelled images, sorted."""
        return sorted(self._keys())

    def __iter__(self) -> Iterator[Entry[Labeling]]:
        """Raises ZeroguideError for a damaged result, UsageError for a run half renamed."""
        check_finished(self.path)
        if parts := part_files(self.path):
            yield from self._from_parts(parts)
            return
        for key in self.keys():
            labeling = Labeling.load(result_path(self.path, key))
            yield Entry(key, labeling, self.photos.find(key, labeling.sha256))

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
            yield Entry(key, labeling, self.photos.find(key, labeling.sha256))
