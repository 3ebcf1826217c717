"""The features of a folder's images, kept on disk so that memory stays flat.

They lie one after another in a temporary file of float16, the class token's attention in another;
grids may differ in size. 3,600 cells of width 384 take 2.8 MB. Rounding to float16 moves a feature
by less than a thousandth of its length.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from zeroguide.errors import OutputError, ZeroguideError
from zeroguide.segment.fitted.config import Backbone, resolved
from zeroguide.segment.segmenters.common import as_rows
from zeroguide.system.device_errors import device_errors

if TYPE_CHECKING:
    from zeroguide.image import Image
    from zeroguide.models import Dino
    from zeroguide.recipe import Recipe

LARGEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Entry:
    """One image: its name, its picture's (H, W), its grid's (h, w), its first row in the file."""

    name: str
    size: tuple[int, int]
    grid: tuple[int, int]
    first: int
    has_attention: bool


class FeatureStore:
    """Features of images, added one by one and read in any order; a context manager.

    dino, features, recipe: the backbone that makes them, as in `Backbone`. The temporary files, in
    TMPDIR, are gone after `close`.
    """

    def __init__(self, dino: str, features: dict[str, Any], recipe: str = "") -> None:
        self._backbone = Backbone(resolved(dino), features, 0, recipe)
        self._folder = tempfile.TemporaryDirectory(prefix="zeroguide-")
        self._rows = Path(self._folder.name, "features.f16")
        self._attention = Path(self._folder.name, "attention.f32")
        self.entries: list[Entry] = []
        self.n_tokens = 0
        self._width: int | None = None

    def add(
        self,
        name: str,
        features: Any,
        attention: Any = None,
        *,
        size: tuple[int, int] | None = None,
    ) -> None:
        """Append an image's features (h, w, d) and, where there is one, its attention (h, w).

        `size`: (H, W) of the picture; None: that of the grid. Raises ZeroguideError for values that
        aren't finite or beyond float16, and OutputError for a full disk.
        """
        rows = as_rows(features)
        h, w = features.shape[:2]
        if self._width is None:
            self._width = rows.shape[1]
        if rows.shape[1] != self._width:
            raise ValueError(f"features of width {rows.shape[1]} among those of {self._width}")
        if np.abs(rows).max() > LARGEST:
            raise ZeroguideError(
                f"{name}: features beyond {LARGEST:.0f} can't be stored: choose another "
                "features.layer or features.facet"
            )
        values = np.zeros(h * w, dtype=np.float32)
        if attention is not None:
            if not isinstance(attention, np.ndarray):
                attention = attention.detach().float().cpu().numpy()
            if attention.shape != (h, w):
                raise ValueError(f"attention of shape {attention.shape} for {h} x {w} cells")
            values = attention.ravel().astype(np.float32)
        try:
            _append(self._rows, 2 * self.n_tokens * self._width, rows.astype(np.float16))
            _append(self._attention, 4 * self.n_tokens, values)
        except OSError as e:
            raise OutputError(
                f"{self._folder.name}: features can't be stored ({e.strerror}); set TMPDIR to a "
                "folder with more room or lower --limit"
            ) from None
        self.entries.append(
            Entry(name, size or (h, w), (h, w), self.n_tokens, attention is not None)
        )
        self.n_tokens += h * w

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def backbone(self) -> Backbone:
        """The backbone of what has been added."""
        if self._width is None:
            raise ValueError("an empty store has no width")
        return replace(self._backbone, width=self._width)

    def check_room(self, n_images: int) -> None:
        """OutputError unless n_images in all, as large as those so far, fit into TMPDIR.

        Where it is in memory, as on many systems, filling it would stop the whole machine.
        """
        size = sum(path.stat().st_size for path in (self._rows, self._attention))
        needed = size * n_images // len(self)
        free = shutil.disk_usage(self._folder.name).free
        if needed - size > free:
            raise OutputError(
                f"{self._folder.name}: the features of {n_images} images will take "
                f"{needed / 1e9:.3g} GB, and {free / 1e9:.3g} GB are free; set TMPDIR to a folder "
                "with more room or lower --limit"
            )

    @property
    def has_attention(self) -> bool:
        """Whether every image has its attention."""
        return all(entry.has_attention for entry in self.entries)

    def features(self, i: int) -> np.ndarray:
        """Image i's features: (h, w, d) float32."""
        h, w = self.entries[i].grid
        return self.cells(i, np.arange(h * w)).reshape(h, w, -1)

    def attention(self, i: int) -> np.ndarray | None:
        """Image i's attention: (h, w) float32, or None."""
        entry = self.entries[i]
        if not entry.has_attention:
            return None
        h, w = entry.grid
        return np.fromfile(self._attention, np.float32, h * w, offset=4 * entry.first).reshape(h, w)

    def cells(self, i: int, index: np.ndarray) -> np.ndarray:
        """Some of image i's features, by their index row by row: (n, d) float32."""
        return self._matrix()[self.entries[i].first + index].astype(np.float32)

    def sample(self, n: int, seed: int) -> np.ndarray:
        """At most n tokens' numbers over all images, sorted; each token with the same chance."""
        if n >= self.n_tokens:
            return np.arange(self.n_tokens)
        rng = np.random.default_rng(seed)
        return np.sort(rng.choice(self.n_tokens, n, replace=False))

    def tokens(self, numbers: np.ndarray) -> np.ndarray:
        """The features of tokens by their number over all images: (n, d) float32."""
        return self._matrix()[numbers].astype(np.float32)

    def by_image(self, numbers: np.ndarray) -> Iterator[tuple[int, slice, np.ndarray]]:
        """Tokens' sorted numbers, image by image: its index, its part of them, its cells' index."""
        ends = np.cumsum([h * w for h, w in (entry.grid for entry in self.entries)])
        stops = np.searchsorted(numbers, ends)
        for i, (start, stop) in enumerate(zip([0, *stops[:-1]], stops, strict=True)):
            part = slice(int(start), int(stop))
            yield i, part, numbers[part] - self.entries[i].first

    def close(self) -> None:
        """Remove the files."""
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _matrix(self) -> np.ndarray:
        # Mapped anew for every reading: pages read through a map that stays count as this process's
        # memory.
        shape = (self.n_tokens, self._width or 0)
        return np.memmap(self._rows, np.float16, "r", shape=shape)


def _append(path: Path, position: int, values: np.ndarray) -> None:
    """Write at a position, over what a write that failed may have left there."""
    with path.open("r+b" if path.exists() else "wb") as file:
        file.seek(position)
        file.write(values.tobytes())


def add_image(store: FeatureStore, path: Path, image: Image, dino: Dino, recipe: Recipe) -> None:
    """Extract an image's features as the recipe says, and append them under the file's name.

    Raises what `extract_features` and `FeatureStore.add` raise.
    """
    from zeroguide.models.device import autocast
    from zeroguide.segment.features import extract_features_and_attention

    device = next(dino.network.parameters()).device
    with device_errors(device), autocast(device, recipe.precision):
        features, attention = extract_features_and_attention(
            dino, image.pixels, **recipe.features.model_dump()
        )
    store.add(str(path), features, attention, size=image.pixels.shape[:2])
