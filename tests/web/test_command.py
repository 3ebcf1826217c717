"""`zeroguide web` as a command: its mistakes, its address, and what it leaves behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import zeroguide.cli.web
from zeroguide.cli import main


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--queue", "0"], "--queue 0: at least 1 is needed"),
        (["--port", "70000"], "--port 70000: ports are 1 to 65535"),
        (["--preset", "nothing"], "nothing"),
        (["--device", "abacus"], "unknown device"),
        (["--run", "nowhere"], "nowhere: is not a folder"),
        (["--photos-at", "."], "--photos-at .: is for the photos of a run; name it with --run"),
    ],
)
def test_mistakes(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.setattr(zeroguide.cli.web, "find_spec", lambda name: object())
    assert main(["web", *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_without_gradio(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zeroguide.cli.web, "find_spec", lambda name: None)
    assert main(["web", "--preset", "tiny"]) == 2
    assert "pip install 'zeroguide[web]'" in capsys.readouterr().err


@contextmanager
def started(tmp_path: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command as a process, and its first line."""
    command = [sys.executable, "-m", "zeroguide", "web", "--preset", "tiny", "--offline"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        [*command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        # Ctrl+C counts even where whoever started the tests lets it be ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_it_answers_and_leaves_nothing_behind(tmp_path: Path) -> None:
    pytest.importorskip("gradio", reason="the page needs gradio: pip install zeroguide[web-dev]")
    port = free_port()
    with started(tmp_path, "--port", str(port)) as (process, address):
        assert address == f"http://127.0.0.1:{port}"
        with urllib.request.urlopen(address, timeout=60) as answer:
            assert re.search(rb"zeroguide", answer.read())
        assert list(tmp_path.glob("zeroguide-web-*"))
        # The same port again is a mistake of the user.
        assert main(["web", "--preset", "tiny", "--port", str(port)]) == 2
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
        assert process.stderr is not None
        said = process.stderr.read()
        assert "press Ctrl+C" in said and "error" not in said and "Traceback" not in said
        assert list(tmp_path.glob("zeroguide-web-*")) == []


def test_an_interrupt_ends_it_quietly(tmp_path: Path) -> None:
    pytest.importorskip("gradio", reason="the page needs gradio: pip install zeroguide[web-dev]")
    with started(tmp_path, "--port", str(free_port())) as (process, address):
        with urllib.request.urlopen(address, timeout=60):
            pass
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
        assert process.stderr is not None and "error" not in process.stderr.read()
        assert list(tmp_path.glob("zeroguide-web-*")) == []


def test_models_that_cannot_be_loaded_end_it(tmp_path: Path) -> None:
    pytest.importorskip("gradio", reason="the page needs gradio: pip install zeroguide[web-dev]")
    # Known only when the models are there: the wrong mode for this image tower.
    setting = "embedding.image_size=7"
    with started(tmp_path, "--port", str(free_port()), "--set", setting) as (process, _):
        assert process.wait(timeout=120) in (1, 2)
        assert process.stderr is not None
        said = process.stderr.read()
        assert "error: " in said and "Traceback" not in said
        assert list(tmp_path.glob("zeroguide-web-*")) == []
