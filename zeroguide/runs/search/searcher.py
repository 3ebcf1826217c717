"""Segments of a run, ranked by the cosine of their embedding and a text's."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.models import choose_device, load_clip, prepare
from zeroguide.recipe import Recipe
from zeroguide.runs.run_folder import RunFolder
from zeroguide.runs.search.index import open_index
from zeroguide.runs.search.index_file import Index
from zeroguide.system.device_errors import on_device

_BLOCK = 4096  # embeddings at a time in float32: 8 MB of 512 numbers, which stay in the cache


@dataclass(frozen=True)
class Hit:
    """A segment that was found.

    key: of its image in the run. segment: its id there, from 1. label: what it was named. cosine:
    of its embedding and the text, -1 to 1, comparable within one recipe only. image: the image's
    file, None where it isn't any more, or never was a file of its own.
    """

    key: str
    segment: int
    label: str
    cosine: float
    image: Path | None


class Searcher:
    """A run and the CLIP that has seen it, for any number of searches.

    Args:
        run: the folder that `zeroguide label` wrote, or what reads it.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps": where texts are read.
        offline: never ask the hub.
        note, step: are told remarks, and what is being done.

    Raises:
        UsageError: not a run, or no such device.
        WeightsError: the CLIP can't be had or read.
        ZeroguideError: the run has no embeddings, results of several recipes, or a damaged one.
    """

    def __init__(
        self,
        run: RunFolder | str | os.PathLike[str],
        *,
        device: str = "auto",
        offline: bool = False,
        note: Callable[[str], None] = lambda text: None,
        step: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.run = run if isinstance(run, RunFolder) else RunFolder(run)
        self.index = open_index(self.run, note=note, step=step)
        if n := self.index.n_without:
            note(
                f"{n} of {len(self.index.keys)} images were labelled without embeddings and can't "
                "be found; label them again with --overwrite"
            )
        recipe = _recipe(self.index.recipe, self.run.path)
        step(f"loading {recipe.models.clip}")
        prepare({"clip": recipe.models.clip}, offline=offline)
        from zeroguide.clip import TextEncoder  # imports torch: what is missing is said before

        self.device = choose_device(device)
        clip = load_clip(recipe.models.clip, device=self.device, offline=offline)
        self._texts = TextEncoder(clip)
        self._template = f"{recipe.decoder.prompt} {{}}".strip()

    def find(self, text: str, n: int = 20, *, per_image: int | None = None) -> list[Hit]:
        """The n segments most like a text, best first; fewer if there are no more.

        text: read by CLIP after the recipe's prompt, as a label is. per_image: at most so many of
        one image. Segments that are equally like it come in the order of keys and ids.

        Raises UsageError for an empty text, ZeroguideError if the CLIP isn't the one whose
        embeddings the run holds.
        """
        if n < 1 or (per_image is not None and per_image < 1):
            raise ValueError(f"n and per_image must be at least 1, got {n} and {per_image}")
        query = self._embed(query_text(text))
        index = self.index
        cosines = cosines_with(index.embeddings, query)
        rows = best_rows(index, cosines, n, per_image)
        found = []
        for row, image in zip(rows.tolist(), index.images(rows).tolist(), strict=True):
            key = index.keys[image]
            found.append(
                Hit(
                    key=key,
                    segment=row - int(index.first[image]) + 1,
                    label=index.labels[index.label[row]],
                    cosine=float(cosines[row]),
                    image=self._image(key),
                )
            )
        return found

    @on_device
    def _embed(self, text: str) -> np.ndarray:
        """A text as a unit vector (e,) float32."""
        embedded = self._texts.embed([self._template.replace("{}", text)])[0]
        query: np.ndarray = embedded.float().cpu().numpy()
        if len(query) != (length := self.index.embeddings.shape[1]):
            raise ZeroguideError(
                f"{self.run.path}: its embeddings have {length} numbers, the recipe's CLIP gives "
                f"{len(query)}: it isn't the one that labelled; label again with --overwrite"
            )
        return query

    def _image(self, key: str) -> Path | None:
        roots = self.run.manifest.roots if self.run.manifest else []
        paths = (self.run.photos.places.path(root, key) for root in roots)
        return next((Path(path) for path in paths if os.path.isfile(path)), None)


def search(
    run: RunFolder | str | os.PathLike[str],
    text: str,
    n: int = 20,
    *,
    per_image: int | None = None,
    device: str = "auto",
    offline: bool = False,
) -> list[Hit]:
    """One search; see `Searcher` and `Searcher.find`, which is quicker for several."""
    query_text(text)  # said before anything is loaded
    return Searcher(run, device=device, offline=offline).find(text, n, per_image=per_image)


def query_text(text: str) -> str:
    """The text with single spaces. Raises UsageError for one that is empty or isn't UTF-8."""
    words = " ".join(text.split())
    if not words:
        raise UsageError('the text to search for is empty: give words, such as "red umbrella"')
    try:
        words.encode()
    except UnicodeEncodeError:
        raise UsageError(f"the text to search for isn't valid UTF-8: {words!r}") from None
    return words


def cosines_with(embeddings: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Products of embeddings (n, e) float16 with a query (e,) float32: (n,) float32."""
    n, length = embeddings.shape
    block = np.empty((min(n, _BLOCK), length), np.float32)
    cosines = np.empty(n, np.float32)
    for start in range(0, n, _BLOCK):
        some = embeddings[start : start + _BLOCK]
        np.copyto(block[: len(some)], some)
        np.dot(block[: len(some)], query, out=cosines[start : start + len(some)])
    return cosines


def best_rows(index: Index, cosines: np.ndarray, n: int, per_image: int | None) -> np.ndarray:
    """The n largest of the cosines (segments,), at most `per_image` of an image: (<= n,) int64."""
    most = n
    while True:
        most = min(most, len(cosines))
        least = np.partition(cosines, len(cosines) - most)[len(cosines) - most]
        rows = np.flatnonzero(cosines >= least)  # with all that are as large as the last one
        rows = rows[np.lexsort((rows, -cosines[rows]))]
        if per_image is not None:
            rows = _at_most(rows, index.images(rows), per_image)
        if len(rows) >= n or most == len(cosines):
            return rows[:n]
        most *= 8


def _at_most(rows: np.ndarray, images: np.ndarray, per_image: int) -> np.ndarray:
    """The first rows of each image."""
    seen: Counter[int] = Counter()
    kept = np.zeros(len(rows), bool)
    for i, image in enumerate(images.tolist()):
        seen[image] += 1
        kept[i] = seen[image] <= per_image
    return rows[kept]


def _recipe(made: dict[str, Any], run: Path) -> Recipe:
    """The recipe that results say they were made by."""
    try:
        return Recipe.model_validate(
            {"name": made["name"], "seed": made["seed"], **made["settings"]}
        )
    except (ValueError, KeyError, TypeError):  # also pydantic's ValidationError
        raise ZeroguideError(
            f"{run}: another version of zeroguide made it, whose recipe this one can't read; label "
            "again with --overwrite"
        ) from None
