"""Pictures of kinds that need another library, or that nothing here reads."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from zeroguide.errors import ImageError
from zeroguide.image import check_image, open_image
from zeroguide.image.kinds import HEIF, kind_of_content, kind_of_name
from zeroguide.web.uploads import read_photo


def refusal(path: Path) -> str:
    with pytest.raises(ImageError) as caught:
        open_image(path)
    return str(caught.value).removeprefix(f"{path}: ")


def heic(pixels: np.ndarray, **options: object) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    data = io.BytesIO()
    made = pillow_heif.from_pillow(PIL.Image.fromarray(pixels))
    made.save(data, quality=100, chroma=444, **options)
    return data.getvalue()


@pytest.fixture
def pixels() -> np.ndarray:
    """Smooth, so that little is lost: red grows to the right, green downwards."""
    y, x = np.mgrid[0:48, 0:64]
    return np.stack([x * 4, y * 5, np.full_like(x, 90)], axis=2).astype(np.uint8)


@pytest.mark.parametrize("name", ["photo.heic", "photo.jpg"])
def test_heic(tmp_path: Path, pixels: np.ndarray, name: str) -> None:
    (tmp_path / name).write_bytes(heic(pixels))
    image = open_image(tmp_path / name)
    assert image.pixels.shape == (48, 64, 3)
    assert np.abs(image.pixels.astype(int) - pixels).max() <= 8
    assert image.notes == ()
    check_image(tmp_path / name)
    assert np.array_equal(read_photo((tmp_path / name).read_bytes(), name).pixels, image.pixels)


def test_a_turned_heic_is_upright(tmp_path: Path, pixels: np.ndarray) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    picture = PIL.Image.fromarray(pixels)
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    pillow_heif.from_pillow(picture).save(
        tmp_path / "x.heic", quality=100, chroma=444, exif=exif.tobytes()
    )
    turned = open_image(tmp_path / "x.heic").pixels
    assert turned.shape == (64, 48, 3)
    assert np.abs(turned.astype(int) - np.rot90(pixels, -1)).max() <= 8


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_truncated_heic(tmp_path: Path, pixels: np.ndarray, share: float) -> None:
    data = heic(np.random.default_rng(0).integers(0, 256, pixels.shape, np.uint8))
    (tmp_path / "x.heic").write_bytes(data[: int(share * len(data))])
    assert refusal(tmp_path / "x.heic").startswith("is truncated or damaged (")


def test_a_heic_without_its_reader(
    tmp_path: Path, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = heic(pixels)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(PIL.Image.OPEN, "HEIF", raising=False)
    monkeypatch.setattr("zeroguide.image.kinds.find_spec", lambda name: None)
    (tmp_path / "x.jpg").write_bytes(data)
    assert refusal(tmp_path / "x.jpg") == (
        "is a HEIC photo, which can't be read; needs `pip install 'zeroguide[heif]'`."
    )
    assert kind_of_name("IMG_1.HEIC") is HEIF


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\xff\x0a\xfa\x1f", "a JPEG XL photo"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL photo"),
        (b"8BPS\0\1", "a layered picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "a drawing"),
        (b"<?xml version='1.0'?>\n<!-- made -->\n<svg/>", "a drawing"),
        (b"%!PS-Adobe EPSF", "a drawing"),
        (b"%PDF-1.4", "a document"),
        (b"\0\0\0\x18ftypmp42", "a video"),
        (b"\0\0\0\x14ftypqt  ", "a video"),
        (b"\x1aE\xdf\xa3", "a video"),
        (b"\0\0\0\x18ftypcrx ", "a raw photo"),
        (b"FUJIFILMCCD-RAW 0201", "a raw photo"),
        (b"II*\0\x10\0\0\0CR\2\0", "a raw photo"),
        (b"IIU\0\x18\0\0\0", "a raw photo"),
        (bytes(128) + b"DICM", "a scientific image"),
    ],
)
def test_other_kinds_are_named_with_a_remedy(tmp_path: Path, data: bytes, what: str) -> None:
    (tmp_path / "x.jpg").write_bytes(data)
    kind = kind_of_content(data)
    assert kind is not None
    assert kind.name == what
    assert refusal(tmp_path / "x.jpg") == f"is {what}, which can't be read; {kind.remedy}."


def test_a_raw_photos_preview_is_not_the_photo(tmp_path: Path) -> None:
    """Raw photos are TIFF files whose first picture is small; Pillow gives that one."""
    options = {254: 1, 330: 8}
    PIL.Image.new("RGB", (16, 12)).save(tmp_path / "x.tif", tiffinfo=options)
    assert refusal(tmp_path / "x.tif").startswith("is a raw photo, which can't be read; export")
