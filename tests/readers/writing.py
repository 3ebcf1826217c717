"""Miniatures of data sets in their official formats, for tests that read them back."""

from pathlib import Path

import numpy as np
import PIL.Image

SHAPE = (6, 8)


def write_image(path: Path, shape: tuple[int, int] = SHAPE) -> Path:
    """A picture of (height, width); its content doesn't matter."""
    pixels = np.arange(shape[0] * shape[1] * 3, dtype=np.uint8).reshape(*shape, 3)
    return _save(PIL.Image.fromarray(pixels), path)


def write_grey(path: Path, ids: np.ndarray) -> Path:
    """Ids as a grey file of 8 bits, or of 16 where the ids need them; or colours as they are."""
    wide = ids.ndim == 2 and ids.max() > 255
    return _save(PIL.Image.fromarray(ids.astype(np.uint16 if wide else np.uint8)), path)


def write_palette(path: Path, ids: np.ndarray) -> Path:
    """Ids as a palette PNG, as Pascal VOC has them; the palette is not in the ids' order."""
    image = PIL.Image.fromarray(ids.astype(np.uint8)).convert("L")
    image.putpalette([(7 * i + channel) % 256 for i in range(256) for channel in range(3)])
    assert image.mode == "P"
    return _save(image, path)


def write_lines(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _save(image: PIL.Image.Image, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path
