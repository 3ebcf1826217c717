"""How the service ends, and what it does when something breaks: nothing that came is lost."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from conftest import REPOSITORY

httpx = pytest.importorskip("httpx", reason="no httpx to ask with")


@dataclass
class Fake:
    """`fake_server.py` as a process. go: the file that slow pictures wait for."""

    process: subprocess.Popen[str]
    url: str
    go: Path
    pool: ThreadPoolExecutor

    @property
    def began(self) -> Path:
        """Is there once a slow picture is in the networks."""
        return self.go.with_name("began")

    def label(self, name: str) -> Any:
        file = io.BytesIO()
        PIL.Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(file, "PNG")
        return httpx.post(f"{self.url}/label", files={"image": (name, file.getvalue())}, timeout=60)

    def later(self, name: str) -> Future[Any]:
        return self.pool.submit(self.label, name)

    def health(self) -> dict[str, Any]:
        return dict(httpx.get(f"{self.url}/health", timeout=60).json())

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait for something that has to happen."""
        for _ in range(600):
            if holds():
                return
            time.sleep(0.05)
        raise AssertionError("it didn't happen")

    def end(self) -> tuple[int, str]:
        """The exit code, and what was said."""
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Fake]:
    with _fake(tmp_path) as one:
        yield one


@contextmanager
def _fake(tmp_path: Path) -> Iterator[Fake]:
    go = tmp_path / "go"
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("fake_server.py")), str(go)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'tests'}"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    with ThreadPoolExecutor() as pool:
        try:
            yield Fake(process, process.stdout.readline().strip(), go, pool)
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_has_come_is_answered(fake: Fake, number: signal.Signals) -> None:
    waiting = [fake.later("slow.png") for _ in range(3)]
    fake.until(lambda: fake.health()["queue"] == 3)
    fake.process.send_signal(number)

    def refuses() -> bool:
        with suppress(httpx.TransportError):
            fake.health()
            return False
        return True

    fake.until(refuses)
    assert fake.process.poll() is None
    fake.go.touch()
    assert [answer.result(60).status_code for answer in waiting] == [200] * 3
    code, said = fake.end()
    assert code == 0
    assert "answering 3 more" in said and "Traceback" not in said


def test_a_second_signal_ends_it_at_once(fake: Fake) -> None:
    waiting = fake.later("slow.png")
    fake.until(lambda: fake.health()["queue"] == 1)
    fake.process.send_signal(signal.SIGTERM)
    assert fake.process.stderr is not None
    assert "answering 1 more" in fake.process.stderr.readline()
    fake.process.send_signal(signal.SIGTERM)
    assert fake.process.wait(60) == 130
    with pytest.raises(httpx.TransportError):
        waiting.result(60)


def test_who_is_still_sending_is_told_and_holds_up_nobody(fake: Fake) -> None:
    told: list[Any] = []

    def slowly() -> Iterator[bytes]:
        yield b"abc"
        sending.set()
        ended.wait(60)
        yield b"def"

    def send() -> None:
        told.append(httpx.post(f"{fake.url}/label", content=slowly(), headers=headers, timeout=60))

    sending, ended, headers = threading.Event(), threading.Event(), {"Content-Type": "image/png"}
    thread = threading.Thread(target=send)
    thread.start()
    assert sending.wait(60)
    fake.process.send_signal(signal.SIGTERM)
    code, said = fake.end()
    assert code == 0, said
    ended.set()
    thread.join()


def test_a_picture_that_breaks_costs_no_other(fake: Fake) -> None:
    waiting = [fake.later(name) for name in ("slow.png", "broken.png", "refused.png")]
    fake.until(lambda: fake.health()["queue"] == 3)
    fake.go.touch()
    slow, broken, refused = (answer.result(60) for answer in waiting)
    assert slow.status_code == 200
    assert refused.status_code == 422
    assert refused.json() == {"error": "refused.png: the networks can't take it; send another"}
    assert broken.status_code == 500
    assert "unforeseen" in broken.json()["error"] and "fault" not in broken.text
    fake.process.terminate()
    code, said = fake.end()
    assert code == 0
    assert said.count("Traceback") == 1 and "a fault of the program" in said


def test_a_full_queue(fake: Fake) -> None:
    waiting = [fake.later("slow.png") for _ in range(3)]
    fake.until(lambda: fake.health()["queue"] == 3)
    answer = fake.label("a.png")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    fake.go.touch()
    assert all(answer.result(60).status_code == 200 for answer in waiting)
    assert fake.label("a.png").status_code == 200


def test_who_leaves_makes_room(fake: Fake) -> None:
    first = fake.later("slow.png")
    fake.until(fake.began.exists)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{fake.url}/label", files={"image": ("b.png", _png())}, timeout=1)
    fake.until(lambda: fake.health()["queue"] == 1)
    fake.go.touch()
    assert first.result(60).status_code == 200
    fake.process.terminate()
    code, said = fake.end()
    assert code == 0 and "1 left by their clients" in said and "Traceback" not in said


def _png() -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_a_device_that_fails_ends_it_with_1(fake: Fake) -> None:
    waiting = [fake.later("slow.png")]
    fake.until(fake.began.exists)
    waiting += [fake.later(name) for name in ("device.png", "a.png")]
    fake.until(lambda: fake.health()["queue"] == 3)
    fake.go.touch()
    statuses = [answer.result(60).status_code for answer in waiting]
    assert statuses[0] == 200 and statuses[1] == 503 and statuses[2] in (200, 503)
    failed = waiting[1].result()
    assert "the device cuda:0 has failed" in failed.json()["error"]
    assert "somebody" not in failed.text
    code, said = fake.end()
    assert code == 1
    assert "the device cuda:0 has failed" in said and "Traceback" not in said
