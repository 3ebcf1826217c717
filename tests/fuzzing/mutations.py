"""Damage done to image files, the same for the same number."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable

from fuzzing.seeds import HEIGHT, WIDTH, seeds

NUMBERS = [0, 1, 2, 3, 4, 8, 255, 256, 4096, 14_000, 65_500, 2**15 - 1, 2**15, 2**16 - 1, 2**16]
NUMBERS += [100_000, 2**24, 2**31 - 1, 2**31, 2**32 - 1]
KINDS = [">H", "<H", ">I", "<I"]  # of numbers: 16 and 32 bits, either byte order
_PNG = b"\x89PNG\r\n\x1a\n"


def mutated(number: int) -> tuple[str, bytes]:
    """What was done to which file, and the damaged file; number 0, 1, 2, ... goes round all."""
    rng = random.Random(number)
    names = sorted(seeds())
    name = names[number % len(names)]
    data = bytearray(seeds()[name])
    done = []
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        mutate = rng.choice(MUTATIONS)
        data = mutate(data, rng)
        done.append(mutate.__name__)
    if data.startswith(_PNG) and rng.random() < 0.7:  # else nothing gets past the checksums
        data = _with_checksums(data)
    return f"{name} {'+'.join(done)}", bytes(data)


def flip_bits(data: bytearray, rng: random.Random) -> bytearray:
    for _ in range(rng.choice([1, 1, 2, 8, 64])):
        if data:
            data[_place(data, rng)] ^= 1 << rng.randrange(8)
    return data


def overwrite(data: bytearray, rng: random.Random) -> bytearray:
    """A run of noise, zeros or ones."""
    start, length = _place(data, rng), rng.choice([1, 2, 4, 16, 200])
    noise = rng.choice([rng.randbytes(length), bytes(length), b"\xff" * length])
    data[start : start + length] = noise[: max(len(data) - start, 0)]
    return data


def truncate(data: bytearray, rng: random.Random) -> bytearray:
    return data[: _place(data, rng)]


def extend(data: bytearray, rng: random.Random) -> bytearray:
    return data + rng.randbytes(rng.choice([1, 7, 1000]))


def splice(data: bytearray, rng: random.Random) -> bytearray:
    """The beginning of one file, the end of another; half of the time of the same format."""
    others = list(seeds().values())
    same = [other for other in others if other[:4] == data[:4]]
    other = rng.choice(same if same and rng.random() < 0.5 else others)
    return data[: _place(data, rng)] + other[_place(bytearray(other), rng) :]


def insert_block(data: bytearray, rng: random.Random) -> bytearray:
    """A part of the file once more, at another place."""
    start, to, length = _place(data, rng), _place(data, rng), rng.choice([1, 8, 64, 1000])
    data[to:to] = data[start : start + length]
    return data


def delete_block(data: bytearray, rng: random.Random) -> bytearray:
    start = _place(data, rng)
    del data[start : start + rng.choice([1, 2, 4, 12, 100])]
    return data


def set_number(data: bytearray, rng: random.Random) -> bytearray:
    """A 16- or 32-bit field anywhere, mostly in the header, gets an awkward value."""
    return _write(data, _place(data, rng), rng.choice(NUMBERS), rng.choice(KINDS))


def set_size(data: bytearray, rng: random.Random) -> bytearray:
    """The picture's width or height, wherever the file states it."""
    value, size = rng.choice(NUMBERS), rng.choice([WIDTH, HEIGHT])
    found = [
        (at, kind)
        for kind in KINDS
        for stated in (size, size - 1)  # WebP and PCX store one less
        if (at := data.find(struct.pack(kind, stated), 0, 600)) >= 0
    ]
    if not found:
        return data.replace(str(size).encode(), str(value).encode(), 1)  # PPM writes it out
    at, kind = rng.choice(found)
    return _write(data, at, value, kind)


def set_length(data: bytearray, rng: random.Random) -> bytearray:
    """A field that could be a length or an offset within the file."""
    kind = rng.choice(KINDS)
    width = struct.calcsize(kind)
    start = _place(data, rng)
    for at in range(start, min(start + 200, len(data) - width + 1)):
        stated = struct.unpack_from(kind, data, at)[0]
        if 4 <= stated <= len(data):
            value = rng.choice([*NUMBERS, stated - 1, stated + 1, 2 * stated, len(data), at])
            return _write(data, at, value, kind)
    return data


MUTATIONS: list[Callable[[bytearray, random.Random], bytearray]] = [
    flip_bits,
    overwrite,
    truncate,
    extend,
    splice,
    insert_block,
    delete_block,
    set_number,
    set_size,
    set_length,
]


def _place(data: bytearray, rng: random.Random) -> int:
    """A position, half of the time in the first 200 bytes, where the decisions are made."""
    end = len(data) if rng.random() < 0.5 else min(200, len(data))
    return rng.randrange(max(end, 1))


def _write(data: bytearray, at: int, value: int, kind: str) -> bytearray:
    packed = struct.pack(kind, value % 2 ** (8 * struct.calcsize(kind)))
    data[at : at + len(packed)] = packed
    return data


def _with_checksums(data: bytearray) -> bytearray:
    at = len(_PNG)
    while at + 12 <= len(data):
        end = at + 8 + struct.unpack_from(">I", data, at)[0]
        if end + 4 > len(data):
            break
        struct.pack_into(">I", data, end, zlib.crc32(data[at + 4 : end]))
        at = end + 4
    return data
