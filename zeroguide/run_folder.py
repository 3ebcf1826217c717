"""The folder of a run over many images: where results lie, and how they are read again.

    OUT/run.json         what the run is: recipe, versions, where the images are, counts
    OUT/a/x.jpg.json     the labels of the image a/x.jpg (schema zeroguide/1)
    OUT/a/x.jpg.png      its overlay, if wanted
    OUT/failures.jsonl   images that failed, one {"key", "file", "error"} a line
    OUT/parts/*.parquet  instead of the JSON files: results of a cluster, many images a file
    OUT/exports/         what `zeroguide export` writes

An image's JSON is written last and whole, so that it is there exactly if the image is done.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.files import write_atomically

if TYPE_CHECKING:
    from zeroguide.labeling import Labeling

SCHEMA = "zeroguide-run/1"
MANIFEST, FAILURES, PARTS, EXPORTS = "run.json", "failures.jsonl", "parts", "exports"


@dataclass
class Manifest:
    """What run.json says.

    recipe: as in every result (`zeroguide.provenance`). roots: folders; an image's file is a root
    and its key, where the image is a local file. counts: images "labelled", "kept" from earlier
    runs and "failed", of the last run that ended.
    """

    recipe: dict[str, Any]
    roots: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Manifest | None:
        """The manifest of a folder, None if it has none. UsageError for a damaged one."""
        path = folder / MANIFEST
        try:
            content = json.loads(path.read_bytes())
            if content["schema"] != SCHEMA:
                raise ValueError(f"schema {content['schema']!r}")
            recipe, roots, counts = (content[key] for key in ("recipe", "roots", "counts"))
            if not (isinstance(recipe, dict) and isinstance(roots, list)):
                raise TypeError("a field has the wrong type")
            return cls(recipe, [str(root) for root in roots], dict(counts))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UsageError(f"{path}: can't be read ({error.strerror})") from error
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{path}: is damaged ({type(error).__name__}: {error}); delete this one file and "
                "run the same command again: results that are there are kept"
            ) from error

    def write(self, folder: Path, name: str = MANIFEST) -> None:
        """Raises ZeroguideError if it can't be written."""
        content = {
            "schema": SCHEMA,
            "recipe": self.recipe,
            "roots": self.roots,
            "counts": self.counts,
        }
        text = json.dumps(content, indent=1, ensure_ascii=False)
        write_atomically(folder / name, (text + "\n").encode())


@dataclass(frozen=True)
class Entry:
    """One labelled image of a run: its key, its labels, and its file where that is still there."""

    key: str
    labeling: Labeling
    image: Path | None


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
        self._roots = [Path(root) for root in self.manifest.roots] if self.manifest else []
        if next(self._keys(), None) is None:
            raise UsageError(
                f"{self.path}: holds no labels; name the folder that `zeroguide label -o` has "
                "written"
            )

    def keys(self) -> list[str]:
        """Of all labelled images, sorted."""
        return sorted(self._keys())

    def __iter__(self) -> Iterator[Entry]:
        """Raises ZeroguideError for a damaged result."""
        from zeroguide.formats import json_  # numpy: not when only the names are needed

        if self._parts():
            yield from self._from_parts()
            return
        for key in self.keys():
            labeling = json_.load(result_path(self.path, key))
            yield Entry(key, labeling, self._image(key))

    def _image(self, key: str) -> Path | None:
        return next((root / key for root in self._roots if (root / key).is_file()), None)

    def _keys(self) -> Iterator[str]:
        if self._parts():
            from zeroguide.runs.parts import read_keys

            yield from read_keys(self._parts())
            return
        for place, folders, files in os.walk(self.path):
            top = Path(place) == self.path
            folders[:] = [f for f in folders if not (f.startswith(".") or (top and f == EXPORTS))]
            for name in files:
                if not name.endswith(".json") or name.startswith(".") or (top and name == MANIFEST):
                    continue
                path = Path(place, name)
                if _is_result(path):
                    yield path.relative_to(self.path).as_posix().removesuffix(".json")

    def _parts(self) -> list[Path]:
        return sorted((self.path / PARTS).glob("*.parquet"))

    def _from_parts(self) -> Iterator[Entry]:
        from zeroguide.labeling import Labeling
        from zeroguide.runs.parts import read_parts

        for key, content in read_parts(self._parts()):
            try:
                labeling = Labeling.from_dict(json.loads(content))
            except ValueError as error:
                raise ZeroguideError(
                    f"{self.path / PARTS}: the result of {key} is damaged ({error}); label again"
                ) from error
            yield Entry(key, labeling, self._image(key))


def result_path(folder: Path, key: str) -> Path:
    """The JSON file of an image."""
    return folder / f"{key}.json"


def overlay_path(folder: Path, key: str) -> Path:
    """The overlay of an image."""
    return folder / f"{key}.png"


def _is_result(path: Path) -> bool:
    """Whether a JSON file begins like a result: other files may lie in the folder, too."""
    from zeroguide.labeling import SCHEMA as LABELING

    try:
        with open(path, "rb") as file:
            return f'"{LABELING}"'.encode() in file.read(200)
    except OSError as error:
        raise ZeroguideError(f"{path}: can't be read ({error.strerror})") from error
