from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from zeroguide.errors import ZeroguideError
from zeroguide.result import Label, Labeling
from zeroguide.system.files import write_atomically


@pytest.fixture
def labeling() -> Labeling:
    label_map = np.random.default_rng(0).integers(0, 5, (9, 7))
    label_map[0, :5] = range(5)
    image = SimpleNamespace(
        file_name="b ü.jpg", sha256="0" * 64, pixels=np.zeros((9, 7, 3), np.uint8)
    )
    labels = [Label(f"étiquette {i}", i / 3, i / 5, [("alt", 0.1)], [i, i + 9]) for i in range(5)]
    return Labeling.build(image, label_map, labels, {"name": "tiny", "versions": {}, "seed": 0})


def test_json_round_trip(labeling: Labeling, tmp_path: Path) -> None:
    path = tmp_path / "b ü.jpg.json"
    labeling.save(path)
    again = Labeling.load(path)
    assert again.to_dict() == labeling.to_dict()
    assert np.array_equal(again.label_map, labeling.label_map)
    assert os.listdir(tmp_path) == [path.name]  # no temporary file stays
    text = path.read_text("utf-8")
    assert json.loads(text) == labeling.to_dict()
    assert "étiquette" in text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    labeling: Labeling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.json"
    labeling.save(path)
    before = path.read_bytes()

    def fail(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(ZeroguideError, match=r"x\.json: can't be written \(No space left"):
        labeling.save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["x.json"]


def test_write_errors_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "missing" / "x.json", tmp_path / "folder"):
        with pytest.raises(ZeroguideError) as e:
            write_atomically(path, b"x")
        assert str(path) in str(e.value) and "\n" not in str(e.value)
    assert os.listdir(tmp_path) == ["folder"]


def test_written_files_are_as_readable_as_others(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    write_atomically(tmp_path / "b", b"")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a zeroguide result"),
        (b"\xff\xfe\x00", "not a zeroguide result"),
        (b'{"schema": "zeroguide/1"', "not a zeroguide result"),
        (b"[1]", "expected schema 'zeroguide/1'"),
        (b'{"schema": "zeroguide/1"}', "the field 'image' is missing"),
    ],
)
def test_load_refuses_other_files(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(ZeroguideError, match=message) as e:
        Labeling.load(path)
    assert str(path) in str(e.value)


def test_load_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ZeroguideError, match=r"none\.json: can't be read"):
        Labeling.load(tmp_path / "none.json")
