"""Files and folders given by a user become a list of image files."""

from pathlib import Path

import pytest

from zeroguide.errors import UsageError
from zeroguide.runs.sources import find_images


def made(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def found(paths: list[Path], output: Path = Path("out")) -> tuple[list[str], list[str]]:
    notes: list[str] = []
    return [str(path) for path in find_images(paths, output, notes.append)], notes


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_folders_are_searched_at_any_depth_and_sorted():
    made(Path(), "p/b.JPG", "p/a/z.png", "p/notes.txt", "p/.hidden.png", "p/.git/x.png", "p/png")
    Path("p/loop").symlink_to("..", target_is_directory=True)
    note = "p: 1 linked folders that lead back to a folder around them are left out"
    assert found([Path("p")]) == (["p/a/z.png", "p/b.JPG"], [note])
    # files stay what they are, in the order given, whatever they are called
    assert found([Path("x.txt"), Path("p")])[0] == ["x.txt", "p/a/z.png", "p/b.JPG"]


def test_nothing_is_there_twice():
    made(Path(), "p/a.png", "p/b.png")
    assert found([Path("p/b.png"), Path("p"), Path("p/../p/a.png")])[0] == ["p/b.png", "p/a.png"]


def test_results_are_no_pictures():
    made(Path(), "p/a.png", "p/out/a.png.png", "p/out/c.jpg")
    made(Path(), "p/old/a.png.map.png", "p/old/a.jpeg.mask.png", "p/old/a.b.png")
    images, notes = found([Path("p")], Path("p/out"))
    assert images == ["p/a.png", "p/old/a.b.png"]
    assert notes == ["p: 2 files named like results (photo.jpg.png) are left out"]
    # what is named itself is meant
    assert found([Path("p/old/a.png.map.png")]) == (["p/old/a.png.map.png"], [])


def test_exports_of_a_run_are_no_pictures():
    made(Path(), "p/a.png", "p/exports/masks/a.png", "p/q/exports/b.png", "p/q/run.json")
    assert len(found([Path("p")])[0]) == 3
    Path("p/run.json").write_text('{"schema": "zeroguide-run/1"}')
    assert found([Path("p")]) == (["p/a.png", "p/q/exports/b.png"], [])


def test_a_folder_without_images():
    made(Path(), "p/notes.txt")
    with pytest.raises(UsageError, match="p: has no image in it"):
        found([Path("p")])
