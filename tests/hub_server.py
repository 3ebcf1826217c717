"""A server on this machine that speaks as much of the hub's protocol as a download needs."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


@dataclass
class Hub:
    """The repositories on offer, and what was asked for."""

    repositories: dict[str, Path]
    url: str = ""
    commit: str = "1" * 40
    gated: set[str] = field(default_factory=set)
    refuse: int | None = None
    """Answer every request with this status."""
    cut_after: int | None = None
    """Break the connection after that many bytes of a weights file, once."""
    then_down: bool = False
    """After that, refuse everything with 503. Its JSON files have gone out before."""
    busy: int = 0
    """Answer so many requests for a file's content with 429."""
    flips: int = 0
    """Send so many weights files with one bit flipped."""
    short: bool = False
    """Send weights files without their last 100 bytes, which their size counts."""
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path, Range header."""
    sent: set[Path] = field(default_factory=set)
    """Files that went out to their end."""
    progress: threading.Condition = field(default_factory=threading.Condition)

    def files_sent(self) -> set[str]:
        paths = {path for method, path, _ in self.requests if method == "GET"}
        return {path.rpartition("/")[2] for path in paths if "/resolve/" in path}


@contextmanager
def serve(repositories: dict[str, Path]) -> Iterator[Hub]:
    """Run a hub with these repositories (id -> folder) on a free port."""
    hub = Hub(repositories)

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_args: object) -> None:
        pass

    def _answer(self) -> None:
        path = self.path.partition("?")[0]
        self.hub.requests.append((self.command, path, self.headers.get("Range", "")))
        if self.hub.refuse:
            return self._send(self.hub.refuse, b"")
        match = re.fullmatch(
            r"(?:/api/models|/api/datasets|/datasets)?/([^/]+/[^/]+)/(revision|tree|resolve)"
            r"/([^/]+)(.*)",
            path,
        )
        folder = self.hub.repositories.get(match[1]) if match else None
        if match is None or folder is None:
            return self._send(404, b"", {"X-Error-Code": "RepoNotFound"})
        if match[1] in self.hub.gated:
            return self._send(403, b"", {"X-Error-Code": "GatedRepo"})
        if match[3] not in ("main", self.hub.commit):
            return self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
        if match[2] == "revision":
            siblings = [{"rfilename": name} for name in names]
            return self._json({"id": match[1], "sha": self.hub.commit, "siblings": siblings})
        if match[2] == "tree":
            return self._json([self._entry(folder / name, name) for name in names])
        return self._file(folder / unquote(match[4]).lstrip("/"))

    def _entry(self, path: Path, name: str) -> dict[str, object]:
        size, checksum = path.stat().st_size, etag(path)
        entry: dict[str, object] = {"type": "file", "path": name, "size": size, "oid": checksum}
        if len(checksum) == 64:
            entry["lfs"] = {"oid": checksum, "size": size, "pointerSize": 134}
        return entry

    def _file(self, path: Path) -> None:
        if not path.is_file():
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
        hub, body = self.hub, path.read_bytes()
        start = int(self.headers.get("Range", "bytes=0-")[6:].partition("-")[0])
        headers = {"ETag": f'"{etag(path)}"', "X-Repo-Commit": hub.commit}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        kept = None
        if self.command == "GET":
            if hub.busy:
                hub.busy -= 1
                return self._send(429, b"", {"Retry-After": "0"})
            if path.suffix == ".safetensors":
                if hub.flips:
                    hub.flips -= 1
                    body = body[:3000] + bytes([body[3000] ^ 4]) + body[3001:]
                if hub.short:
                    body = body[:-100]
                kept, hub.cut_after = hub.cut_after, None
                self.close_connection = kept is not None
                if kept is not None and hub.then_down:
                    others = set(path.parent.glob("*.json"))
                    with hub.progress:
                        assert hub.progress.wait_for(lambda: others <= hub.sent, timeout=60)
                    hub.refuse = 503
        self._send(206 if start else 200, body[start:], headers, kept)
        if self.command == "GET" and kept is None:
            with hub.progress:
                hub.sent.add(path)
                hub.progress.notify_all()
        return None

    def _json(self, data: object) -> None:
        self._send(200, json.dumps(data).encode(), {"Content-Type": "application/json"})

    def _send(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        kept: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[:kept])


def etag(path: Path) -> str:
    """A file's checksum as the hub states it: SHA-256 of weights, git's SHA-1 of all others."""
    body = path.read_bytes()
    if path.suffix == ".safetensors":
        return hashlib.sha256(body).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()
