"""Everything a user can get wrong: one clear sentence, the right exit code, nothing half-written.

Odd but readable images go through the real flow, with tiny random models.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hub_folders
import numpy as np
import PIL.Image
import pytest

import zeroguide
from zeroguide.cli import main
from zeroguide.errors import ImageError
from zeroguide.image import open_image
from zeroguide.result import Labeling

ROOT = Path(zeroguide.__file__).parent.parent


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe of three tiny random models."""
    root = tmp_path_factory.mktemp("models")
    hub_folders.dino_folder(root / "dino")
    hub_folders.clip_folder(root / "clip")
    hub_folders.language_model_folder(root / "lm")
    (root / "random.toml").write_text(
        f"""
        knows = "random numbers"
        [models]
        dino = '{root}/dino'
        clip = '{root}/clip'
        language_model = '{root}/lm'
        [features]
        shorter_side = 48
        [segmenter]
        n_segments = 4
        [embedding]
        masked_blocks = 1
        [decoder]
        method = "beam"
        vocabulary = "everyday"
        templates = "templates_photo"
        beam_size = 2
        n_candidates = 4
        max_tokens = 2
        """
    )
    return root / "random.toml"


def picture(mode: str = "RGB", size: tuple[int, int] = (60, 40)) -> PIL.Image.Image:
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return PIL.Image.fromarray(blocks).resize(size, PIL.Image.Resampling.NEAREST).convert(mode)


def truncated(name: str) -> None:
    picture().save(name)
    data = Path(name).read_bytes()
    Path(name).write_bytes(data[: len(data) // 2])


def bomb(name: str) -> None:
    """70 bytes that promise 2.5 gigapixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + crc

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    Path(name).write_bytes(b"\x89PNG\r\n\x1a\n" + header + body)


UNREADABLE: dict[str, tuple[Callable[[str], object], int, str]] = {
    "text.jpg": (
        lambda name: Path(name).write_text("no image"),
        1,
        "is not an image in a supported format; convert it to JPEG, PNG, WebP or TIFF.",
    ),
    "empty.jpg": (
        lambda name: Path(name).touch(),
        1,
        "is empty (0 bytes); copy or export it again.",
    ),
    "half.jpg": (
        truncated,
        1,
        "is truncated or damaged (...); copy or export it again.",
    ),
    "half.png": (
        truncated,
        1,
        "is truncated or damaged (...); copy or export it again.",
    ),
    "missing.jpg": (lambda name: None, 1, "no such file; check the path."),
    "folder": (
        lambda name: Path(name).mkdir(),
        2,
        "has no image in it; name a folder with images or image files.",
    ),
    "bomb.png": (
        bomb,
        1,
        "50000 x 50000 pixels are more than the limit of 200 million; shrink or tile the image.",
    ),
}


@pytest.mark.parametrize("command", ["label", "segment"])
@pytest.mark.parametrize("name", UNREADABLE)
def test_unreadable_image(name: str, command: str, capsys: pytest.CaptureFixture) -> None:
    make, code, message = UNREADABLE[name]
    make(name)
    before = sorted(os.listdir())
    assert main([command, name, "--preset", "tiny"]) == code
    out, err = capsys.readouterr()
    err = re.sub(r"\(image file .*\);", "(...);", err)  # Pillow's words
    assert (out, err) == ("", f"error: {name}: {message}\n")
    assert sorted(os.listdir()) == before


def test_no_permission(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    picture().save("secret.png")
    Path("secret.png").chmod(0)
    if os.access("secret.png", os.R_OK):  # root may read everything
        really_open = Path.open

        def denied(path: Path, *args: Any, **options: Any) -> Any:
            if path.name == "secret.png":
                raise PermissionError(13, "Permission denied")
            return really_open(path, *args, **options)

        monkeypatch.setattr(Path, "open", denied)
    assert main(["label", "secret.png", "--preset", "tiny"]) == 1
    assert capsys.readouterr().err == (
        "error: secret.png: permission denied; make the file and its folders readable.\n"
    )
    assert os.listdir() == ["secret.png"]


@pytest.mark.parametrize(("name", "code"), [("missing.jpg", 1), ("text.jpg", 1), ("folder", 2)])
def test_through_the_real_process(name: str, code: int) -> None:
    UNREADABLE[name][0](name)
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "zeroguide", "label", name],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr == f"error: {name}: {UNREADABLE[name][2]}\n"


# Odd but readable ---------------------------------------------------------------------------------


def turned(name: str) -> None:
    image = picture()
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(name, exif=exif)


def moving(name: str) -> None:
    frames = [picture(), picture().transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT)]
    frames[0].save(name, save_all=True, append_images=frames[1:])


def deep(name: str) -> None:
    PIL.Image.fromarray(np.asarray(picture("L")).astype(np.uint16) * 257).save(name)


def see_through(name: str) -> None:
    picture().quantize(8).save(name, transparency=0)


# name -> how it is made, (width, height) of the result, what is noted about it
READABLE: dict[str, tuple[Callable[[str], object], tuple[int, int], str]] = {
    "small.png": (lambda name: picture(size=(2, 2)).save(name), (2, 2), ""),
    "line.png": (lambda name: picture(size=(300, 1)).save(name), (300, 1), ""),
    "deep.png": (deep, (60, 40), "values from 6939 to 54741 stretched to the full range"),
    "print.jpg": (lambda name: picture("CMYK").save(name), (60, 40), ""),
    "palette.png": (see_through, (60, 40), "transparency laid on white"),
    "grey.png": (lambda name: picture("L").save(name), (60, 40), ""),
    "one colour.png": (lambda name: PIL.Image.new("RGB", (60, 40)).save(name), (60, 40), ""),
    "moving.gif": (moving, (60, 40), "animated GIF: only the first frame is used"),
    "turned.jpg": (turned, (40, 60), ""),
}


@pytest.mark.parametrize("command", ["label", "segment"])
def test_odd_images_are_labelled(command: str, recipe: Path, capsys: pytest.CaptureFixture) -> None:
    for name, (make, _, _) in READABLE.items():
        make(name)
    assert main([command, *READABLE, "--preset", str(recipe), "--device", "cpu", "-o", "out"]) == 0
    out, err = capsys.readouterr()
    notes = [f"note: {name}: {note}." for name, (_, _, note) in READABLE.items() if note]
    said = "9 images labelled; " if command == "label" else ""
    expected = ["note: preset random: random numbers.", *notes, f"note: {said}results are in out."]
    assert sorted(err.splitlines()) == sorted(expected)
    for name, (_, size, _) in READABLE.items():
        labeling = Labeling.load(f"out/{name}.json")  # checks: every pixel in one segment
        assert (labeling.width, labeling.height) == size
        rows = [line for line in out.splitlines() if line.startswith(f"{name}\t")]
        assert len(rows) == len(labeling.segments)
        with PIL.Image.open(f"out/{name}.png") as overlay:
            overlay.load()
    assert not list(Path("out").glob(".*"))


SHIPPED = ROOT / "zeroguide" / "models" / "weights" / "tiny"


@pytest.mark.skipif(
    not all((SHIPPED / part).is_dir() for part in ("dino", "clip", "lm")),
    reason="the shipped weights haven't been trained yet",
)
def test_tiny_says_what_it_knows(capsys: pytest.CaptureFixture) -> None:
    names = ["a.png", "b.png"]
    for name in names:
        picture(size=(112, 112)).save(name)
    assert main(["label", *names, "--preset", "tiny", "--device", "cpu", "--offline"]) == 0
    out, err = capsys.readouterr()
    assert err.count("Playroom scenes") == 1
    assert {line.split("\t")[0] for line in out.splitlines()} == set(names)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((20000, 8), "a picture of 20000 x 8 px makes 90000 feature cells, more than the 50000"),
    ],
)
@pytest.mark.parametrize("command", ["label", "segment"])
def test_sizes_beyond_the_recipe(
    command: str,
    size: tuple[int, int],
    message: str,
    recipe: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    """Readable, but not with this recipe: the sentence names the settings that would do."""
    picture(size=size).save("odd.png")
    assert main([command, "odd.png", "--preset", str(recipe), "-q"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: odd.png: {message}")
    assert err.count("\n") == 1
    assert os.listdir() == ["odd.png"]
    remedy = ["--set", "segmenter.n_segments=1", "--set", "features.shorter_side=8"]
    assert main([command, "odd.png", "--preset", str(recipe), "-q", *remedy]) == 0


# Presets, keys, folders ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--preset", "tinny"], "unknown preset 'tinny': did you mean 'tiny'?"),
        (["--preset", "mine.toml"], "there is no recipe file mine.toml"),
        (
            ["--set", "decoder.method=bean"],
            "unknown decoder.method 'bean': did you mean 'beam'?",
        ),
        (["--set", "decoder.beamsize=3"], "did you mean 'decoder.beam_size'?"),
        (["--set", "decoder.beam_size=many"], "decoder.beam_size='many' is wrong"),
        (["--device", "gpu"], "unknown device 'gpu'; use auto, cpu, cuda, cuda:N or mps."),
    ],
)
def test_wrong_settings(flags: list[str], message: str, capsys: pytest.CaptureFixture) -> None:
    picture().save("photo.png")
    assert main(["label", "photo.png", *flags]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1
    assert os.listdir() == ["photo.png"]


def test_output_below_a_file(capsys: pytest.CaptureFixture) -> None:
    picture().save("photo.png")
    assert main(["label", "photo.png", "-o", "photo.png/out", "--preset", "tiny"]) == 1
    assert capsys.readouterr().err == (
        "error: photo.png/out: can't write to this folder (Not a directory); make it writable or "
        "choose another with -o.\n"
    )


def test_output_is_a_file(capsys: pytest.CaptureFixture) -> None:
    picture().save("photo.png")
    Path("notes.txt").write_text("mine")
    assert main(["label", "photo.png", "-o", "notes.txt", "--preset", "tiny"]) == 1
    message = "error: notes.txt: is a file, not a folder; name another with -o.\n"
    assert capsys.readouterr().err == message
    assert Path("notes.txt").read_text() == "mine"


@pytest.mark.parametrize("command", ["label", "segment"])
def test_addresses_of_the_web(command: str, capsys: pytest.CaptureFixture) -> None:
    assert main([command, "https://a.b/photo.jpg", "--preset", "tiny"]) in (1, 2)
    assert "nothing is fetched from the web; download" in capsys.readouterr().err
    with pytest.raises(ImageError, match=r"^https:/a\.b/photo\.jpg: nothing is fetched"):
        open_image("https://a.b/photo.jpg")


def test_output_folder_not_writable(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture().save("photo.png")
    Path("out").mkdir()
    Path("out").chmod(0o500)
    if os.access("out", os.W_OK):  # root may write everywhere

        def denied(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("tempfile.TemporaryFile", denied)
    assert main(["label", "photo.png", "-o", "out", "--preset", "tiny"]) == 1
    assert capsys.readouterr().err == (
        "error: out: can't write to this folder (Permission denied); make it writable or choose "
        "another with -o.\n"
    )
    Path("out").chmod(0o700)
    assert os.listdir("out") == []


# Weights ------------------------------------------------------------------------------------------


def damage(folder: Path, what: str) -> None:
    weights = next(folder.glob("*.safetensors"))
    if what == "no weights":
        weights.unlink()
    elif what == "no configuration":
        next(folder.glob("*config.json")).unlink()
    elif what == "cut":
        weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    elif what == "noise":
        weights.write_bytes(bytes(1000))


@pytest.mark.parametrize("what", ["no weights", "cut", "noise"])
@pytest.mark.parametrize("role", ["dino", "clip", "language_model"])
def test_damaged_weights(role: str, what: str, recipe: Path, capsys: pytest.CaptureFixture) -> None:
    picture().save("photo.png")
    own = {"language_model": "lm"}.get(role, role)
    shutil.copytree(recipe.parent / own, "copy")
    damage(Path("copy"), what)
    flags = ["--preset", str(recipe), "--set", f"models.{role}=copy", "-q"]
    assert main(["label", "photo.png", *flags]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert "copy" in err
    assert "unexpected" not in err
    assert err.count("\n") == 1
    assert sorted(os.listdir()) == ["copy", "photo.png"]


def test_missing_folder_of_weights(recipe: Path, capsys: pytest.CaptureFixture) -> None:
    picture().save("photo.png")
    flags = ["--preset", str(recipe), "--set", "models.clip=./none", "-q"]
    assert main(["label", "photo.png", *flags]) == 1
    err = capsys.readouterr().err
    assert err == "error: there is no folder ./none, and it isn't a hub id (owner/name).\n"


@pytest.mark.parametrize("argv", [["label", "photo.png", "--preset", "fast"], ["models", "check"]])
def test_weights_not_downloaded(
    argv: list[str],
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    picture().save("photo.png")
    assert main([*argv, "-q"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "zeroguide models pull --preset fast" in err
    assert "use the preset photo" in err
    assert err.count("\n") == 1
    assert not Path("labels").exists()


def test_failures_file_is_json_lines(capsys: pytest.CaptureFixture) -> None:
    Path("a\u00e9.jpg").touch()
    assert main(["label", "a\u00e9.jpg", "b.jpg", "--preset", "tiny", "-q"]) == 1
    lines = Path("labels/failures.jsonl").read_text().splitlines()
    assert [json.loads(line)["file"] for line in lines] == ["a\u00e9.jpg", "b.jpg"]
