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
    broken: bool = False
    """Answer every request with 503."""
    cut_after: int | None = None
    """Break the connection after that many bytes of a file, once."""
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path, Range header."""

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
        if self.hub.broken:
            return self._send(503, b"")
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
        return {"type": "file", "path": name, "size": path.stat().st_size, "oid": _hash(path)}

    def _file(self, path: Path) -> None:
        if not path.is_file():
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
        body = path.read_bytes()
        start = int(self.headers.get("Range", "bytes=0-")[6:].partition("-")[0])
        headers = {"ETag": f'"{_hash(path)}"', "X-Repo-Commit": self.hub.commit}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        if self.command == "GET" and self.hub.cut_after is not None and len(body) > 5000:
            kept, self.hub.cut_after = self.hub.cut_after, None
            self._send(200, body, headers, kept)
            self.close_connection = True
            return None
        return self._send(206 if start else 200, body[start:], headers)

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


def _hash(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()
