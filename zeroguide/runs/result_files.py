"""An image's files in a run's folder: what is there, and how it is written.

The order of writing makes a run safe to kill at any moment: an old overlay goes first, then the
JSON is replaced whole, then the overlay is written. A JSON with the image's hash and the run's
recipe is thus a finished result; at most its overlay is missing. Files that aren't this program's
are never replaced.
"""

from __future__ import annotations

import contextlib
import errno
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeroguide.errors import ImageError, OutputError, ZeroguideError
from zeroguide.image import Image
from zeroguide.result import SCHEMA, Labeling
from zeroguide.result.provenance import made_alike, provenance
from zeroguide.result.renames import renamed
from zeroguide.runs.layout import overlay_path, result_path
from zeroguide.runs.settings import Settings
from zeroguide.runs.sources import Item
from zeroguide.system.files import is_own_png, write_png

if TYPE_CHECKING:
    import PIL.Image


@dataclass(frozen=True)
class Found:
    """What there is of an image's results.

    is_complete: nothing has to be done. labeling: the result whose overlay has to be drawn.
    notes: what was wrong with an earlier result.
    """

    is_complete: bool = False
    labeling: Labeling | None = None
    notes: tuple[str, ...] = ()


class ResultFiles:
    """The files of all images of a run."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._provenance = provenance(settings.recipe)

    def find(self, item: Item, sha256: str) -> Found:
        """What is there for an image with these bytes, made by the run's recipe.

        Raises ZeroguideError for files in its place that are no results, and for a result of
        another recipe that isn't to be replaced.
        """
        path = result_path(self.settings.output, item.key)
        overlay = overlay_path(self.settings.output, item.key)
        has_overlay = self.settings.overlay and overlay.exists()
        if has_overlay and not is_own_png(overlay):
            if not _is_void(overlay):
                raise _not_ours(overlay)
            has_overlay = False
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return Found()
        except OSError as error:
            raise ZeroguideError(f"{path}: can't be read ({error.strerror})") from error
        try:
            content = json.loads(text)
            schema, recipe = content["schema"], content["recipe"]
            is_same_image = content["image"]["sha256"] == sha256
            has_embeddings = all("embedding" in _checked(entry) for entry in content["segments"])
        except (ValueError, KeyError, TypeError):
            if text.strip(b"\0") and SCHEMA.encode() not in text[:200]:
                raise _not_ours(path) from None
            return _damaged(path)
        if schema != SCHEMA:
            raise _not_ours(path)
        is_same_recipe = made_alike(recipe, self._provenance)
        if not (is_same_recipe or self.settings.may_replace):
            raise ZeroguideError(
                f"{path}: is a result of another recipe; replace it with --overwrite or choose "
                "another folder with -o"
            )
        is_enough = has_embeddings or not self.settings.embeddings
        if self.settings.overwrite or not (is_same_image and is_same_recipe and is_enough):
            return Found()
        if has_overlay or not self.settings.overlay:
            return Found(is_complete=True)
        try:
            return Found(labeling=Labeling.from_dict(content))
        except ValueError:
            return _damaged(path)

    def write(self, item: Item, image: Image, labeling: Labeling) -> Labeling:
        """Write an image's results; returns the labeling as it was written.

        Raises ImageError for a name that is too long for a file, OutputError, which ends the run,
        if nothing can be written at all.
        """
        labeling = renamed(labeling, self.settings.renames)
        if not self.settings.embeddings:
            labeling = replace(labeling, embeddings=None)
        path = result_path(self.settings.output, item.key)
        overlay = overlay_path(self.settings.output, item.key)
        picture = self._picture(image, labeling) if self.settings.overlay else None
        with _writing(item):
            path.parent.mkdir(parents=True, exist_ok=True)
            if picture is not None:
                overlay.unlink(missing_ok=True)
            labeling.save(path)
            if picture is not None:
                write_png(picture, overlay)
        return labeling

    def draw(self, item: Item, image: Image, labeling: Labeling) -> None:
        """Write the overlay of a result that is there. Raises as `write` does."""
        picture = self._picture(image, labeling)
        with _writing(item):
            write_png(picture, overlay_path(self.settings.output, item.key))

    def _picture(self, image: Image, labeling: Labeling) -> PIL.Image.Image:
        from zeroguide.result.overlay import draw

        return draw(labeling, image.pixels, legend=self.settings.legend)


_FIELDS = {"id", "label", "score", "confidence", "alternatives", "merged_from", "bbox", "area"}


def _checked(entry: dict[str, Any]) -> dict[str, Any]:
    """A segment of a result, with all its fields; its mask isn't decoded, which takes long."""
    if not entry.keys() >= _FIELDS or not isinstance(entry["segmentation"]["counts"], str):
        raise ValueError("a field is missing")
    return entry


def _is_void(path: Path) -> bool:
    """Whether a file is empty or zeros: what a power cut may leave of one."""
    with open(path, "rb") as file:
        return not file.read(256).strip(b"\0")


def _damaged(path: Path) -> Found:
    return Found(notes=(f"{path} was damaged: labelled again",))


def _not_ours(path: Path) -> ZeroguideError:
    return ZeroguideError(
        f"{path}: already exists and isn't a result of this program; move it away or choose "
        "another folder with -o"
    )


@contextlib.contextmanager
def _writing(item: Item) -> Iterator[None]:
    try:
        yield
    except (OSError, ZeroguideError) as error:
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        if cause.errno == errno.ENAMETOOLONG:
            raise ImageError(
                f"{item.name}: its name is too long for the names of its results; rename it"
            ) from error
        raise OutputError(
            f"{item.name}: its results can't be written ({cause.strerror or cause}); make room or "
            "choose another folder with -o: what is written is kept"
        ) from error
