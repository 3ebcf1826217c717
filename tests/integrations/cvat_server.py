"""As much of a CVAT server as cvat-sdk and cvat-cli need to annotate one task of images."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import PIL.Image

WHEN = "2026-01-01T00:00:00.000000Z"
VERSION = "2.80.0"


class CvatServer:
    """A task 1 with these pictures and labels; `saved` is what was uploaded to it.

    labels: as CVAT's raw constructor takes them; ids are given here, unlike those of a function.
    """

    def __init__(self, pictures: Sequence[Path], labels: Sequence[dict[str, Any]]) -> None:
        self.pictures = list(pictures)
        self.labels = [self._label(100 + i, label) for i, label in enumerate(labels)]
        self.saved: list[dict[str, Any]] = []
        self.url = ""

    @staticmethod
    def _label(id: int, label: dict[str, Any]) -> dict[str, Any]:
        attributes = [
            {**attribute, "id": 10 * id + i}
            for i, attribute in enumerate(label.get("attributes", []))
        ]
        known = {"id": id, "name": label["name"], "type": label.get("type", "any")}
        return {**known, "attributes": attributes, "color": "#ff0000", "sublabels": [],
                "has_parent": False, "parent_id": None}  # fmt: skip

    def answer(self, method: str, path: str, body: Any) -> Any:
        """JSON, bytes, or None for what isn't there."""
        match method, path:
            case "GET", "/api/server/about":
                return {"name": "CVAT", "description": "", "version": VERSION,
                        "logo_url": "x", "subtitle": ""}  # fmt: skip
            case "POST", "/api/auth/login":
                return {"key": "0" * 40}
            case "GET", "/api/users/self":
                return self._user()
            case "GET", "/api/tasks/1":
                return self._task()
            case "GET", "/api/labels":
                return self._page(self.labels)
            case "GET", "/api/tasks/1/data/meta":
                return self._meta()
            case "GET", "/api/tasks/1/data":
                return self._chunk()
            case (("PATCH" | "PUT"), "/api/tasks/1/annotations"):
                self.saved.append(body)
                return {"version": 1, **body}
        return None

    def _user(self) -> dict[str, Any]:
        return {"id": 1, "username": "a", "url": f"{self.url}/api/users/1", "first_name": "",
                "last_name": "", "email": "a@b.de", "groups": [], "is_staff": False,
                "is_superuser": False, "is_active": True, "last_login": WHEN,
                "date_joined": WHEN, "has_analytics_access": False}  # fmt: skip

    def _task(self) -> dict[str, Any]:
        n = len(self.pictures)
        summary = {"count": 0, "completed": 0, "validation": 0, "url": f"{self.url}/api/jobs"}
        return {"url": f"{self.url}/api/tasks/1", "id": 1, "name": "task", "project_id": None,
                "mode": "annotation", "bug_tracker": "", "created_date": WHEN,
                "updated_date": WHEN, "overlap": 0, "segment_size": n, "status": "annotation",
                "subset": "", "dimension": "2d", "media_type": "image", "size": n,
                "data_chunk_size": n, "data_compressed_chunk_type": "imageset",
                "data_original_chunk_type": "imageset", "data": 1, "jobs": summary,
                "labels": {"url": f"{self.url}/api/labels?task_id=1"}, "owner": None,
                "assignee": None, "organization": None, "organization_id": None,
                "source_storage": None, "target_storage": None, "guide_id": None,
                "assignee_updated_date": None, "consensus_enabled": False,
                "validation_mode": None, "image_quality": 70, "data_cloud_storage_id": None,
                "data_storage": "local"}  # fmt: skip

    def _meta(self) -> dict[str, Any]:
        frames = []
        for path in self.pictures:
            width, height = PIL.Image.open(path).size
            frames.append({"width": width, "height": height, "name": path.name,
                           "related_files": 0, "has_related_context": False})  # fmt: skip
        return {"chunk_size": len(frames), "size": len(frames), "image_quality": 70,
                "start_frame": 0, "stop_frame": len(frames) - 1, "frame_filter": "",
                "frames": frames, "deleted_frames": [], "included_frames": None,
                "storage_method": "cache", "storage": "local", "cloud_storage_id": None,
                "chunks_updated_date": WHEN}  # fmt: skip

    def _chunk(self) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as chunk:
            for i, path in enumerate(self.pictures):
                chunk.write(path, f"{i:06d}{path.suffix}")
        return file.getvalue()

    @staticmethod
    def _page(results: Sequence[Any]) -> dict[str, Any]:
        return {"count": len(results), "next": None, "previous": None, "results": results}


@contextmanager
def running(server: CvatServer) -> Iterator[CvatServer]:
    """The server on a free port of this machine; `url` is then its address."""

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            found = server.answer(
                self.command, parts.path.rstrip("/"), json.loads(body) if body else None
            )
            if found is None:
                print(f"the server knows no {self.command} {self.path}")
            raw = found if isinstance(found, bytes) else json.dumps(found).encode()
            kind = "application/zip" if isinstance(found, bytes) else "application/vnd.cvat+json"
            self.send_response(404 if found is None else 200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(raw)))
            if parts.path == "/api/auth/login":
                self.send_header("set-cookie", "sessionid=s; Path=/")
                self.send_header("set-cookie", "csrftoken=c; Path=/")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(raw)

        do_GET = do_POST = do_PATCH = do_PUT = do_HEAD = _do

        def log_message(self, *of: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server.url = f"http://127.0.0.1:{http.server_port}"
        threading.Thread(target=http.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            http.shutdown()
