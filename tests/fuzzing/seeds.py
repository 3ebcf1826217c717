"""Small sound image files of every format that is read, made here."""

from __future__ import annotations

import io
import struct
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import PIL.features
import PIL.Image
import PIL.ImageCms
import PIL.PngImagePlugin

# Odd numbers that hardly occur in a file by chance, so that mutations find them in its header.
WIDTH, HEIGHT = 53, 37


@cache
def seeds() -> dict[str, bytes]:
    """Name -> file, the format before the first "-" of the name; the same on every call."""
    photo, grey, see_through = _picture("RGB"), _picture("L"), _picture("RGBA")
    made = {
        "jpeg-baseline": _saved(photo, "JPEG", exif=_exif(), icc_profile=_profile()),
        "jpeg-progressive": _saved(photo, "JPEG", progressive=True, restart_marker_blocks=4),
        "jpeg-cmyk": _saved(_picture("CMYK"), "JPEG", comment=b"a comment"),
        "jpeg-grey": _saved(grey, "JPEG"),
        "mpo": _saved(photo, "MPO", save_all=True, append_images=[photo.rotate(180)]),
        "png-rgb": _saved(photo, "PNG", pnginfo=_texts(), icc_profile=_profile(), exif=_exif()),
        "png-rgba": _saved(see_through, "PNG"),
        "png-palette": _saved(photo.quantize(7), "PNG", transparency=b"\x00\x80\xff"),
        "png-bits": _saved(photo.convert("1"), "PNG", dpi=(300, 300)),
        "png-16": _saved(_deep(np.uint16), "PNG"),
        "png-moving": _saved(photo, "PNG", save_all=True, append_images=[photo.rotate(180)] * 2),
        "webp-lossy": _saved(photo, "WEBP", exif=_exif(), icc_profile=_profile()),
        "webp-lossless": _saved(see_through, "WEBP", lossless=True),
        "webp-moving": _saved(photo, "WEBP", save_all=True, append_images=[photo.rotate(180)]),
        "tiff-plain": _saved(photo, "TIFF", exif=_exif(), icc_profile=_profile()),
        "tiff-lzw": _saved(see_through, "TIFF", compression="tiff_lzw"),
        "tiff-deflate": _saved(photo, "TIFF", compression="tiff_adobe_deflate"),
        "tiff-packbits": _saved(photo.quantize(7), "TIFF", compression="packbits"),
        "tiff-jpeg": _saved(photo, "TIFF", compression="jpeg"),
        "tiff-fax": _saved(photo.convert("1"), "TIFF", compression="group4"),
        "tiff-float": _saved(_deep(np.float32), "TIFF"),
        "tiff-16": _saved(_deep(np.uint16), "TIFF"),
        "tiff-pages": _saved(grey, "TIFF", save_all=True, append_images=[grey.rotate(180)] * 2),
        "tiff-big-endian": _big_endian_tiff(),
        "gif-still": _saved(photo, "GIF", comment=b"a comment"),
        "gif-moving": _saved(photo, "GIF", save_all=True, append_images=[photo.rotate(180)]),
        "bmp-rgb": _saved(photo, "BMP"),
        "bmp-palette": _saved(photo.quantize(7), "BMP"),
        "bmp-alpha": _saved(see_through, "BMP"),
        "bmp-runs": _run_length_bmp(),
        "dib": _saved(photo, "DIB"),
        "jpeg2000-jp2": _saved(photo, "JPEG2000"),
        "jpeg2000-stream": _saved(photo, "JPEG2000", no_jp2=True, tile_size=(16, 16)),
        "ico-png": _saved(see_through, "ICO", sizes=[(16, 16), (32, 32)]),
        "ico-bmp": _saved(see_through, "ICO", sizes=[(16, 16), (32, 32)], bitmap_format="bmp"),
        "ppm-rgb": _saved(photo, "PPM"),
        "ppm-grey": _saved(grey, "PPM"),
        "ppm-bits": _saved(photo.convert("1"), "PPM"),
        "ppm-float": _saved(_deep(np.float32), "PPM"),
        "ppm-16": _saved(_deep(np.uint16), "PPM"),
        "ppm-text": _text_ppm(),
        "qoi-rgb": _saved(photo, "QOI"),
        "qoi-rgba": _saved(see_through, "QOI"),
        "tga-plain": _saved(photo, "TGA"),
        "tga-runs": _saved(see_through, "TGA", compression="tga_rle"),
        "tga-palette": _saved(photo.quantize(7), "TGA"),
        "pcx-rgb": _saved(photo, "PCX"),
        "pcx-palette": _saved(photo.quantize(7), "PCX"),
        "pcx-bits": _saved(photo.convert("1"), "PCX"),
    }
    if find_spec("pillow_heif"):
        import pillow_heif

        pillow_heif.register_heif_opener()
        made["heif"] = _saved(photo, "HEIF", icc_profile=_profile())
    if PIL.features.check("avif"):
        made["avif"] = _saved(photo, "AVIF", exif=_exif())
        made["avif-alpha"] = _saved(see_through, "AVIF")
        made["avif-moving"] = _saved(
            photo, "AVIF", save_all=True, append_images=[photo.rotate(180)]
        )
    return made


def _picture(mode: str) -> PIL.Image.Image:
    """Blocks of colour with some noise: every predictor and filter has work to do."""
    rng = np.random.default_rng(7)
    blocks = rng.integers(0, 256, (5, 7, 4), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    pixels = blocks[:HEIGHT, :WIDTH] ^ rng.integers(0, 4, (HEIGHT, WIDTH, 1), dtype=np.uint8)
    image = PIL.Image.fromarray(pixels)  # RGBA
    return image if mode == "RGBA" else image.convert("RGB").convert(mode)


def _deep(kind: Any) -> PIL.Image.Image:
    values = np.linspace(0, 60_000, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
    return PIL.Image.fromarray(values.astype(kind))


def _saved(image: PIL.Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def _exif() -> PIL.Image.Exif:
    exif = PIL.Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    return exif


def _profile() -> bytes:
    return PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()


def _texts() -> PIL.PngImagePlugin.PngInfo:
    texts = PIL.PngImagePlugin.PngInfo()
    texts.add_text("Title", "plain")
    texts.add_text("Comment", "packed " * 50, zip=True)
    texts.add_itxt("Author", "packed " * 50, zip=True)
    return texts


def _big_endian_tiff() -> bytes:
    body = np.asarray(_picture("L")).tobytes()
    entries = [(256, WIDTH), (257, HEIGHT), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1)]
    entries += [(278, HEIGHT), (279, len(body))]
    table = b"".join(struct.pack(">HHII", tag, 4, 1, value) for tag, value in entries)
    directory = struct.pack(">H", len(entries)) + table + bytes(4)
    return b"MM\x00*" + struct.pack(">I", 8 + len(body)) + body + directory


def _run_length_bmp() -> bytes:
    """RLE8: runs, literals and the end-of-line and end-of-picture escapes."""
    palette = b"".join(struct.pack("<BBBB", i, 255 - i, i // 2, 0) for i in range(256))
    line = bytes([40, 9, 0, 13, *range(13), 0, 0, 0])  # 40 equal, 13 literal, padded, end of line
    body = line * HEIGHT + b"\x00\x01"
    offset = 14 + 40 + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, WIDTH, HEIGHT, 1, 8, 1, len(body), 2835, 2835, 256, 0)
    return struct.pack("<2sIHHI", b"BM", offset + len(body), 0, 0, offset) + header + palette + body


def _text_ppm() -> bytes:
    numbers = " ".join(map(str, np.asarray(_picture("RGB")).ravel()))
    return f"P3\n# a comment\n{WIDTH} {HEIGHT}\n255\n{numbers}\n".encode()
