"""A folder of predictions, ours or anybody's, matched with a data set's images.

It holds, for every image of the data set, one of

- `NAME.json` or `NAME.jpg.json` as `zeroguide label` writes them (pictures beside them don't
  matter);
- in one JSON file, COCO results (a list of image_id, category_id, segmentation, score) with a
  second file of its `categories` (and `images`), or COCO instances, which have all in one;
- COCO's panoptic format: one JSON file and PNGs of colours (see `prediction_panoptic`);
- `NAME.png`, grey, palette or 16-bit, each pixel the number of its segment, and the names of the
  numbers, one per line from number 0, in `NAME.txt` or for all images in `names.txt`. Without
  either, number 3 is called "cluster 3", for protocols that need no names. 255 (65535 with 16 bits)
  means no segment, unless there are that many names; so does 0 called "(no label)".
  Where there are `NAME.jpg.map.png`, as `zeroguide discover` writes them, they are the label maps
  and other pictures don't matter.

Names are matched without endings, see `prediction_names`. In COCO results an image without any
result is one in which nothing was found; the other formats name every image. A segment of COCO's
may overlap others: the pixel's label is that of the highest score, and masks as they are go to AR
and AP. Names are looked up in a listing, so the check of a folder before the run reads headers and
JSON, but pixels of the panoptic format alone: a damaged file is a failed image, not an end. JSON
that is plainly no prediction, such as results of an evaluation, is passed over.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zeroguide.errors import UsageError
from zeroguide.evaluate.datasets.files import image_size
from zeroguide.evaluate.predictions.coco import coco_files
from zeroguide.evaluate.predictions.files import (
    NAMES_FILE,
    PredictionFile,
    kind_of,
    label_map_file,
    labeling_file,
    read_names,
)
from zeroguide.evaluate.predictions.panoptic import is_panoptic, panoptic_files
from zeroguide.evaluate.predictions.prediction import Prediction
from zeroguide.runs.layout import EXPORTS, MANIFEST
from zeroguide.runs.masks.names import Matches, match, plain, some, without_ending

if TYPE_CHECKING:
    from zeroguide.evaluate.datasets import Dataset, Sample

MAP = ".map.png"


class FolderPredictions:
    """The predictions in a folder; UsageError if it holds none, or two for one image."""

    device_name: str | None = None
    named: bool
    """Whether segments have names; not so for label maps without any list of names."""
    notes: tuple[str, ...] = ()
    """What was left out of the files, a sentence each."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        folder = Path(folder)
        if not folder.is_dir():
            raise UsageError(f"{folder}: no such folder; name the folder of the predictions.")
        self.folder = folder
        paths = sorted(_walk(folder))
        pictures = [p for p in paths if p.suffix.lower() == ".png"]
        kinds = {p: kind_of(p) for p in paths if p.suffix.lower() == ".json"}
        ours = [path for path, (kind, _) in kinds.items() if kind == "ours"]
        coco = {path: content for path, (kind, content) in kinds.items() if kind == "coco"}
        self._passed_over = {
            _image_name(folder, path): path for path, (kind, _) in kinds.items() if kind == "other"
        }
        self.named = True
        self._open: Path | None = None  # the file that tells of an image by its segments alone
        self._matches = Matches()
        if ours and coco:
            raise UsageError(
                f"{folder}: holds results of zeroguide ({ours[0].name}) and JSON of COCO's formats "
                f"({min(coco).name}); leave one kind there."
            )
        if ours:
            self._read = ours
            self._files = _by_name(folder, ((p, labeling_file(p)) for p in ours))
        elif any(map(is_panoptic, coco.values())):
            self._files = panoptic_files(folder, coco, pictures)
            used = {file.path for file in self._files.values()}
            self._read = [*coco, *(p for p in pictures if p in used)]
        elif coco:
            self._read = list(coco)
            found = coco_files(folder, coco)
            self._files, self._open = found.images, found.path if found.open else None
            self.notes = () if found.note is None else (found.note,)
        else:
            # Beside the maps of `zeroguide discover` lie overlays and a sheet of its classes.
            pictures = [p for p in pictures if p.name.endswith(MAP)] or pictures
            names = read_names(folder / NAMES_FILE)
            wanted = {folder / NAMES_FILE, *(p.with_suffix(".txt") for p in pictures)}
            lists = [p for p in paths if p in wanted]
            self._read = pictures + lists
            self.named = bool(lists)
            self._files = _by_name(folder, ((p, label_map_file(p, names)) for p in pictures))
        if not self._files and self._open is None:
            raise UsageError(
                f"{folder}: holds no predictions; put NAME.json, COCO results or NAME.png there."
            )

    @property
    def names(self) -> list[str]:
        """How the folder calls the images it has predictions for."""
        return sorted(self._files)

    def check(self, dataset: Dataset, known: Iterable[str]) -> None:
        """UsageError about the first image without a prediction, or of another size, or prediction
        without an image.

        Args:
            known: all names of the data set, also those that aren't to be scored this time.
        """
        known = [*known, *(sample.name for sample in dataset)]
        self._matches = match(dict.fromkeys(known), self._files)
        for sample in dataset:
            file = self._file(sample.name)
            if file is None:
                continue
            truth, predicted = _size(sample), file.size()
            if predicted not in (None, truth):
                raise UsageError(
                    f"{file.path}: is {predicted[1]} x {predicted[0]} pixels but the image "
                    f"{sample.name} is {truth[1]} x {truth[0]}; predict at the image's size."
                )
            if file.check is not None:
                file.check()
        unclear = {name for names in self._matches.unclear.values() for name in names}
        others = self._files.keys() - self._matches.names.values() - unclear
        if others:
            name = min(others)
            raise UsageError(
                f"{self._files[name].path}: holds a prediction for {name}, which isn't in the data "
                f"set {dataset.name}; choose the split it belongs to or take it away."
            )

    def start(self) -> None:
        """Nothing to load."""

    def predict(self, sample: Sample) -> Prediction:
        """The sample's segments; ZeroguideError if the file is damaged."""
        if sample.name not in self._matches.names:  # nobody asked for a check
            self._matches = match([sample.name], self._files)
        file = self._file(sample.name)
        if file is not None and file.read is not None:
            return file.read()
        return Prediction(np.full(_size(sample), -1, dtype=np.int32), [], np.zeros(0))

    def class_embeddings(self, texts: Sequence[str]) -> np.ndarray | None:
        """None: files hold no embeddings."""
        return None

    def peak_memory(self) -> float:
        """NaN: of the program that made them nothing is known."""
        return float("nan")

    def fingerprint(self) -> str:
        """Changes when a file does, names and categories too: rows of others are never mixed in."""
        digest = hashlib.sha256()
        for path in sorted(self._read):
            stat = path.stat()
            name = path.relative_to(self.folder).as_posix()
            digest.update(f"{name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
        return digest.hexdigest()[:16]

    def _file(self, image: str) -> PredictionFile | None:
        """An image's prediction; None: nothing was found in it. UsageError if it has none."""
        if image in self._matches.names:
            return self._files[self._matches.names[image]]
        if image in self._matches.unclear:
            raise UsageError(
                f"{self.folder}: has nothing that is surely the prediction for the image {image}: "
                f"it may be {some(self._matches.unclear[image])}; name it with the image's folders."
            )
        if self._open is not None:
            return None
        strange = self._passed_over.get(image) or self._passed_over.get(image.rpartition("/")[2])
        if strange is not None:
            raise UsageError(
                f"{strange}: is named like the image {image} but is no prediction; write it again."
            )
        raise UsageError(
            f"{self.folder}: has no prediction for the image {image}, but for "
            f"{some(self._files)}; add it or choose images with --limit or --split."
        )


def _walk(folder: Path) -> Iterator[Path]:
    """All files below a folder, hidden ones and the exports of a run excepted."""
    for parent, folders, files in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if not (name.startswith(".") or (name == EXPORTS and MANIFEST in files))
        ]
        yield from (Path(parent) / name for name in files if not name.startswith("."))


def _image_name(folder: Path, path: Path) -> str:
    """The image that a file is named after."""
    name = path.relative_to(folder)
    name = (
        name.with_name(name.name.removesuffix(MAP))
        if name.name.endswith(MAP)
        else name.with_suffix("")
    )
    return plain(without_ending(name.as_posix()))  # photo.jpg.json


def _by_name(
    folder: Path, files: Iterable[tuple[Path, PredictionFile]]
) -> dict[str, PredictionFile]:
    """Files by the image's name; UsageError for two of one name."""
    found: dict[str, PredictionFile] = {}
    for path, file in files:
        key = _image_name(folder, path)
        if key in found:
            raise UsageError(
                f"{path}: is a second prediction for {key}, beside {found[key].path.name}; keep "
                "one of them."
            )
        found[key] = file
    return found


def _size(sample: Sample) -> tuple[int, int]:
    if sample.image is not None:
        return image_size(sample.image)
    height, width = sample.semantic().shape
    return height, width
