"""Opens one encoded image as RGB pixels: upright, any colour mode, bounded, or one clear sentence.

Limits are read from the header, before a pixel is decoded. Whatever Pillow raises on a damaged
file becomes an `ImageError`; what had to be decided on the way (first frame, transparency) becomes
a note.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
import PIL.Image

from zeroguide.errors import ImageError
from zeroguide.image.deep_colour import DeepColour, is_deep_colour, load_deep_colour
from zeroguide.image.limits import check_cost, check_deep_colour, check_size
from zeroguide.image.pillow_formats import open_header
from zeroguide.image.refusals import check_contents, damaged, empty, not_readable, too_much_memory
from zeroguide.image.rgb import to_rgb
from zeroguide.image.value_range import Range

_ORIENTATION = 0x0112


@dataclass(frozen=True, eq=False)
class Image:
    """One image as the pipeline takes it.

    pixels : (H, W, 3) uint8 RGB, upright, transparency laid on white
    file_name : the file's name without folders
    sha256 : of the file's bytes (of the pixels' bytes for an image that came as an array)
    notes : what had to be decided to read it, one phrase each
    """

    pixels: np.ndarray
    file_name: str
    sha256: str
    notes: tuple[str, ...] = ()


ImageSource: TypeAlias = str | os.PathLike[str] | PIL.Image.Image | np.ndarray | Image
"""What Python code may give as an image: a file, a Pillow image, (H, W, 3) uint8 RGB, an Image."""


def to_image(source: ImageSource, value_range: Range | None = None) -> Image:
    """Take anything that may be an image as `open_image`, `from_pillow` and `from_array` do.

    Raises ImageError like these, and for anything else.
    """
    if isinstance(source, Image):
        return source
    if isinstance(source, (str, os.PathLike)):
        return open_image(source, value_range)
    if isinstance(source, PIL.Image.Image):
        return from_pillow(source, value_range)
    return from_array(source)


def path_of(source: ImageSource) -> Path | None:
    """The absolute path of an image that is a file; None of all else."""
    return Path(source).absolute() if isinstance(source, (str, os.PathLike)) else None


def open_image(path: str | os.PathLike[str], value_range: Range | None = None) -> Image:
    """Read an image file: JPEG, PNG, WebP, TIFF, GIF, BMP, AVIF, JPEG 2000 and a few others, HEIC
    with zeroguide[heif].

    Animations and multi-page files give their first frame; CMYK, palettes and grey become RGB;
    colours become sRGB, by the embedded profile; transparency is laid on white; EXIF turns are
    applied. From 1 x 1 up to `image_limits.MAX_PIXELS` pixels, of any aspect ratio.

    value_range : the values of 16-bit and float images that become black and white, the same for
        all images that are to be compared; None: each image's own, see `value_range.own_range`

    Raises ImageError, one sentence naming file, problem and remedy: missing, a folder, not
    permitted, empty, not an image, truncated or damaged, too large, an address of the web.
    """
    path = Path(path)
    with _file(path) as handle:
        return _read(handle, str(path), value_range)


def read_image(data: bytes, name: str, value_range: Range | None = None) -> Image:
    """Read the bytes of an image file as `open_image` reads the file.

    name : what sentences call it; its last part, after any "/", becomes the file name

    Raises ImageError like `open_image`: empty, not an image, truncated or damaged, too large.
    """
    if not data:
        raise empty(name)
    return _read(io.BytesIO(data), name, value_range)


def read_file(path: str | os.PathLike[str], name: str | None = None) -> bytes:
    """The bytes of an image file, for `read_image`; `name` is what sentences call it.

    Raises ImageError like `open_image`: missing, a folder, not permitted, empty.
    """
    name = name or str(path)
    with _file(Path(path), name) as handle:
        try:
            data = handle.read()
        except OSError as error:
            raise ImageError(f"{name}: can't be read ({_reason(error)}); copy it again.") from None
        except MemoryError:
            raise too_much_memory(name) from None
    if not data:  # cut off since it was looked at
        raise empty(name)
    return data


def check_image(path: str | os.PathLike[str]) -> None:
    """Raise the ImageError that a file's header alone gives away, without decoding any pixel."""
    with _file(Path(path)) as handle, _opened(handle, str(path)):
        pass


def from_array(pixels: np.ndarray, file_name: str = "array") -> Image:
    """Take (H, W, 3) uint8 RGB pixels as an image; ImageError on any other shape or type."""
    if not isinstance(pixels, np.ndarray):
        raise ImageError(
            f"{file_name}: expected a file, a Pillow image or a numpy array, got "
            f"{type(pixels).__name__}."
        )
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise ImageError(
            f"{file_name}: expected pixels of shape (height, width, 3) and type uint8 (RGB), "
            f"got shape {pixels.shape} and type {pixels.dtype}."
        )
    check_size(file_name, width=pixels.shape[1], height=pixels.shape[0])
    pixels = np.ascontiguousarray(pixels)
    return Image(pixels, file_name, hashlib.sha256(pixels.tobytes()).hexdigest())


def from_pillow(image: PIL.Image.Image, value_range: Range | None = None) -> Image:
    """Take a Pillow image of any mode as `open_image` takes its file: upright, on white.

    Raises ImageError if it is damaged (Pillow reads files late), too large or can't be converted.
    """
    name = str(getattr(image, "filename", "") or "image")
    notes: list[str] = []
    check_size(name, *image.size)
    try:
        image.load()
        pixels = to_rgb(image, _orientation(image, notes), name, notes, value_range)
    except ImageError:
        raise
    except MemoryError:
        raise too_much_memory(name) from None
    except Exception as error:  # as in `_opened`
        raise damaged(name, _reason(error)) from None
    sha256 = hashlib.sha256(pixels.tobytes()).hexdigest()
    return Image(pixels, _file_name(name), sha256, tuple(notes))


def _read(handle: BinaryIO, name: str, value_range: Range | None) -> Image:
    notes: list[str] = []
    with _opened(handle, name) as image:
        if getattr(image, "is_animated", False) and image.format not in ("MPO", "HEIF"):
            # Further pictures of these two are depth or gain maps, not frames.
            kind = "multi-page" if image.format == "TIFF" else "animated"
            notes.append(f"{kind} {image.format}: only the first frame is used")
            image.seek(0)
        deep = _deep_colour(image, handle, name)
        image.load()
        pixels = to_rgb(image, _orientation(image, notes), name, notes, value_range, deep)
        handle.seek(0)
        sha256 = hashlib.file_digest(handle, "sha256").hexdigest()  # type: ignore[arg-type]
    return Image(pixels=pixels, file_name=_file_name(name), sha256=sha256, notes=tuple(notes))


def _deep_colour(image: PIL.Image.Image, handle: BinaryIO, name: str) -> DeepColour | None:
    """All bits of an image whose colours have 16; None for others."""
    if not is_deep_colour(image):
        return None
    check_deep_colour(image, name)

    def again() -> PIL.Image.Image:
        handle.seek(0)
        return open_header(handle)

    return load_deep_colour(image, again)


def _file_name(name: str) -> str:
    """The last part, without what isn't valid UTF-8 and could not be written into a JSON file."""
    return os.fsencode(Path(name).name).decode("utf-8", "replace")


@contextlib.contextmanager
def _file(path: Path, name: str | None = None) -> Iterator[BinaryIO]:
    """Open a non-empty regular file, or say why not."""
    name = name or str(path)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(
                f"{name}: is a folder, not an image; name its files, for example "
                f"{Path(name) / '*.jpg'}."
            )
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"{name}: is not a regular file; save the image to a file first.")
        if status.st_size == 0:
            raise empty(name)
        handle = path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        if name.startswith(("http:/", "https:/")):  # a Path has one slash only
            raise ImageError(
                f"{name}: nothing is fetched from the web; download the picture first."
            ) from None
        raise ImageError(f"{name}: no such file; check the path.") from None
    except PermissionError:
        raise ImageError(
            f"{name}: permission denied; make the file and its folders readable."
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise ImageError(f"{name}: can't be opened ({_reason(error)}); check the path.") from None
    with handle:
        yield handle


@contextlib.contextmanager
def _opened(handle: BinaryIO, name: str) -> Iterator[PIL.Image.Image]:
    """Bytes as a Pillow image of permitted size; what goes wrong inside is an ImageError."""
    try:
        with open_header(handle) as image:
            check_size(name, *image.size)
            check_cost(image, handle, name)
            check_contents(image, handle, name)
            yield image
    except ImageError:
        raise
    except PIL.Image.DecompressionBombError:  # inside an icon or a TIFF's tile
        raise ImageError(
            f"{name}: has more pixels than can be read; shrink or tile the image."
        ) from None
    except PIL.UnidentifiedImageError:
        raise not_readable(handle, name) from None
    except MemoryError:
        raise too_much_memory(name) from None
    # Pillow's readers let OSError, SyntaxError, ValueError, struct.error, EOFError, KeyError
    # and more escape on damaged files: to the user they all mean the same.
    except Exception as error:
        raise damaged(name, _reason(error)) from None


def _orientation(image: PIL.Image.Image, notes: list[str]) -> int:
    """The EXIF orientation, 1 to 8; read after load, because TIFF files turn themselves there."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # any damage in a block that is no part of the picture
        notes.append("unreadable EXIF data ignored")
        return 1


def _reason(error: Exception) -> str:
    """An exception's own words as a phrase without line breaks or a full stop."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()).rstrip(".") or type(error).__name__
