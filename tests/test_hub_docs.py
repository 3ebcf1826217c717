"""The pages about errors and about working offline: what they quote is said, what they run runs."""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path

import PIL.Image
import pytest
from conftest import REPOSITORY, TINY

from zeroguide.cli import main

DOCS = REPOSITORY / "docs"
ANY = "\0"  # stands for what a message fills in


def messages() -> list[str]:
    """Every text in the package, with ANY for what is filled in."""
    found = []
    for path in (REPOSITORY / "zeroguide").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [str(p.value) if isinstance(p, ast.Constant) else ANY for p in node.values]
                found.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return [text for text in found if len(text.replace(ANY, "")) >= 15]


def quoted(page: str) -> list[str]:
    return re.findall(r"^error: (.+)\.$", (DOCS / page).read_text(encoding="utf-8"), re.M)


def is_said(sentence: str, known: list[str]) -> bool:
    """Whether one of the texts, filled in, is the sentence, a name before it left aside."""
    for text in known:
        if max(text.removesuffix(".").split(ANY), key=len) not in sentence:
            continue  # saves most of the matching
        pattern = re.escape(text.removesuffix(".")).replace(ANY, ".*")
        if re.fullmatch(rf"(\S+: )?{pattern}", sentence):
            return True
    return False


def test_every_quoted_message_exists() -> None:
    known = messages()
    sentences = quoted("troubleshooting.md")
    assert len(sentences) >= 30
    assert [s for s in sentences if not is_said(s, known)] == []
    assert not is_said("photo.jpg: is not a picture; try another", known)
    assert not is_said(sentences[0].replace("(offline)", "(off)"), known)


def test_some_of_them_as_they_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    Path("photo.jpg").write_text("no image")
    Path("photos").mkdir()
    shutil.copytree(TINY / "dino", "my-dino")
    Path("my-dino/model.safetensors").rename("my-dino/pytorch_model.bin")
    recipe = (REPOSITORY / "zeroguide" / "recipe" / "presets" / "tiny.toml").read_text(
        encoding="utf-8"
    )
    Path("my.toml").write_text(recipe.replace("shipped:tiny/dino", "my-dino"), encoding="utf-8")
    PIL.Image.new("RGB", (64, 64)).save("sound.png")
    for arguments in (
        ["label", "photo.jpg", "--preset", "tiny"],
        ["label", "photos", "--preset", "tiny"],
        ["label", "sound.png", "--preset", "tinny"],
        ["label", "sound.png", "--preset", "fast", "--offline"],
        ["label", "sound.png", "--preset", "my.toml"],
        ["models", "check", "--preset", "tiny", "--device", "cuda"],
    ):
        if "cuda" in arguments:
            monkeypatch.setattr("torch.cuda.is_available", lambda: False)
        assert main(arguments) != 0
        error = capsys.readouterr().err.splitlines()[-1].removeprefix("error: ").removesuffix(".")
        assert error in quoted("troubleshooting.md")


def test_links_between_the_two_pages() -> None:
    """Headings that the page of errors leads to."""
    headings = re.findall(r"^## (.+)$", (DOCS / "offline.md").read_text(encoding="utf-8"), re.M)
    anchors = {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}
    text = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    assert {a for a in re.findall(r"\(offline\.md#([\w-]+)\)", text)} <= anchors
