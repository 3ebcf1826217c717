"""Files made to cost a reader dearly: small ones that promise much, and endless ones."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache

import PIL.features
import PIL.Image

from fuzzing.seeds import seeds

SIDE = 14_100  # squared just under the limit of 200 million pixels
MANY = 100_000_000


def png(width: int, height: int, colour: int, body: bytes, before: bytes = b"") -> bytes:
    """A PNG of 8 bits; colour 0 is grey, 2 RGB, 6 RGBA. `body` is its packed lines."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))
    end = chunk(b"IDAT", body) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + before + end


def chunk(kind: bytes, body: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + checksum


@cache
def zeros(n: int) -> bytes:
    """n zero bytes, packed."""
    packer = zlib.compressobj(9)
    step = bytes(2**20)
    parts = [packer.compress(step[: min(2**20, n - i)]) for i in range(0, n, 2**20)]
    return b"".join(parts) + packer.flush()


SMALL = zlib.compress(bytes(4))  # the lines of a picture of 1 x 1


def png_large() -> bytes:
    return png(SIDE, SIDE, 2, zeros(SIDE * (3 * SIDE + 1)))


def png_large_transparent() -> bytes:
    return png(SIDE, SIDE, 6, zeros(SIDE * (4 * SIDE + 1)))


def png_medium_transparent() -> bytes:
    return png(5000, 5000, 6, zeros(5000 * (4 * 5000 + 1)))


def png_promise() -> bytes:
    return png(50_000, 50_000, 2, SMALL)


def png_line() -> bytes:
    return png(199_999_999, 1, 0, SMALL)


def png_profile() -> bytes:
    return png(1, 1, 2, SMALL, chunk(b"iCCP", b"p\0\0" + zeros(MANY)))


def png_text() -> bytes:
    return png(1, 1, 2, SMALL, chunk(b"zTXt", b"t\0\0" + zeros(MANY)))


def png_international_text() -> bytes:
    return png(1, 1, 2, SMALL, chunk(b"iTXt", b"t\0\x01\0\0\0" + zeros(MANY)))


def png_many_texts() -> bytes:
    text = chunk(b"zTXt", b"t\0\0" + zeros(1_000_000))
    return png(1, 1, 2, SMALL, text * 2000)


def png_many_chunks() -> bytes:
    return png(1, 1, 2, SMALL, chunk(b"tEXt", b"a\0b") * 300_000)


def png_surplus_pixels() -> bytes:
    return png(1, 1, 2, zeros(MANY))


def png_frames() -> bytes:
    control = chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))
    return png(1, 1, 2, SMALL, control)


def tiff(entries: list[tuple[int, int, int, int]], rest: bytes = b"", following: int = 0) -> bytes:
    """A TIFF of one directory, (tag, type, count, value) each, `rest` behind it."""
    table = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    directory = struct.pack("<H", len(entries)) + table + struct.pack("<I", following)
    return b"II*\0" + struct.pack("<I", 8) + directory + rest


def _grey_tiff(width: int, height: int, packing: int, body: bytes) -> bytes:
    """One strip of grey bytes."""
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, packing)]
    entries += [(262, 3, 1, 1), (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, len(body))]
    start = 8 + 2 + 12 * (len(entries) + 1) + 4
    return tiff([*entries, (273, 4, 1, start)], body)


def tiff_large() -> bytes:
    side = 13_300  # TIFF has a limit of its own
    return _grey_tiff(side, side, 8, zeros(side * side))


def tiff_surplus_pixels() -> bytes:
    return _grey_tiff(10, 10, 8, zeros(MANY))


def tiff_promise() -> bytes:
    return _grey_tiff(13_300, 13_300, 5, b"\x80\x00")


def tiff_tile() -> bytes:
    """A small picture in one tile of four gigapixels."""
    entries = [(256, 4, 1, 10), (257, 4, 1, 10), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1)]
    entries += [(277, 3, 1, 1), (322, 4, 1, 65_536), (323, 4, 1, 65_536), (324, 4, 1, 200)]
    return tiff([*entries, (325, 4, 1, 20)], bytes(200))


def tiff_strip() -> bytes:
    """A small picture in one strip that states four gigabytes."""
    whole = _grey_tiff(10, 10, 1, bytes(100))
    stated = struct.pack("<HHII", 279, 4, 1, 100)
    return whole.replace(stated, struct.pack("<HHII", 279, 4, 1, 2**32 - 1))


def tiff_channels() -> bytes:
    whole = _grey_tiff(10, 10, 1, bytes(100))
    stated = struct.pack("<HHII", 277, 3, 1, 1)
    return whole.replace(stated, struct.pack("<HHII", 277, 3, 1, 65_535))


def tiff_long_value() -> bytes:
    """A directory entry with four billion values."""
    return tiff([(256, 4, 1, 1), (257, 4, 1, 1), (258, 3, 2**32 - 1, 0), (262, 3, 1, 1)])


def tiff_circle() -> bytes:
    """A directory that follows itself."""
    return _grey_tiff(10, 10, 1, bytes(100))[:-104] + struct.pack("<I", 8) + bytes(100)


def tiff_many_pages() -> bytes:
    """100,000 directories, each with one entry, behind a sound first page."""
    first = bytearray(_grey_tiff(10, 10, 1, bytes(100)))
    start = len(first)
    struct.pack_into("<I", first, start - 104, start)
    page = struct.pack("<HHHII", 1, 256, 4, 1, 10)
    pages = (page + struct.pack("<I", start + 18 * (i + 1)) for i in range(99_999))
    return bytes(first) + b"".join(pages) + page + bytes(4)


def gif_large() -> bytes:
    """A screen just under the limit with a picture of one pixel."""
    screen = struct.pack("<6sHHBBB", b"GIF89a", SIDE, SIDE, 0x80, 0, 0) + bytes(6)
    return screen + struct.pack("<BHHHHBBB", 44, 0, 0, 1, 1, 0, 2, 2) + b"\x44\x01\0;"


def gif_frame() -> bytes:
    """A small screen with a picture of four gigapixels."""
    screen = struct.pack("<6sHHBBB", b"GIF89a", 1, 1, 0x80, 0, 0) + bytes(6)
    return screen + struct.pack("<BHHHHBBB", 44, 0, 0, 65_535, 65_535, 0, 2, 2) + b"\x44\x01\0;"


def gif_many_frames() -> bytes:
    screen = struct.pack("<6sHHBBB", b"GIF89a", 1, 1, 0x80, 0, 0) + bytes(6)
    frame = struct.pack("<BHHHHBBB", 44, 0, 0, 1, 1, 0, 2, 2) + b"\x44\x01\0"
    return screen + frame * 200_000 + b";"


def gif_comment() -> bytes:
    screen = struct.pack("<6sHHBBB", b"GIF89a", 1, 1, 0x80, 0, 0) + bytes(6)
    return screen + b"\x21\xfe" + (b"\xff" + b"a" * 255) * 40_000 + b"\0;"


def jpeg_promise() -> bytes:
    return _resized(seeds()["jpeg-baseline"], b"\xff\xc0", SIDE)


def jpeg_progressive_promise() -> bytes:
    return _resized(seeds()["jpeg-progressive"], b"\xff\xc2", 10_900)


def jpeg_progressive_large() -> bytes:
    out = io.BytesIO()
    image = PIL.Image.new("CMYK", (10_900, 10_900))
    image.save(out, "JPEG", progressive=True, subsampling=0)
    return out.getvalue()


def jpeg_scans() -> bytes:
    """Half a megabyte that goes 20,000 times over 16 million pixels."""
    whole = _blank("JPEG", (4000, 4000), progressive=True)
    scan = whole[whole.rindex(b"\xff\xc4") : -2]  # the last one and its Huffman table
    return whole[:-2] + scan * 20_000 + whole[-2:]


def jpeg_comments() -> bytes:
    whole = seeds()["jpeg-baseline"]
    return whole[:2] + b"\xff\xfe\x00\x03a" * 1_000_000 + whole[2:]


def _resized(data: bytes, marker: bytes, side: int) -> bytes:
    at = data.index(marker) + 5
    return data[:at] + struct.pack(">HH", side, side) + data[at + 4 :]


def webp_large() -> bytes:
    return _blank("WEBP", (16_383, 5490), lossless=True, method=0)


def avif_large() -> bytes:
    return _blank("AVIF", (8900, 8900), speed=10)


def jpeg2000_large() -> bytes:
    return _blank("JPEG2000", (7700, 7700))


def jpeg2000_promise() -> bytes:
    """One stated tile of 59 million pixels in three components."""
    data = bytearray(seeds()["jpeg2000-jp2"])
    box, size = data.index(b"ihdr") + 4, data.index(b"\xff\x51") + 6
    struct.pack_into(">II", data, box, 7700, 7700)
    struct.pack_into(">IIIIII", data, size, 7700, 7700, 0, 0, 7700, 7700)
    return bytes(data)


def _blank(kind: str, size: tuple[int, int], **options: object) -> bytes:
    out = io.BytesIO()
    PIL.Image.new("RGB", size).save(out, kind, **options)
    return out.getvalue()


def bmp_promise() -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, SIDE, -SIDE, 1, 24, 0, 0, 0, 0, 0, 0)
    return struct.pack("<2sIHHI", b"BM", 54, 0, 0, 54) + header


def bmp_runs() -> bytes:
    """Runs that fill 199 million pixels, 255 a time."""
    header = struct.pack("<IiiHHIIiiII", 40, SIDE, SIDE, 1, 8, 1, 0, 0, 0, 256, 0)
    start = struct.pack("<2sIHHI", b"BM", 0, 0, 0, 54 + 1024) + header + bytes(1024)
    return start + (b"\xff\x07" * 55 + b"\x4b\x07" + b"\x00\x00") * SIDE + b"\x00\x01"


def ico_large() -> bytes:
    return _icon(png(SIDE, SIDE, 6, zeros(SIDE * (4 * SIDE + 1))))


def ico_promise() -> bytes:
    return _icon(png(50_000, 50_000, 6, SMALL))


def _icon(inside: bytes) -> bytes:
    """An icon that states 16 x 16."""
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(inside), 22) + inside


def ico_many() -> bytes:
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, 100, 22)
    return struct.pack("<HHH", 0, 1, 65_535) + entry * 65_535


def qoi_runs() -> bytes:
    """Runs of 62 pixels, one byte each, that fill 119 million pixels."""
    return b"qoif" + struct.pack(">IIBB", 10_900, 10_900, 4, 0) + b"\xfd" * 2_000_000


def tga_runs() -> bytes:
    side = 14_080  # whole packets of 128 pixels, as a row may not share one
    header = struct.pack("<BBBHHBHHHHBB", 0, 0, 10, 0, 0, 0, 0, 0, side, side, 32, 0x28)
    return header + b"\xff\x01\x02\x03\x80" * (side * side // 128)


def pcx_runs() -> bytes:
    side = 14_112  # whole runs of 63, as a row may not share one
    header = struct.pack("<BBBBHHHHHH", 10, 5, 1, 8, 0, 0, side - 1, side - 1, 72, 72)
    header += bytes(49) + struct.pack("<BHH", 3, side, 1)
    return header.ljust(128, b"\0") + b"\xff\x07" * (3 * side * side // 63)


def ppm_number() -> bytes:
    return b"P3\n" + b"9" * 1_000_000


def ppm_promise() -> bytes:
    return b"P6\n14100 14100\n255\n" + bytes(1000)


def ppm_text() -> bytes:
    """Ten megabytes of white space where five million numbers should be."""
    return b"P3\n1400 1400\n255\n" + b" " * 10_000_000


def ppm_text_promise() -> bytes:
    return b"P2\n14100 14100\n255\n" + b"1 " * 2_000_000


BOMBS: list[Callable[[], bytes]] = [
    png_large,
    png_large_transparent,
    png_medium_transparent,
    png_promise,
    png_line,
    png_profile,
    png_text,
    png_international_text,
    png_many_texts,
    png_many_chunks,
    png_surplus_pixels,
    png_frames,
    tiff_large,
    tiff_surplus_pixels,
    tiff_promise,
    tiff_tile,
    tiff_strip,
    tiff_channels,
    tiff_long_value,
    tiff_circle,
    tiff_many_pages,
    gif_large,
    gif_frame,
    gif_many_frames,
    gif_comment,
    jpeg_promise,
    jpeg_progressive_promise,
    jpeg_progressive_large,
    jpeg_scans,
    jpeg_comments,
    webp_large,
    jpeg2000_large,
    jpeg2000_promise,
    bmp_promise,
    bmp_runs,
    ico_large,
    ico_promise,
    ico_many,
    qoi_runs,
    tga_runs,
    pcx_runs,
    ppm_number,
    ppm_promise,
    ppm_text,
    ppm_text_promise,
]
if PIL.features.check("avif"):
    BOMBS.append(avif_large)
