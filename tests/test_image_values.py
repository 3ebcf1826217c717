"""Images of more than 8 bits: sensors, thermal cameras, elevation models, 16-bit colours."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from zeroguide.errors import ImageError
from zeroguide.image import from_pillow, open_image, to_image
from zeroguide.image.value_range import own_range


def ramp(low: float, high: float, shape: tuple[int, ...] = (24, 40)) -> np.ndarray:
    return np.linspace(low, high, int(np.prod(shape))).reshape(shape)


def png16(values: np.ndarray, colour: int) -> bytes:
    """A PNG of uint16 values (h, w, bands); colour: 2 RGB, 4 grey and alpha, 6 RGBA."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + crc

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def tiff(values: np.ndarray, *, order: str = "<", deflate: bool = False, planar: int = 1) -> bytes:
    """A TIFF of (h, w, bands) numbers in one strip; order: of the bytes, as in struct."""
    height, width, bands = values.shape
    laid = values if planar == 1 else np.moveaxis(values, 2, 0)
    data = laid.astype(values.dtype.newbyteorder(order)).tobytes()
    if deflate:
        data = zlib.compress(data)
    bits = [values.dtype.itemsize * 8] * bands
    kinds = [3 if values.dtype.kind == "f" else 1] * bands
    short, long = "H", "I"
    tags = {
        256: (long, [width]), 257: (long, [height]), 258: (short, bits),
        259: (short, [8 if deflate else 1]), 262: (short, [2]), 273: (long, [8]),
        277: (short, [bands]), 278: (long, [height]), 279: (long, [len(data)]),
        284: (short, [planar]), 339: (short, kinds),
    }  # fmt: skip
    place = 8 + len(data) + 2 + 12 * len(tags) + 4  # of what doesn't fit into an entry
    entries = after = b""
    for tag, (kind, numbers) in tags.items():
        body = struct.pack(f"{order}{len(numbers)}{kind}", *numbers)
        if len(body) > 4:
            after, body = after + body, struct.pack(f"{order}I", place + len(after))
        entries += struct.pack(f"{order}HHI", tag, 3 if kind == short else 4, len(numbers))
        entries += body.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(data))
    return head + data + struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + after


def written(path: Path, values: np.ndarray, **options: object) -> Path:
    PIL.Image.fromarray(values).save(path, **options)
    return path


# Grey ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high"), [(0, 4095), (0, 16383), (29_000, 31_000), (120, 64_000), (7, 8)]
)
@pytest.mark.parametrize("suffix", ["png", "tiff", "pgm"])
def test_sixteen_bits_use_all_of_grey(tmp_path: Path, suffix: str, low: int, high: int) -> None:
    values = np.rint(ramp(low, high)).astype(np.uint16)
    image = open_image(written(tmp_path / f"x.{suffix}", values))
    expected = np.rint((values - float(low)) * 255 / (high - low))
    assert np.abs(image.pixels - expected[:, :, None]).max() <= 1
    assert image.notes == (f"values from {low} to {high} stretched to the full range",)


@pytest.mark.parametrize("values", [ramp(-3.5, 2200.25), ramp(0.4, 0.42), ramp(-40, -39)])
def test_elevations_and_small_floats_use_all_of_grey(tmp_path: Path, values: np.ndarray) -> None:
    image = open_image(written(tmp_path / "x.tif", values.astype(np.float32)))
    assert np.abs(image.pixels[..., 0] - ramp(0, 255)).max() <= 1
    assert len(image.notes) == 1


def test_signed_values(tmp_path: Path) -> None:
    image = open_image(written(tmp_path / "x.tif", np.rint(ramp(-400, 9000)).astype(np.int32)))
    assert np.abs(image.pixels[..., 0] - ramp(0, 255)).max() <= 1


@pytest.mark.parametrize("void", [np.nan, np.inf, -np.inf, -9999, -32768, -3.4028235e38, 1e20])
@pytest.mark.parametrize("n", [1, 500])
def test_what_is_no_data_does_not_count(tmp_path: Path, void: float, n: int) -> None:
    values = ramp(250, 900).astype(np.float32)
    values.flat[-n:] = values.flat[0]
    hole = values.copy()
    hole.flat[-n:] = void
    image = open_image(written(tmp_path / "x.tif", hole))
    whole = open_image(written(tmp_path / "whole.tif", values))
    assert np.array_equal(image.pixels[:11], whole.pixels[:11])
    assert set(image.pixels.reshape(-1, 3)[-n:, 0]) <= {0, 255}
    if not np.isfinite(void):
        assert f"black where there is no data, {n / 960:.2%} of the values" in image.notes
        assert (image.pixels.reshape(-1, 3)[-n:] == 0).all()


def test_the_no_data_value_that_a_file_names(tmp_path: Path) -> None:
    values = np.rint(ramp(10, 210)).astype(np.uint16)
    values[0] = 255
    image = open_image(written(tmp_path / "x.tif", values, tiffinfo={42113: "255"}))
    assert (image.pixels[0] == 0).all()
    assert image.pixels.max() == 255
    assert any(note.startswith("black where there is no data") for note in image.notes)


def test_dead_and_glaring_pixels_do_not_count(tmp_path: Path) -> None:
    values = np.rint(ramp(29_000, 31_000, (100, 100))).astype(np.uint16)
    rng = np.random.default_rng(0)
    places = rng.integers(0, values.size, 8)
    values.flat[places[:4]] = rng.integers(0, 500, 4)
    values.flat[places[4:]] = rng.integers(60_000, 65_536, 4)
    pixels = open_image(written(tmp_path / "x.png", values)).pixels
    good = np.ones(values.size, bool)
    good[places] = False
    assert pixels.std() > 70
    assert np.abs(pixels[..., 0].ravel() - ramp(0, 255, (100, 100)).ravel())[good].max() <= 3


def test_two_values_are_both_seen(tmp_path: Path) -> None:
    values = np.full((8, 8), 1000, np.uint16)
    values[4:] = 1001
    assert sorted(set(open_image(written(tmp_path / "x.png", values)).pixels.flat)) == [0, 255]


def test_one_value_is_said(tmp_path: Path) -> None:
    values = np.full((8, 8), 1000, np.uint16)
    image = open_image(written(tmp_path / "x.png", values))
    assert image.notes == ("all values are 1000: a picture of one grey",)


def test_without_any_number(tmp_path: Path) -> None:
    path = written(tmp_path / "x.tif", np.full((8, 8), np.nan, np.float32))
    with pytest.raises(ImageError, match="holds no values that are numbers; export it again"):
        open_image(path)


def test_the_range_does_not_depend_on_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(1).normal(1000, 30, (24, 40)).astype(np.float32)
    values[3, 3], values[7] = 1e9, -9999
    path = written(tmp_path / "x.tif", values)
    whole = open_image(path)
    monkeypatch.setattr("zeroguide.image.rgb._BLOCK", 50)
    parts = open_image(path)
    assert np.array_equal(whole.pixels, parts.pixels)
    assert whole.notes == parts.notes
    assert own_range(lambda: iter([np.array([])])) is None


# A range that is given ----------------------------------------------------------------------------


def test_frames_of_one_range_are_comparable(tmp_path: Path) -> None:
    cold = written(tmp_path / "cold.png", np.rint(ramp(1000, 2000)).astype(np.uint16))
    warm = written(tmp_path / "warm.png", np.rint(ramp(2000, 3000)).astype(np.uint16))
    one, other = (open_image(path, (1000, 3000)) for path in (cold, warm))
    assert (one.pixels.min(), one.pixels.max()) == (0, 128)
    assert (other.pixels.min(), other.pixels.max()) == (128, 255)
    assert one.notes == other.notes == ()
    with PIL.Image.open(warm) as picture:
        assert np.array_equal(from_pillow(picture, (1000, 3000)).pixels, other.pixels)
    assert np.array_equal(to_image(warm, (1000, 3000)).pixels, other.pixels)


def test_what_lies_outside_is_cut_and_said(tmp_path: Path) -> None:
    path = written(tmp_path / "x.png", np.array([[0, 100, 150, 200]], np.uint16))
    image = open_image(path, (100, 150))
    assert image.pixels[0, :, 0].tolist() == [0, 0, 255, 255]
    assert image.notes == ("50.00% of the values lie outside of the value range",)


def test_bytes_are_no_values(tmp_path: Path) -> None:
    values = np.rint(ramp(3, 90)).astype(np.uint8)
    assert np.array_equal(
        open_image(written(tmp_path / "x.png", values), (0, 4095)).pixels[..., 0], values
    )


# Colours ------------------------------------------------------------------------------------------

COLOURS = np.random.default_rng(0).integers(100, 4096, (24, 40, 3)).astype(np.uint16)
COLOURS[0, 0], COLOURS[0, 1] = 100, 4095


def stretched(values: np.ndarray) -> np.ndarray:
    return np.rint((values - 100.0) * 255 / 3995)


@pytest.mark.parametrize(
    "data",
    [
        png16(COLOURS, 2),
        tiff(COLOURS),
        tiff(COLOURS, order=">"),
        tiff(COLOURS, deflate=True),
        tiff(COLOURS, order=">", deflate=True),
    ],
    ids=["png", "tiff", "big-endian tiff", "deflated", "big-endian deflated"],
)
def test_twelve_bit_colours_are_not_black(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    image = open_image(tmp_path / "x")
    assert np.abs(image.pixels - stretched(COLOURS)).max() <= 1
    assert image.notes == ("values from 100 to 4095 stretched to the full range",)


@pytest.mark.parametrize("colour", [4, 6])
def test_deep_colours_with_alpha(tmp_path: Path, colour: int) -> None:
    n = 1 if colour == 4 else 3
    alpha = np.full((24, 40, 1), 65535, np.uint16)
    alpha[5:] = 0
    (tmp_path / "x.png").write_bytes(png16(np.dstack([COLOURS[..., :n], alpha]), colour))
    image = open_image(tmp_path / "x.png")
    assert (image.pixels[5:] == 255).all()
    seen = COLOURS[..., :n]
    low, high = seen.min(), seen.max()
    expected = np.rint((seen[:5] - float(low)) * 255 / (float(high) - low))
    assert np.abs(image.pixels[:5] - expected).max() <= 1
    assert "transparency laid on white" in image.notes


def test_full_sixteen_bit_colours(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (24, 40, 3)).astype(np.uint16)
    values[0, 0], values[0, 1] = 0, 65535
    (tmp_path / "x.png").write_bytes(png16(values, 2))
    image = open_image(tmp_path / "x.png")
    assert np.abs(image.pixels - values / 257).max() <= 0.5
    assert image.notes == ()


def test_deep_colours_too_large(tmp_path: Path) -> None:
    data = bytearray(png16(COLOURS, 2))
    header = b"IHDR" + struct.pack(">IIBBBBB", 15_000, 10_000, 16, 2, 0, 0, 0)
    data[12:33] = header + struct.pack(">I", zlib.crc32(header))
    (tmp_path / "x.png").write_bytes(data)
    with pytest.raises(ImageError, match="limit of 120 million for 16-bit colours"):
        open_image(tmp_path / "x.png")


# What Pillow has no mode for ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((4, 4, 3), np.float32), "3 bands of 32-bit floating-point numbers"),
        (np.zeros((4, 4, 3), np.float64), "3 bands of 64-bit floating-point numbers"),
        (np.zeros((4, 4, 8), np.uint16), "8 bands of 16-bit whole numbers"),
        (np.zeros((4, 4, 3), np.uint32), "3 bands of 32-bit whole numbers"),
    ],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_of_other_numbers_is_called_what_it_is(
    tmp_path: Path, values: np.ndarray, words: str, order: str
) -> None:
    (tmp_path / "x.tif").write_bytes(tiff(values, order=order))
    with pytest.raises(ImageError) as caught:
        open_image(tmp_path / "x.tif")
    assert f"is a TIFF with {words}, which isn't read; save it as RGB" in str(caught.value)


def test_bands_that_lie_apart_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.tif").write_bytes(tiff(COLOURS, planar=2))
    with pytest.raises(ImageError, match="stores 16-bit bands one after the other"):
        open_image(tmp_path / "x.tif")
