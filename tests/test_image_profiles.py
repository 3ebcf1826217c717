"""Embedded colour profiles: pixels become sRGB, and those of sRGB stay what they are."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from PIL import ImageCms

from zeroguide.image import from_pillow, open_image

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def fixed(*numbers: float) -> bytes:
    return struct.pack(f">{len(numbers)}i", *(round(number * 65536) for number in numbers))


def curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)


def profile(
    space: bytes, tags: dict[bytes, bytes], pcs: bytes = b"XYZ ", kind: bytes = b"mntr"
) -> bytes:
    """An ICC profile, version 2."""
    name = b"made by a test\0"
    about = b"desc" + bytes(4) + struct.pack(">I", len(name)) + name + bytes(78)
    tags = {b"desc": about, b"cprt": b"text" + bytes(4) + b"none\0", **tags}
    tags[b"wtpt"] = b"XYZ " + bytes(4) + fixed(0.9642, 1, 0.8249)
    place = 128 + 4 + 12 * len(tags)
    table = body = b""
    for tag, content in tags.items():
        content += bytes(-len(content) % 4)
        table += tag + struct.pack(">II", place + len(body), len(content))
        body += content
    head = struct.pack(">I4sI4s4s4s", place + len(body), b"none", 0x02400000, kind, space, pcs)
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp"
    head = head.ljust(68, b"\0") + fixed(0.9642, 1, 0.8249)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def matrix(primaries: list[tuple[float, float, float]], gamma: float) -> bytes:
    tags = {}
    for letter, primary in zip(b"rgb", primaries, strict=True):
        tags[bytes([letter]) + b"XYZ"] = b"XYZ " + bytes(4) + fixed(*primary)
        tags[bytes([letter]) + b"TRC"] = curve(gamma)
    return profile(b"RGB ", tags)


# Display P3's primaries, adapted to D50, with gamma 2.2.
WIDE = matrix([(0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841)], 2.2)
LINEAR_GREY = profile(b"GRAY", {b"kTRC": curve(1.0)})


def inks() -> bytes:
    """CMYK whose cyan ink is yellow and whose yellow ink is cyan, to tell it from Pillow's own."""
    corners = []
    for c, m, y, k in np.ndindex(2, 2, 2, 2):
        lightness = 255 * (1 - k) * (1 - 0.3 * (c + y) / 2 - 0.5 * m)
        corners += [round(lightness), 128 + 60 * m - 40 * y, 128 + 60 * c - 50 * y]
    ramp = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    table += ramp * 4 + bytes(corners) + ramp * 3
    return profile(b"CMYK", {b"A2B0": table}, b"Lab ", b"prtr")


def in_srgb(image: PIL.Image.Image, data: bytes) -> np.ndarray:
    made = ImageCms.profileToProfile(
        image,
        ImageCms.ImageCmsProfile(io.BytesIO(data)),
        ImageCms.createProfile("sRGB"),
        outputMode="RGB",
    )
    assert made is not None
    return np.asarray(made)


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", ["png", "tiff", "webp"])
def test_wide_colours_become_srgb(tmp_path: Path, pixels: np.ndarray, suffix: str) -> None:
    picture = PIL.Image.fromarray(pixels)
    picture.save(tmp_path / f"x.{suffix}", icc_profile=WIDE, lossless=True)
    image = open_image(tmp_path / f"x.{suffix}")
    assert np.array_equal(image.pixels, in_srgb(picture, WIDE))
    assert np.abs(image.pixels.astype(int) - pixels).max() > 30  # or it would prove nothing
    assert image.notes == ()
    with PIL.Image.open(tmp_path / f"x.{suffix}") as opened:
        assert np.array_equal(from_pillow(opened).pixels, image.pixels)


def test_a_wide_red_is_redder(tmp_path: Path) -> None:
    PIL.Image.new("RGB", (8, 8), (200, 60, 60)).save(tmp_path / "x.png", icc_profile=WIDE)
    red, green, _ = open_image(tmp_path / "x.png").pixels[0, 0].tolist()
    assert red > 205
    assert green < 50


@pytest.mark.parametrize("mode", ["RGBA", "P", "L", "LA", "1"])
def test_colours_of_every_mode_become_srgb(tmp_path: Path, pixels: np.ndarray, mode: str) -> None:
    picture = PIL.Image.fromarray(pixels).convert(mode)
    picture.save(tmp_path / "x.png", icc_profile=WIDE)
    expected = in_srgb(picture.convert("RGB"), WIDE)
    assert np.array_equal(open_image(tmp_path / "x.png").pixels, expected)


def test_what_is_transparent_stays_white(tmp_path: Path, pixels: np.ndarray) -> None:
    picture = PIL.Image.fromarray(pixels).convert("RGBA")
    picture.putalpha(0)
    picture.save(tmp_path / "x.png", icc_profile=WIDE)
    assert (open_image(tmp_path / "x.png").pixels == 255).all()


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_linear_grey_becomes_srgb(tmp_path: Path, pixels: np.ndarray, mode: str) -> None:
    picture = PIL.Image.fromarray(pixels).convert(mode)
    picture.save(tmp_path / "x.png", icc_profile=LINEAR_GREY)
    image = open_image(tmp_path / "x.png")
    grey = np.asarray(picture.convert("L"))
    assert np.array_equal(image.pixels, in_srgb(picture.convert("L"), LINEAR_GREY))
    assert image.pixels[grey == 64].min() > 120


def test_sixteen_bit_grey_becomes_srgb(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 960).reshape(24, 40).astype(np.uint16)
    PIL.Image.fromarray(values).save(tmp_path / "x.png", icc_profile=LINEAR_GREY)
    grey = PIL.Image.fromarray(np.rint(values / 257).astype(np.uint8))
    assert np.array_equal(open_image(tmp_path / "x.png").pixels, in_srgb(grey, LINEAR_GREY))


def test_inks_become_srgb(tmp_path: Path) -> None:
    picture = PIL.Image.new("CMYK", (16, 16), (0, 0, 255, 0))
    picture.paste((255, 0, 0, 0), (0, 0, 16, 8))
    picture.save(tmp_path / "x.tif", icc_profile=inks())
    image = open_image(tmp_path / "x.tif")
    assert np.array_equal(image.pixels, in_srgb(picture, inks()))
    red, green, blue = image.pixels[2, 2].tolist()
    assert min(red, green) > blue + 60  # the cyan ink is yellow


@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff"])
def test_srgb_stays_what_it_is(tmp_path: Path, pixels: np.ndarray, suffix: str) -> None:
    picture = PIL.Image.fromarray(pixels)
    picture.save(tmp_path / f"plain.{suffix}")
    expected = open_image(tmp_path / f"plain.{suffix}").pixels
    # the second has another name and rounds a little differently
    renamed = SRGB.replace("sRGB".encode("utf-16-be"), "abcd".encode("utf-16-be"))
    assert renamed != SRGB
    for data in (SRGB, renamed):
        picture.save(tmp_path / f"x.{suffix}", icc_profile=data)
        image = open_image(tmp_path / f"x.{suffix}")
        assert np.array_equal(image.pixels, expected)
        assert image.notes == ()


@pytest.mark.parametrize("data", [b"no profile", WIDE[:200], WIDE[:128] + bytes(500)])
def test_a_damaged_profile_is_ignored_and_said(
    tmp_path: Path, pixels: np.ndarray, data: bytes
) -> None:
    PIL.Image.fromarray(pixels).save(tmp_path / "x.png", icc_profile=data)
    image = open_image(tmp_path / "x.png")
    assert np.array_equal(image.pixels, pixels)
    assert image.notes == ("damaged colour profile ignored",)


@pytest.mark.parametrize(
    ("mode", "data", "note"),
    [
        ("RGB", LINEAR_GREY, "colour profile ignored: it is for GRAY, the image is RGB"),
        ("RGB", inks(), "colour profile ignored: it is for CMYK, the image is RGB"),
        ("CMYK", WIDE, "colour profile ignored: it is for RGB, the image is CMYK"),
        ("L", inks(), "colour profile ignored: it is for CMYK, the image is GRAY"),
    ],
)
def test_another_images_profile_is_ignored_and_said(
    tmp_path: Path, pixels: np.ndarray, mode: str, data: bytes, note: str
) -> None:
    picture = PIL.Image.fromarray(pixels).convert(mode)
    picture.save(tmp_path / "x.tif", icc_profile=data)
    image = open_image(tmp_path / "x.tif")
    assert np.array_equal(image.pixels, np.asarray(picture.convert("RGB")))
    assert image.notes == (note,)


def test_without_littlecms(
    tmp_path: Path, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    PIL.Image.fromarray(pixels).save(tmp_path / "x.png", icc_profile=WIDE)
    monkeypatch.setattr("PIL.features.check", lambda name: False)
    image = open_image(tmp_path / "x.png")
    assert np.array_equal(image.pixels, pixels)
    assert image.notes == ("colour profile ignored: this Pillow was built without LittleCMS",)
