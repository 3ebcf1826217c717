"""The result of labelling one picture, and what can be done with it: shown, saved, exported."""

from __future__ import annotations

import json
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.result.formats import json_
from zeroguide.result.named_map import NamedMap
from zeroguide.result.pixels import (
    check_target,
    cut_out,
    find,
    read_pixels,
    reference,
    save_overlay,
)
from zeroguide.system.files import write_atomically

if TYPE_CHECKING:
    import PIL.Image

    from zeroguide.image import ImageSource

PICTURES = (".png", ".jpg", ".jpeg", ".webp")  # what `save` writes the overlay to


class Labeling(NamedMap):
    """All segments of one picture: the data of a `NamedMap`, with its picture.

    Shows itself in a notebook. What draws, shows and exports is imported when it is used.
    """

    @property
    def pixels(self) -> np.ndarray:
        """The picture that was labelled: (H, W, 3) uint8 RGB; a file is read at every use.

        Raises ZeroguideError if it isn't known or has changed, ImageError if it can't be read.
        """
        return read_pixels(self)

    def with_image(self, image: ImageSource) -> Self:
        """The same labels, which know their picture: for those that were loaded from JSON.

        image: the file that was labelled, or a copy of it as an array or a Pillow image, which
        stays in memory. Raises ZeroguideError for another picture, ImageError for none.
        """
        known = replace(self, picture=reference(image, self.recipe))
        if known.pixels.shape[:2] != self.label_map.shape:
            height, width = known.pixels.shape[:2]
            raise ZeroguideError(
                f"{self.file_name}: has {self.width} x {self.height} pixels, not {width} x "
                f"{height}; give the picture that was labelled"
            )
        return known

    def overlay(self, *, legend: Literal["auto", "always", "never"] = "auto") -> PIL.Image.Image:
        """The picture with all segments and their labels; see `zeroguide.result.overlay.draw`."""
        from zeroguide.result.overlay import draw

        return draw(self, self.pixels, legend=legend)

    def show(self) -> None:
        """Show the overlay: in a notebook below the cell, else in a window.

        Raises ZeroguideError where there is no screen or no viewer of images, and what `pixels`
        raises.
        """
        from zeroguide.result.display import show

        show(self.overlay())

    def crop(self, id: int) -> PIL.Image.Image:
        """Segment `id` cut out, RGBA, of the size of its box; all other pixels are transparent.

        Raises UsageError if there is no such segment, and what `pixels` raises.
        """
        return cut_out(self, id)

    def table(self) -> Any:
        """The segments as a pandas DataFrame by id; a list of dictionaries without pandas.

        Columns: id, label, confidence, score, share (of the picture, 0 to 1), area, bbox,
        alternatives, composed.
        """
        from zeroguide.result.display import to_table

        return to_table(self)

    def to_coco(self) -> dict[str, Any]:
        """COCO instances, ready for JSON or pycocotools; see `zeroguide.result.formats.coco`."""
        from zeroguide.result.formats.coco import to_coco

        return to_coco(self)

    def to_supervision(self) -> Any:
        """The segments as `supervision.Detections`, with boxes, masks (n, H, W) and confidences.

        Names and all else are in `.data`; see `zeroguide.result.detections`. Raises UsageError
        where supervision isn't installed.
        """
        from zeroguide.result.detections import to_detections

        return to_detections(self)

    def to_dict(self) -> dict[str, Any]:
        """The schema zeroguide/1, ready for JSON; see `zeroguide.result.formats.json_`."""
        return json_.to_dict(self)

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> Self:
        """The inverse of `to_dict`. Raises ValueError if `d` is not a valid zeroguide/1."""
        try:
            return cls(**json_.fields(d))
        except TypeError as e:
            raise ValueError(f"a field has the wrong type: {e}") from None

    def save(self, path: str | PathLike[str]) -> None:
        """Write JSON (.json), the overlay (.png, .jpg, .jpeg, .webp) or a page (.html).

        The page is one file for any browser: the picture, outlines and names, nothing from
        elsewhere. Raises UsageError for another ending and for the labelled picture's own file,
        ZeroguideError if the file can't be written, and for overlays and pages what `pixels`
        raises.
        """
        path = Path(path)
        check_target(self, path)
        if path.suffix.lower() in PICTURES:
            save_overlay(self, path)
        elif path.suffix.lower() == ".json":
            json_.save(self, path)
        elif path.suffix.lower() == ".html":
            from zeroguide.result.html_page import to_page

            write_atomically(path, to_page(self, self.pixels).encode())
        else:
            raise UsageError(
                f"{path}: ends neither in .json or .html nor like a picture "
                f"({', '.join(PICTURES)}); choose another name"
            )

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read the JSON that `save` wrote.

        The picture is known if it lies beside the JSON, or beside the folder of results. Raises
        ZeroguideError if the file is missing, damaged or another kind.
        """
        try:
            labeling = cls.from_dict(json.loads(Path(path).read_bytes()))
        except OSError as e:
            raise ZeroguideError(f"{path}: can't be read ({e.strerror}); check the path.") from None
        except ValueError as e:  # also JSONDecodeError and UnicodeDecodeError
            raise ZeroguideError(
                f"{path}: not a zeroguide result ({e}); label the picture again."
            ) from None
        return replace(labeling, picture=find(labeling, Path(path)))

    def __repr__(self) -> str:
        total = self.width * self.height
        found = [f"{' '.join(s.label.split())} {s.area / total:.0%}" for s in self.segments[:3]]
        more = f" and {len(self.segments) - 3} more" if len(self.segments) > 3 else ""
        return (
            f"<Labeling of {self.file_name}, {self.width} x {self.height}: "
            f"{', '.join(found)}{more}>"
        )

    def _repr_html_(self) -> str:
        from zeroguide.result.display import to_html

        return to_html(self)
