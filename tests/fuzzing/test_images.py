"""Damaged images and bombs: pixels or one sentence, never a crash, a hang or gigabytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from fuzzing import bombs, reader
from fuzzing.bombs import BOMBS
from fuzzing.mutations import mutated
from fuzzing.running import read_files
from fuzzing.seeds import HEIGHT, WIDTH, seeds
from zeroguide.errors import ImageError
from zeroguide.image import open_image, read_image
from zeroguide.image.pillow_formats import FORMATS

pytestmark = pytest.mark.slow

GIGABYTES_2 = 2_000_000_000
# All of them run in scripts/check/fuzz_images.py; these decode hundreds of megapixels.
COSTLY = ("_large", "_large_transparent", "_runs", "jpeg_promise", "jpeg_progressive_promise")


def test_the_seeds_are_sound_and_of_every_format() -> None:
    for name, data in seeds().items():
        shape = read_image(data, name).pixels.shape
        turned = name in ("jpeg-baseline", "png-rgb", "webp-lossy", "tiff-plain", "avif")
        expected = (22, 32) if name.startswith("ico") else (HEIGHT, WIDTH)
        assert shape[:2] == (expected[::-1] if turned else expected), name
    assert {name.partition("-")[0].upper() for name in seeds()} >= set(FORMATS) - {"AVIF", "HEIF"}


def test_mutations_repeat_and_change_the_file() -> None:
    assert mutated(5) == mutated(5)
    names = sorted(seeds())
    changed = [mutated(i)[1] != seeds()[names[i % len(names)]] for i in range(300)]
    assert sum(changed) > 250  # deleting behind the end, setting a number to what it was


def test_damaged_files() -> None:
    entries = list(read_files(range(1500)))
    assert [e["number"] for e in entries] == list(range(1500))
    assert [e for e in entries if e["outcome"].startswith("fault")] == []
    assert max(e["peak"] for e in entries) < GIGABYTES_2
    for name in seeds():  # neither is everything refused nor everything taken
        outcomes = {e["outcome"].partition(":")[0] for e in entries if e["what"].startswith(name)}
        assert outcomes == {"image", "refused"}, name


def test_bombs() -> None:
    cheap = [i for i, bomb in enumerate(BOMBS) if not bomb.__name__.endswith(COSTLY)]
    outcomes = {BOMBS[i].__name__: reader.read(BOMBS[i]()) for i in cheap}
    assert len(outcomes) > 25
    assert {name: o for name, o in outcomes.items() if o.startswith("fault")} == {}


def test_a_picture_is_held_twice_at_most() -> None:
    """Pillow's four bytes a pixel and the three of the result, with transparency as well."""
    number = next(i for i, bomb in enumerate(BOMBS) if bomb is bombs.png_medium_transparent)
    (entry,) = read_files(range(number, number + 1), bombs=True)
    if not entry["peak"]:
        pytest.skip("this system doesn't say how much memory a process had at most")
    assert entry["outcome"] == "image"
    assert 5000 * 5000 * 7 < entry["peak"] < 5000 * 5000 * 8 + 120_000_000


def test_a_reader_that_dies_is_a_fault_and_the_next_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("fuzzing.running.TESTS", tmp_path / "tests")
    package = tmp_path / "tests" / "fuzzing"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "reader.py").write_text(
        "import json, os\n"
        "def main(start, stop, bombs):\n"
        "    for i in range(start, stop):\n"
        "        print(json.dumps({'number': i}), flush=True)\n"
        "        if i == 1: os.abort()\n"
        "        print(json.dumps({'number': i, 'outcome': 'image'}), flush=True)\n"
    )
    entries = [(e["number"], e["outcome"]) for e in read_files(range(3))]
    assert entries == [(0, "image"), (1, "fault: the reader ended with code -6"), (2, "image")]


@pytest.mark.parametrize("outcome", ["two\nlines; remedy.", "no remedy", "a\x1b[31m; remedy."])
def test_what_is_no_sentence_is_a_fault(outcome: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(data: bytes, name: str) -> None:
        raise ImageError(f"{name}: {outcome}")

    monkeypatch.setattr(reader, "read_image", refuse)
    assert reader.read(b"").startswith("fault: not a sentence")


# Sizes that cost too much -------------------------------------------------------------------------


def test_a_progressive_jpeg_of_many_scans(tmp_path: Path) -> None:
    path = tmp_path / "scans.jpg"
    path.write_bytes(bombs.jpeg_scans())
    with pytest.raises(ImageError, match=r"has 20010 scans; save it as a plain JPEG\.$"):
        open_image(path)


@pytest.mark.parametrize(
    ("kind", "million"), [("AVIF", 80), ("JPEG2000", 60), ("QOI", 120), ("TIFF", 178), ("WEBP", 90)]
)
def test_formats_with_a_lower_limit(
    kind: str, million: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The size in the header decides; just under the limit the file is taken."""
    seed = next(data for name, data in seeds().items() if name.startswith(kind.lower()))
    size = (million * 1000 + 1, 1000)
    monkeypatch.setattr("PIL.Image.Image.size", property(lambda self: size))
    monkeypatch.setattr("PIL.Image.Image.width", property(lambda self: size[0]))
    monkeypatch.setattr("PIL.Image.Image.height", property(lambda self: size[1]))
    message = rf"more than the limit of {million} million for {kind}; shrink or tile the image\.$"
    with pytest.raises(ImageError, match=message):
        read_image(seed, "large")


def test_an_icon_with_a_huge_picture_inside() -> None:
    with pytest.raises(ImageError, match="has more pixels than can be read; shrink or tile"):
        read_image(bombs.ico_promise(), "large.ico")


def test_pictures_of_several_blocks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is read in parts is the same picture, turned or not, with transparency and 16 bits."""
    whole = {name: read_image(data, name) for name, data in seeds().items()}
    monkeypatch.setattr("zeroguide.image.rgb._BLOCK", 50)
    for name, data in seeds().items():
        parts = read_image(data, name)
        assert np.array_equal(parts.pixels, whole[name].pixels), name
        assert parts.notes == whole[name].notes
    for name in ("png-rgba", "webp-lossless", "tiff-lzw"):
        assert whole[name].notes == ("transparency laid on white",)
        with PIL.Image.open(_written(tmp_path, seeds()[name])) as image:
            white = PIL.Image.new("RGBA", image.size, "white")
            white.alpha_composite(image.convert("RGBA"))
            assert np.array_equal(whole[name].pixels, np.asarray(white.convert("RGB")))


def _written(folder: Path, data: bytes) -> Path:
    (folder / "x").write_bytes(data)
    return folder / "x"
