"""Every kind of image file comes out as upright RGB bytes, or as one sentence about it."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL.features
import PIL.Image
import PIL.ImageOps
import pytest

from zeroguide.errors import ImageError
from zeroguide.image import (
    check_image,
    from_array,
    open_image,
    read_file,
    read_image,
)
from zeroguide.image.limits import MAX_PIXELS


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)


def refusal(path: Path) -> str:
    with pytest.raises(ImageError) as caught:
        open_image(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text.removeprefix(f"{path}: ")


# What is read -------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "ppm", "tga", "qoi"])
def test_lossless_files_give_their_pixels(tmp_path: Path, pixels: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"photo.{suffix}"
    PIL.Image.fromarray(pixels).save(path)
    image = open_image(path)
    assert image.pixels.dtype == np.uint8
    assert np.array_equal(image.pixels, pixels)
    assert image.pixels.flags.writeable  # torch warns about arrays that aren't
    assert image.file_name == f"photo.{suffix}"
    assert image.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert image.notes == ()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_exif_turns_are_applied(
    tmp_path: Path, pixels: np.ndarray, orientation: int, suffix: str
) -> None:
    path = tmp_path / f"turned.{suffix}"
    image = PIL.Image.fromarray(pixels)
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(path, exif=exif)
    with PIL.Image.open(path) as opened:
        expected = np.asarray(PIL.ImageOps.exif_transpose(opened))
    assert np.array_equal(open_image(path).pixels, expected)
    if orientation == 6:
        assert np.array_equal(expected, np.rot90(pixels, -1))


def test_unreadable_exif_is_ignored_and_said(tmp_path: Path, pixels: np.ndarray) -> None:
    path = tmp_path / "x.png"
    PIL.Image.fromarray(pixels).save(path, exif=b"Exif\0\0this is no TIFF header")
    image = open_image(path)
    assert np.array_equal(image.pixels, pixels)
    assert image.notes == ("unreadable EXIF data ignored",)


@pytest.mark.parametrize("suffix", ["png", "tiff", "pgm"])
def test_sixteen_bits_are_scaled_not_cut(tmp_path: Path, suffix: str) -> None:
    values = np.linspace(0, 65535, 24 * 40).reshape(24, 40).astype(np.uint16)
    path = tmp_path / f"deep.{suffix}"
    PIL.Image.fromarray(values).save(path)
    image = open_image(path)
    assert image.pixels.shape == (24, 40, 3)
    assert np.abs(image.pixels[:, :, 1] - values / 257).max() <= 0.5
    assert image.notes == ()


def test_twelve_bits_in_sixteen_are_stretched_and_said(tmp_path: Path) -> None:
    values = np.linspace(0, 4000, 24 * 40).reshape(24, 40).astype(np.uint16)
    path = tmp_path / "sensor.tiff"
    PIL.Image.fromarray(values).save(path)
    image = open_image(path)
    assert (image.pixels.min(), image.pixels.max()) == (0, 255)
    assert image.notes == ("values from 0 to 4000 stretched to the full range",)


@pytest.mark.parametrize(
    ("values", "n_notes"),
    [([[0, 0.5, 1]], 0), ([[-1, 0, 1]], 1), ([[0.0, 50, 100]], 1), ([[7, 7, 7]], 1)],
)
def test_float_values_fill_the_range(tmp_path: Path, values: list, n_notes: int) -> None:
    path = tmp_path / "float.tiff"
    PIL.Image.fromarray(np.array(values, np.float32)).save(path)
    image = open_image(path)
    assert image.pixels[0, :, 0].tolist() in ([0, 128, 255], [255, 255, 255])
    assert len(image.notes) == n_notes


def test_cmyk(tmp_path: Path) -> None:
    path = tmp_path / "print.jpg"
    PIL.Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(path, quality=95)
    colour = open_image(path).pixels.reshape(-1, 3).mean(0)
    assert colour[0] > 250
    assert colour[1] < 5
    assert colour[2] < 5


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_grey_and_opaque_palette(tmp_path: Path, pixels: np.ndarray, mode: str) -> None:
    path = tmp_path / "x.png"
    converted = PIL.Image.fromarray(pixels).convert(mode)
    converted.save(path)
    image = open_image(path)
    assert np.array_equal(image.pixels, np.asarray(converted.convert("RGB")))
    assert image.notes == ()


def transparent(kind: str) -> PIL.Image.Image:
    """Left half invisible, right half black."""
    alpha = PIL.Image.new("L", (8, 4), 0)
    alpha.paste(255, (4, 0, 8, 4))
    image = PIL.Image.new("RGBA" if kind == "RGBA" else "LA", (8, 4))
    image.putalpha(alpha)
    if kind == "P":
        image = PIL.Image.new("P", (8, 4), 0)
        image.putpalette([200, 0, 0, 0, 0, 0])
        image.paste(1, (4, 0, 8, 4))
    return image


@pytest.mark.parametrize("kind", ["RGBA", "LA", "P", "P bytes"])
def test_transparency_is_laid_on_white_and_said(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.png"
    options = {"P": {"transparency": 0}, "P bytes": {"transparency": b"\x00\xff"}}
    transparent(kind[:1] if kind[0] == "P" else kind).save(path, **options.get(kind, {}))
    image = open_image(path)
    assert (image.pixels[:, :4] == 255).all()
    assert (image.pixels[:, 4:] == 0).all()
    assert image.notes == ("transparency laid on white",)


def test_opaque_alpha_needs_no_note(tmp_path: Path, pixels: np.ndarray) -> None:
    path = tmp_path / "x.png"
    PIL.Image.fromarray(pixels).convert("RGBA").save(path)
    image = open_image(path)
    assert np.array_equal(image.pixels, pixels)
    assert image.notes == ()


@pytest.mark.parametrize(
    ("suffix", "note"),
    [
        ("gif", "animated GIF: only the first frame is used"),
        ("webp", "animated WEBP: only the first frame is used"),
        ("png", "animated PNG: only the first frame is used"),
        ("tiff", "multi-page TIFF: only the first frame is used"),
    ],
)
def test_first_frame_of_several(tmp_path: Path, suffix: str, note: str) -> None:
    path = tmp_path / f"moving.{suffix}"
    red, blue = (PIL.Image.new("RGB", (16, 16), c) for c in ("red", "blue"))
    lossless = {"lossless": True} if suffix == "webp" else {}
    red.save(path, save_all=True, append_images=[blue], **lossless)
    image = open_image(path)
    assert (image.pixels == [255, 0, 0]).all()
    assert image.notes == (note,)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (20000, 8)])
def test_any_size_down_to_one_pixel(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "x.png"
    PIL.Image.new("L", size, 7).save(path)
    assert open_image(path).pixels.shape == (size[1], size[0], 3)


def test_a_name_that_is_not_utf8(tmp_path: Path, pixels: np.ndarray) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    try:
        PIL.Image.fromarray(pixels).save(path)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert open_image(path).file_name.encode() == "caf\ufffd.png".encode()


# What is refused ----------------------------------------------------------------------------------


def test_missing(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.jpg") == "no such file; check the path."
    (tmp_path / "file").write_bytes(b"x")
    assert refusal(tmp_path / "file" / "x.jpg") == "no such file; check the path."


def test_odd_paths(tmp_path: Path) -> None:
    assert "can't be opened" in refusal(tmp_path / "a\0b.jpg")
    assert "can't be opened" in refusal(tmp_path / ("x" * 5000))


def test_folder(tmp_path: Path) -> None:
    expected = f"is a folder, not an image; name its files, for example {tmp_path}/*.jpg."
    assert refusal(tmp_path) == expected


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is not a regular file" in refusal(tmp_path / "pipe")


def test_permissions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.png"
    PIL.Image.new("L", (4, 4)).save(path)
    path.chmod(0)
    if os.access(path, os.R_OK):  # root may read everything

        def denied(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", denied)
    assert refusal(path) == "permission denied; make the file and its folders readable."


def test_empty(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").touch()
    assert refusal(tmp_path / "x.jpg") == "is empty (0 bytes); copy or export it again."


@pytest.mark.parametrize("data", [b"hello, this is text\n", b"\0"])
def test_not_an_image(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.jpg").write_bytes(data)
    expected = "is not an image in a supported format; convert it to JPEG, PNG, WebP or TIFF."
    assert refusal(tmp_path / "x.jpg") == expected


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff", "gif", "bmp", "ppm", "avif"])
def test_truncated(tmp_path: Path, pixels: np.ndarray, suffix: str, share: float) -> None:
    if suffix == "avif" and not PIL.features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    data = io.BytesIO()
    name = {"jpg": "JPEG", "tiff": "TIFF"}.get(suffix, suffix)
    PIL.Image.fromarray(pixels).save(data, format=name)
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(data.getvalue()[: int(share * len(data.getvalue()))])
    text = refusal(path)
    assert text.startswith("is truncated or damaged (")
    assert text.endswith("); copy or export it again.")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff", "gif", "bmp"])
def test_damage_anywhere_gives_an_image_or_a_sentence(
    tmp_path: Path, pixels: np.ndarray, suffix: str
) -> None:
    path = tmp_path / f"x.{suffix}"
    PIL.Image.fromarray(pixels).save(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(60):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), 4):
            data[at] = rng.integers(256)
        path.write_bytes(bytes(data))
        try:
            assert open_image(path).pixels.ndim == 3
        except ImageError as error:
            assert str(error).startswith(f"{path}: ")


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header promises many pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + crc

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + data + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [(20_000, 10_001), (100_000, 100_000)])
def test_decompression_bomb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    monkeypatch.setattr(PIL.Image.Image, "load", lambda _: pytest.fail("decoded"))
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(*size))
    limit = PIL.Image.MAX_IMAGE_PIXELS
    assert refusal(path) == (
        f"{size[0]} x {size[1]} pixels are more than the limit of 200 million; "
        "shrink or tile the image."
    )
    assert limit == PIL.Image.MAX_IMAGE_PIXELS


@pytest.mark.filterwarnings("error")
def test_the_limit_is_ours_not_pillows(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(bomb(20_000, 9_999))
    assert MAX_PIXELS == 200_000_000
    check_image(path)  # Pillow would refuse 179 million


def test_check_reads_headers_only(tmp_path: Path, pixels: np.ndarray) -> None:
    path = tmp_path / "x.png"
    PIL.Image.fromarray(pixels).save(path)
    path.write_bytes(path.read_bytes()[:200])
    check_image(path)
    path.write_bytes(b"nothing")
    with pytest.raises(ImageError, match="is not an image"):
        check_image(path)


# Arrays -------------------------------------------------------------------------------------------


def test_from_array(pixels: np.ndarray) -> None:
    image = from_array(pixels[:, ::-1], "frame 7")
    assert np.array_equal(image.pixels, pixels[:, ::-1])
    assert image.file_name == "frame 7"
    assert image.sha256 == hashlib.sha256(image.pixels.tobytes()).hexdigest()


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), [[1]]],
)
def test_from_array_says_what_it_expects(wrong: object) -> None:
    with pytest.raises(ImageError, match=r"^array: expected .*, got"):
        from_array(wrong)  # type: ignore[arg-type]


def test_from_array_without_pixels() -> None:
    with pytest.raises(ImageError, match="has no pixels"):
        from_array(np.zeros((0, 4, 3), np.uint8))


# Bytes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "tiff", "webp"])
def test_bytes_give_what_the_file_gives(tmp_path: Path, pixels: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"photo.{suffix}"
    frames = [PIL.Image.fromarray(pixels[::-1])]
    more = {"save_all": True, "append_images": frames} if suffix in ("gif", "tiff") else {}
    PIL.Image.fromarray(pixels).save(path, **more)
    assert read_file(path) == path.read_bytes()
    one, other = open_image(path), read_image(read_file(path), f"photos.tar:a/photo.{suffix}")
    assert np.array_equal(one.pixels, other.pixels)
    assert (one.file_name, one.sha256, one.notes) == (
        other.file_name,
        other.sha256,
        other.notes,
    )


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"\xff\xd8\xff cut off", bomb(20_000, 10_001), bomb(90, 90)[:50]]
)
def test_bytes_are_refused_like_the_file(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(data)
    with pytest.raises(ImageError) as caught:
        read_image(data, "table.parquet row 7")
    assert str(caught.value) == f"table.parquet row 7: {refusal(path)}"


def test_a_file_is_refused_by_the_name_the_user_gave(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    for path in (tmp_path / "empty.jpg", tmp_path / "gone.jpg"):
        with pytest.raises(ImageError) as caught:
            read_file(path, "p/x.jpg")
        assert str(caught.value) == f"p/x.jpg: {refusal(path)}"
    with pytest.raises(ImageError, match=r"^p/q: is a folder, .* for example p/q/\*\.jpg\.$"):
        read_file(tmp_path, "p/q")
