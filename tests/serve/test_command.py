"""`zeroguide serve` as a command: its mistakes, its address, its token."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from conftest import REPOSITORY

import zeroguide.cli.serve
from zeroguide.cli import main


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--queue", "0"], "--queue 0: at least 1 is needed"),
        (["--port", "70000"], "--port 70000: ports are 0 to 65535"),
        (["--preset", "nothing"], "nothing"),
        (["--device", "abacus"], "unknown device"),
    ],
)
def test_mistakes(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.setattr(zeroguide.cli.serve, "find_spec", lambda name: object())
    assert main(["serve", *arguments]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("token", ["", "two words", "ключ", "line\n"])
def test_tokens_that_no_header_can_bring(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("ZEROGUIDE_TOKEN", token)
    assert main(["serve", "--preset", "tiny"]) == 2
    assert "ZEROGUIDE_TOKEN: a token is" in capsys.readouterr().err


def test_without_its_libraries(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zeroguide.cli.serve, "find_spec", lambda name: None)
    assert main(["serve", "--preset", "tiny"]) == 2
    assert "pip install 'zeroguide[serve]'" in capsys.readouterr().err


def test_an_address_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("uvicorn", reason="the service needs pip install zeroguide[serve]")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert main(["serve", "--preset", "tiny", "--port", port]) == 2
    assert f"127.0.0.1, port {port}: can't be listened at" in capsys.readouterr().err


@contextmanager
def started(**environment: str) -> Iterator[subprocess.Popen[str]]:
    pytest.importorskip("fastapi_offline", reason="needs pip install zeroguide[serve]")
    command = [sys.executable, "-m", "zeroguide", "serve", "--preset", "tiny", "--offline"]
    process = subprocess.Popen(
        [*command, "--host", "0.0.0.0", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        # Ctrl+C counts even where whoever started the tests lets it be ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def status(port: int, path: str, **headers: str) -> tuple[int, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET" if path == "/health" else "POST", path, headers=headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.headers


def test_other_machines_need_a_token() -> None:
    with started() as process:
        assert process.stdout is not None and process.stderr is not None
        url, header = process.stdout.readline(), process.stdout.readline().strip()
        port = int(url.rpartition(":")[2])
        name, _, value = header.partition(": ")
        assert name == "Authorization" and len(value) > 30
        assert status(port, "/health")[0] == 200
        # Whatever its name: who has the token may use any.
        assert status(port, "/health", Host="example.com")[0] == 200
        code, headers = status(port, "/label")
        assert (code, headers["WWW-Authenticate"]) == (401, "Bearer")
        for wrong in ("", "Bearer", "Bearer ", value[:-1], value + "x", f"Basic {value[7:]}"):
            assert status(port, "/label", Authorization=wrong)[0] == 401
        # The token is right: now the empty body is what is wrong.
        assert status(port, "/label", Authorization=value)[0] == 422
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert value[7:] not in process.stderr.read()


def test_the_token_of_the_environment() -> None:
    with started(ZEROGUIDE_TOKEN="open-sesame") as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().rpartition(":")[2])
        assert status(port, "/label", Authorization="Bearer open-sesame")[0] == 422
        assert status(port, "/label", Authorization="Bearer open-sesam")[0] == 401
        process.terminate()
        assert process.wait(60) == 0
        assert process.stdout.read() == ""  # it is never printed
