"""Measures `zeroguide serve`: 200 requests of 8 clients at once, many of them bad, then SIGTERM.

    python -m scripts.bench.serve --preset photo --image examples/bus.jpg

Every answer is compared: labels, names and overlays with the very bytes that `zeroguide label` and
`zeroguide name` write, errors with the status and the one sentence that they are to have. Then the
clients begin again, the server is told to stop, and what it says it has answered is compared with
what has come. Ends with 1 if anything is not as it has to be. Reads /proc: Linux only.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import PIL.Image

BOUNDARY = "a-line-between-parts"
PNG_HEAD = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


@dataclass(frozen=True)
class Ask:
    """A request. body: in chunks, without a length, if it is a list. hang_up: send half of it.

    status: that the answer has to have. answer: its bytes; None: JSON with "error" alone.
    """

    what: str
    path: str
    body: bytes | list[bytes]
    kind: str
    status: int = 200
    answer: bytes | None = None
    method: str = "POST"
    hang_up: bool = False


@dataclass
class Seen:
    """What clients have seen. wrong: a sentence for each answer that isn't as it has to be."""

    seconds: list[float] = field(default_factory=list)  # of those that were to be labelled or named
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    hung_up: int = 0
    not_taken: int = 0  # the connection was closed before a byte of an answer

    @property
    def answered(self) -> int:
        """Whole answers."""
        return self.statuses.total()


class Server:
    """The command as a process."""

    def __init__(self, preset: str, *more: str) -> None:
        command = [sys.executable, "-m", "zeroguide", "serve", "--preset", preset, "--offline"]
        self.process = subprocess.Popen(
            [*command, "--port", "0", *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Ctrl+C counts even where whoever started this lets it be ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        assert self.process.stdout is not None and self.process.stderr is not None
        self.said: list[str] = []
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            raise RuntimeError("".join(self.said) or "the server didn't start")
        self.port = int(self.url.rpartition(":")[2])

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)

    def rss(self) -> float:
        """Its memory in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) / 1000

    def wait(self, seconds: float = 300) -> int:
        """Its exit code."""
        code = self.process.wait(seconds)
        self._listening.join(10)
        return code


@contextmanager
def running(preset: str, *more: str) -> Iterator[Server]:
    """A server, killed at the end if it still runs."""
    server = Server(preset, *more)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()


def form(**files: tuple[str, bytes]) -> tuple[bytes, str]:
    """A multipart body of field=(file name, content), and its type."""
    body = b""
    for name, (file_name, content) in files.items():
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; '
        body += f'{head}filename="{file_name}"\r\n\r\n'.encode() + content + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode(), f"multipart/form-data; boundary={BOUNDARY}"


def by_command(preset: str, image: Path, folder: Path) -> dict[str, bytes]:
    """What the commands write for a picture: its labels, names of their masks, the overlays."""
    command = [sys.executable, "-m", "zeroguide"]
    more = ["--preset", preset, "--offline", "--quiet"]
    labels, names = folder / "labels", folder / "names"
    subprocess.run(
        [*command, "label", str(image), "-o", str(labels), *more],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    masks = labels / f"{image.name}.json"
    subprocess.run(
        [*command, "name", str(image), "--masks", str(masks), "-o", str(names), *more],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return {
        "labels": masks.read_bytes(),
        "overlay": (labels / f"{image.name}.png").read_bytes(),
        "names": (names / f"{image.name}.names.json").read_bytes(),
    }


def asks(image: Path, made: dict[str, bytes]) -> list[Ask]:
    """One of each kind: as many good ones as bad ones."""
    content, name = image.read_bytes(), image.name
    good, kind = form(image=(name, content))
    both, _ = form(image=(name, content), masks=("masks.json", made["labels"]))
    tricky, _ = form(image=(f"../../etc/..\\{name}", content))
    jpeg = "image/jpeg"
    labels, overlay, names = made["labels"], made["overlay"], made["names"]
    huge = b"\xff\xd8\xff" + bytes(21_000_000)
    small = PIL.Image.fromarray(np.ones((5, 7), np.uint8))
    with tempfile.SpooledTemporaryFile() as file:
        small.save(file, "PNG")
        file.seek(0)
        other_size = file.read()
    bomb = PNG_HEAD + (50_000).to_bytes(4) * 2 + b"\x08\x02\0\0\0" + bytes(40)
    pieces = [content[i : i + 9999] for i in range(0, len(content), 9999)]
    return [
        Ask("labels", "/label", good, kind, answer=labels),
        Ask("huge", "/label", form(image=("huge.jpg", huge))[0], kind, 413),
        Ask("labels, raw", f"/label?name={name}", content, jpeg, answer=labels),
        Ask("huge, in chunks", "/label", [huge[i : i + 65536] for i in range(0, len(huge), 65536)],
            jpeg, 413),
        Ask("names", "/name", both, kind, answer=names),
        Ask("cut off", "/label", form(image=(name, content[: len(content) // 2]))[0], kind, 422),
        Ask("labels, in chunks", f"/label?name={name}", pieces, jpeg, answer=labels),
        Ask("wrong type", "/label", b"hello", "text/plain", 415),
        Ask("overlay", "/label?overlay=true", good, kind, answer=overlay),
        Ask("no image", "/label", form(image=("a.jpg", b"hello"))[0], kind, 422),
        Ask("labels, tricky name", "/label", tricky, kind, answer=labels),
        Ask("empty", "/label", b"", jpeg, 422),
        Ask("no file", "/label", form(masks=("a.json", b"[]"))[0], kind, 422),
        Ask("names, tricky name", "/name",
            form(image=(f"/etc/{name}", content), masks=("..\\..\\m.json", labels))[0], kind,
            answer=names),
        Ask("masks of another size", "/name",
            form(image=(name, content), masks=("m.png", other_size))[0], kind, 422),
        Ask("bomb", "/label", bomb, "image/png", 422),
        Ask("labels again", "/label", good, kind, answer=labels),
        Ask("cut form", "/label", good[: len(good) // 2], kind, 422),
        Ask("wrong path", "/labels", good, kind, 404),
        Ask("labels, octets", f"/label?name={name}", content, "application/octet-stream",
            answer=labels),
        Ask("wrong method", "/label", b"", jpeg, 405, method="PUT"),
        Ask("hangs up", "/label", good, kind, hang_up=True),
    ]  # fmt: skip


class Client:
    """One client: a connection that is kept as long as the server keeps it."""

    def __init__(self, port: int, seen: Seen, lock: threading.Lock) -> None:
        self._port, self._seen, self._lock = port, seen, lock
        self._connection: http.client.HTTPConnection | None = None

    def ask(self, ask: Ask) -> bool:
        """Send a request and look at its answer; False if the server doesn't take any more."""
        if ask.hang_up:
            return self._hang_up(ask)
        began = time.perf_counter()
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=300)
        chunked = isinstance(ask.body, list)
        try:
            headers = {"Content-Type": ask.kind}
            body = iter(ask.body) if isinstance(ask.body, list) else ask.body
            self._connection.request(ask.method, ask.path, body, headers, encode_chunked=chunked)
            answer = self._connection.getresponse()
            content = answer.read()
        except (ConnectionError, http.client.RemoteDisconnected):
            with self._lock:
                self._seen.not_taken += 1
            self.close()
            return False
        except http.client.HTTPException as error:
            with self._lock:
                self._seen.wrong.append(f"{ask.what}: half an answer ({error!r})")
            self.close()
            return False
        seconds = time.perf_counter() - began
        if answer.will_close:
            self.close()
        problem = _problem(ask, answer.status, content)
        with self._lock:
            self._seen.statuses[answer.status] += 1
            if ask.answer is not None:
                self._seen.seconds.append(seconds)
            if problem:
                self._seen.wrong.append(f"{ask.what}: {problem}")
        return True

    def _hang_up(self, ask: Ask) -> bool:
        assert isinstance(ask.body, bytes)
        try:
            with socket.create_connection(("127.0.0.1", self._port), 30) as sock:
                head = f"POST {ask.path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {ask.kind}"
                head += f"\r\nContent-Length: {len(ask.body)}\r\n\r\n"
                sock.sendall(head.encode() + ask.body[: len(ask.body) // 2])
        except ConnectionError:
            return False
        with self._lock:
            self._seen.hung_up += 1
        return True

    def close(self) -> None:
        """Let the connection go."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _problem(ask: Ask, status: int, content: bytes) -> str:
    """What is wrong with an answer; nothing if it is as it has to be."""
    if status != ask.status:
        return f"status {status}, not {ask.status}: {content[:200]!r}"
    if ask.answer is not None:
        return "" if content == ask.answer else "other bytes than the command writes"
    with suppress(ValueError):
        found = json.loads(content)
        if isinstance(found, dict) and found.keys() == {"error"}:
            words = str(found["error"])
            if words and "Traceback" not in words and "/tmp" not in words and "\n" not in words:
                return ""
    return f"no clean error: {content[:200]!r}"


def at_once(
    server: Server, kinds: list[Ask], n_clients: int, goes_on: Callable[[int], bool]
) -> tuple[Seen, float]:
    """Clients that send requests, of each kind in turn, while `goes_on` for the next number."""
    seen, lock = Seen(), threading.Lock()
    numbers = iter(range(10**9))

    def run() -> None:
        client = Client(server.port, seen, lock)
        while True:
            with lock:
                number = next(numbers)
            if not goes_on(number) or not client.ask(kinds[number % len(kinds)]):
                break
        client.close()

    began = time.perf_counter()
    threads = [threading.Thread(target=run) for _ in range(n_clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen, time.perf_counter() - began


def measure(preset: str, image: Path, n_requests: int = 200, n_clients: int = 8) -> list[str]:
    """Do it and print the figures; a sentence for everything that isn't as it has to be."""
    with tempfile.TemporaryDirectory() as folder, running(preset) as server:
        kinds = asks(image, by_command(preset, image, Path(folder)))
        warm, _ = at_once(server, kinds, n_clients, lambda number: number < 2 * len(kinds))
        before = server.rss()
        seen, seconds = at_once(server, kinds, n_clients, lambda number: number < n_requests)
        after = server.rss()
        wrong = warm.wrong + seen.wrong
        if seen.answered + seen.hung_up != n_requests:
            wrong.append(f"{n_requests} requests, but {seen.answered} answers")
        if after > 1.1 * before + 20:
            wrong.append(f"memory grew from {before:.0f} to {after:.0f} MB")

        timer = threading.Timer(4, lambda: server.process.send_signal(signal.SIGTERM))
        timer.start()
        last, _ = at_once(server, kinds, n_clients, lambda number: True)
        code = server.wait()
        wrong += last.wrong
        said = "".join(server.said)
        told = re.search(r"stopped; (\d+) answered, (\d+) left", said)
        answered = warm.answered + seen.answered + last.answered
        if code != 0 or told is None or "Traceback" in said:
            wrong.append(f"exit code {code} after SIGTERM; it said: {said[-500:]}")
        elif int(told[1]) != answered:
            wrong.append(f"the server has answered {told[1]} requests, {answered} answers came")
    slow = sorted(seen.seconds)
    statuses = ", ".join(f"{status}: {n}" for status, n in sorted(seen.statuses.items()))
    print(f"{preset}, {image.name}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{n_requests} requests of {n_clients} clients in {seconds:.1f} s: "
          f"{n_requests / seconds:.1f} a second; {statuses}; {seen.hung_up} hung up")  # fmt: skip
    print(f"{len(slow)} to label or name: median {statistics.median(slow):.2f} s, "
          f"p95 {slow[int(0.95 * len(slow))]:.2f} s")  # fmt: skip
    print(f"memory {before:.0f} MB after the warm-up, {after:.0f} MB at the end")
    print(f"SIGTERM: {last.answered} answered of those that came, {last.not_taken} not taken, "
          f"exit code {code}")  # fmt: skip
    return wrong


def main() -> None:
    """Measure; say what is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--preset", default="photo")
    parser.add_argument("--image", type=Path, default=Path("examples/bus.jpg"))
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--clients", type=int, default=8)
    args = parser.parse_args()
    wrong = measure(args.preset, args.image, args.requests, args.clients)
    for sentence in wrong:
        print(sentence)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
