"""Which file holds the masks of which image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.runs.masks.drawn import Drawn, Mask
from zeroguide.runs.masks.formats import ENDINGS, JSON, MAPS, Contents, read
from zeroguide.runs.masks.names import match, plain, some, without_ending

# What `zeroguide segment` and `discover` call their label maps.
_MAP = ".map.png"


class MaskFiles:
    """The masks of images, in a file or a folder.

    Args:
        place: a file of one or many images, or a folder with a file for each image, called like it.
        images: files of all images that are asked for.

    Raises UsageError: nothing there, a file that can't be read, or no image has masks.
    """

    def __init__(self, place: Path, images: Sequence[Path]) -> None:
        self.place = place
        if place.is_dir():
            self._found: dict[str, Path] | Contents = _by_name(place, images)
        elif place.is_file():
            try:
                self._found = read(place)
            except ZeroguideError as error:
                raise UsageError(str(error)) from None
        else:
            raise UsageError(f"{place}: no such file or folder; name the masks with --masks.")
        if isinstance(self._found, Drawn):
            if len(images) > 1:
                raise UsageError(
                    f"{place}: holds the masks of one image, but there are {len(images)}; name a "
                    "folder with a file for each, or a COCO file."
                )
            return
        self._matches = match(dict.fromkeys(map(_name, images)), self._found)
        if not self._matches.names and not self._matches.unclear:
            raise UsageError(
                f"{place}: has masks of none of the images, but of {some(self._found) or 'nothing'}"
                "; masks are found by the image's file name."
            )

    def masks(self, image: Path, size: tuple[int, int]) -> list[Mask]:
        """The masks of an image of (height, width); ZeroguideError if it has none or bad ones."""
        return self._drawn(image).masks(size)

    def _drawn(self, image: Path) -> Drawn:
        if isinstance(self._found, Drawn):
            return self._found
        if _name(image) in self._matches.unclear:
            raise ZeroguideError(
                f"{image}: it isn't sure which of {self.place} are its masks, perhaps "
                f"{some(self._matches.unclear[_name(image)])}; name them with the image's folders."
            )
        if _name(image) not in self._matches.names:
            raise ZeroguideError(
                f"{image}: has no masks in {self.place}; add them or leave the image out."
            )
        found = self._found[self._matches.names[_name(image)]]
        return found if isinstance(found, Drawn) else _only(read(found), found, image)


def _only(contents: Contents, path: Path, image: Path) -> Drawn:
    """The image's masks in a file that is called like it."""
    if isinstance(contents, Drawn):
        return contents
    name = match([_name(image)], contents).names.get(_name(image))
    if name is None:
        raise ZeroguideError(f"{path}: has no masks of {image}, but of {some(contents)}.")
    return contents[name]


def _name(image: Path) -> str:
    return without_ending(image.as_posix())


def _by_name(folder: Path, images: Sequence[Path]) -> dict[str, Path]:
    """Files by the image they are called like; of several kinds JSON first, text last."""
    own = {image.resolve() for image in images}
    best: dict[str, tuple[int, Path]] = {}
    for path in sorted(folder.rglob("*")):
        ending = path.suffix.lower()
        if ending not in ENDINGS or path.name.startswith(".") or path.resolve() in own:
            continue
        is_map = path.name.endswith(_MAP)
        relative = path.relative_to(folder).as_posix().removesuffix(_MAP if is_map else path.suffix)
        name = plain(without_ending(relative))  # photo.jpg.json
        rank = 0 if ending == JSON else 1 if is_map else 2 if ending in MAPS else 3
        other_rank, other = best.get(name, (9, path))
        if rank == other_rank:
            raise UsageError(
                f"{path}: is a second file of masks for {name}, beside {other.name}; keep one of "
                "them."
            )
        if rank < other_rank:
            best[name] = rank, path
    return {name: path for name, (_, path) in best.items()}
