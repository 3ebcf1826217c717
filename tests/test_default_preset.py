"""Which preset speaks where none is named."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import zeroguide
from zeroguide.cli import main
from zeroguide.models import default
from zeroguide.models.default import default_recipe, hub_answers
from zeroguide.playroom import render


@pytest.fixture(autouse=True)
def nothing_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is remembered, and no model of the hub is on this machine."""
    monkeypatch.setattr(default, "_answers", {})
    monkeypatch.setattr(default, "find", lambda checkpoint, role: None)


@pytest.fixture
def reachable(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A hub that answers; the questions it got."""
    asked: list[str] = []

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    _at(monkeypatch, f"http://127.0.0.1:{server.server_port}")
    yield asked
    server.shutdown()


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A hub that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        _at(monkeypatch, f"http://127.0.0.1:{server.getsockname()[1]}")
        yield


def _at(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


def test_the_default_where_the_hub_answers(reachable: list[str]) -> None:
    recipe = default_recipe()
    assert (recipe.name, recipe.stands_in) == ("fast", "")
    default_recipe()
    assert len(reachable) == 1  # asked once a process


def test_the_stand_in_where_the_hub_is_silent(silent: None) -> None:
    assert not hub_answers(0.3)
    recipe = default_recipe(["seed=5"])
    assert (recipe.name, recipe.seed) == ("photo", 5)
    assert recipe.stands_in == (
        "because the weights of fast aren't on this machine and the hub doesn't answer"
    )
    assert "names are better with fast" in recipe.introduction


def test_the_stand_in_offline(reachable: list[str]) -> None:
    recipe = default_recipe(offline=True)
    assert recipe.name == "photo" and recipe.stands_in.endswith("on this machine (offline)")
    assert not reachable


def test_the_default_where_its_weights_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(default, "find", lambda checkpoint, role: tmp_path)
    assert default_recipe(offline=True).name == "fast"
    assert default_recipe(began_with="photo").stands_in == "with which this run began"


def test_settings_of_ones_own_network_are_for_no_other(reachable: list[str]) -> None:
    for override in ("models.clip=some/clip", "embedding.image_size=448"):
        recipe = default_recipe([override], offline=True)
        assert (recipe.name, recipe.stands_in) == ("fast", "")


def test_a_hub_in_trouble_is_no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    _at(monkeypatch, "no-address")
    assert not hub_answers(1)


def test_a_run_goes_on_as_it_began(reachable: list[str]) -> None:
    assert default_recipe(began_with="photo").name == "photo"
    assert default_recipe(began_with="fast", offline=True).name == "fast"
    assert default_recipe(began_with="photo").stands_in == "with which this run began"
    assert default_recipe(began_with="tiny").name == "fast"  # the run will refuse to mix


def test_a_preset_that_was_named_is_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(render(1, 0).pixels).save("a.png")
    assert main(["label", "a.png", "--preset", "fast", "--offline"]) != 0
    assert "aren't on this machine (offline)" in capsys.readouterr().err


def test_the_command_says_who_speaks_and_the_result_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(render(1, 0).pixels).save("a.png")
    assert main(["label", "a.png", "--offline", "-o", "out"]) == 0
    said = capsys.readouterr().err
    assert "preset photo, because the weights of fast aren't on this machine" in said
    made = json.loads(Path("out/a.png.json").read_text())["recipe"]
    assert made["name"] == "photo" and made["stands_in"].startswith("because the weights of fast")
    assert main(["label", "a.png", "--offline", "-o", "out"]) == 0  # goes on, nothing is mixed


def test_python_is_warned() -> None:
    with pytest.warns(UserWarning, match="preset photo, because the weights of fast"):
        labeling = zeroguide.label(Image.fromarray(render(1, 0).pixels), offline=True)
    assert labeling.recipe["name"] == "photo"
