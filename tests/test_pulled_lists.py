"""`zeroguide models pull` embeds the lists of a recipe, so that no run has to."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import REPOSITORY

from zeroguide.cli import main
from zeroguide.labeler import Labeler
from zeroguide.recipe import load_recipe


@pytest.mark.parametrize(
    ("method", "prompt", "n_lists"),
    [
        ("phrases", "a photo of", 2),
        ("vocabulary", "a photo of", 2),
        ("beam", "a photo of a", 2),
        ("beam", "a photo of", 1),  # names don't begin there: the list isn't read
        ("zerocap", "a photo of", 1),
    ],
)
def test_pull_leaves_no_list_to_make(
    method: str,
    prompt: str,
    n_lists: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tiny = REPOSITORY / "zeroguide" / "recipe" / "presets" / "tiny.toml"
    text = tiny.read_text().replace('method = "beam"', f'method = "{method}"')
    text = text.replace('prompt = "a photo of"', f'prompt = "{prompt}"')
    (tmp_path / "own.toml").write_text(text)
    assert main(["models", "pull", "--preset", str(tmp_path / "own.toml")]) == 0
    assert "104 embedded" in capsys.readouterr().out
    lists = sorted((tmp_path / "cache").rglob("*.npy"))
    assert len(lists) == n_lists
    Labeler(load_recipe(str(tmp_path / "own.toml")), device="cpu", offline=True)
    assert sorted((tmp_path / "cache").rglob("*.npy")) == lists
