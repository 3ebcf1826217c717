"""A running page with the models that come with the package, and a real browser."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from zeroguide.recipe import load_recipe
from zeroguide.web.examples import find_examples

if TYPE_CHECKING:
    from zeroguide.web.naming import Namer
    from zeroguide.web.server import Server
    from zeroguide.web.taxonomy import Taxonomy

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@dataclass
class Running:
    """The server, how often its image networks were asked for embeddings, and the names of machines
    that this process looked up meanwhile."""

    server: Server
    asked: list[int]
    looked_up: set[str]

    @property
    def url(self) -> str:
        return self.server.url


@pytest.fixture(scope="session")
def running() -> Iterator[Running]:
    """With `tiny`, which cuts every picture into 16 over-segments."""
    yield from run_server("tiny")


@pytest.fixture(scope="session")
def photographs() -> Iterator[Running]:
    """With `photo`, which chooses the number from the picture."""
    yield from run_server("photo")


def run_server(preset: str, taxonomy: Taxonomy | None = None) -> Iterator[Running]:
    """A server with a preset; with the labels of a run, if there are some."""
    pytest.importorskip("gradio", reason="the page needs gradio: pip install zeroguide[web-dev]")
    from zeroguide.web.server import serve

    recipe = load_recipe(preset)
    asked: list[int] = []
    looked_up: set[str] = set()
    look_up = socket.getaddrinfo

    def record(host: Any, *rest: Any, **more: Any) -> Any:
        looked_up.add(host.decode() if isinstance(host, bytes) else str(host))
        return look_up(host, *rest, **more)

    socket.getaddrinfo = record  # type: ignore[assignment]

    def load() -> Namer:
        from zeroguide.labeler import Labeler
        from zeroguide.web.naming import Namer

        labeler = Labeler(recipe, device="cpu", offline=True)
        embed = labeler.embedder.embed

        def count(prepared: Any, regions: Any) -> Any:
            asked.append(len(regions))
            return embed(prepared, regions)

        labeler.embedder.embed = count  # type: ignore[method-assign]
        return Namer(labeler)

    server = serve(
        load, about=f"Preset {preset}", examples=find_examples(recipe), taxonomy=taxonomy
    )
    assert server.namer.wait(120)
    yield Running(server, asked, looked_up)
    server.close()
    socket.getaddrinfo = look_up
    assert not server.folder.exists()


@pytest.fixture(scope="module")  # while it runs, no other event loop does in this thread
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="no playwright to drive a browser")
    with api.sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        path = own if Path(own).exists() else next(filter(None, map(shutil.which, BROWSERS)), None)
        if path is None:
            pytest.skip(
                "no Chromium here: apt-get install chromium, or playwright install chromium"
            )
        sandbox = [] if os.getuid() else ["--no-sandbox"]
        chromium = playwright.chromium.launch(executable_path=path, args=sandbox)
        yield chromium
        chromium.close()
