"""What requests may ask for: doors, sizes and paths. No server; the app behind is a stub."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroguide.web.guard import MAX_JSON, Guard


class Behind:
    """An app that reads the body and says "in"."""

    def __init__(self) -> None:
        self.body: bytes | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.body = (await receive())["body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"in"})


def ask(
    uploads: Path,
    method: str,
    path: str,
    body: bytes | Any = b"",
    *,
    length: int | None = None,
    max_upload: int = 1000,
) -> tuple[int, bytes | None]:
    """Status, and the body that came through."""
    behind = Behind()
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    length = len(content) if length is None else length
    headers = [] if length < 0 else [(b"content-length", str(length).encode())]
    scope = {"type": "http", "method": method, "path": path, "headers": headers}
    half = len(content) // 2
    chunks = [(content[:half], True), (content[half:], False)]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not chunks:
            return {"type": "http.disconnect"}
        chunk, more = chunks.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": more}

    async def send(message: Any) -> None:
        sent.append(message)

    guard = Guard(behind, uploads=uploads, max_upload=max_upload)
    asyncio.run(guard(scope, receive, send))
    return sent[0]["status"], behind.body


@pytest.mark.parametrize(
    "path",
    ["/", "/config", "/config/", "/assets/index.js", "/theme.css", "/gradio_api/info",
     "/gradio_api/queue/data", "/gradio_api/heartbeat/abc"],
)  # fmt: skip
def test_what_the_page_needs_is_open(tmp_path: Path, path: str) -> None:
    assert ask(tmp_path, "GET", path)[0] == 200
    assert ask(tmp_path, "HEAD", path)[0] == 200


@pytest.mark.parametrize(
    "path",
    ["/gradio_api/file=/etc/passwd", "/file=/etc/passwd", "/gradio_api/file/etc/passwd",
     "/gradio_api/proxy=http://169.254.169.254/", "/gradio_api/stream/x/1/2/playlist.m3u8",
     "/gradio_api/vibe-code", "/gradio_api/dev/reload", "/gradio_api/deep_link", "/monitoring",
     "/gradio_api/runs", "/gradio_api/custom_component/1/client/x/y", "/docs", "/pwa_icon",
     "/gradio_api/openapi.json"],
)  # fmt: skip
def test_what_it_does_not_need_is_shut(tmp_path: Path, path: str) -> None:
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        assert ask(tmp_path, method, path) == (403, None)


def test_a_clean_body_comes_through_whole(tmp_path: Path) -> None:
    upload = {"path": str(tmp_path / "abc" / "cat.png"), "url": "http://127.0.0.1/x", "meta": {}}
    body = {"data": [upload, 0.5, 'called a "path"'], "session_hash": "x"}
    status, through = ask(tmp_path, "POST", "/gradio_api/queue/join", body)
    assert status == 200 and json.loads(through or b"") == body
    assert ask(tmp_path, "POST", "/gradio_api/cancel")[0] == 200  # nothing at all


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "http://example.org/cat.png", "file:///etc/passwd", "{}/../../etc/passwd",
     "{}x/cat.png", "", "../etc/passwd", "{}/a\0b", 5, None, ["/etc/passwd"]],
)  # fmt: skip
@pytest.mark.parametrize("door", ["queue/join", "run/predict", "api/label", "call/label"])
def test_no_path_but_an_uploads(tmp_path: Path, door: str, path: Any) -> None:
    if isinstance(path, str):
        path = path.replace("{}", str(tmp_path))
    value: Any = {"path": path, "meta": {"_type": "gradio.FileData"}}
    for body in ({"data": [value]}, {"data": [[{"a": value}]]}, {"data": [json.dumps(value)]}):
        assert ask(tmp_path, "POST", f"/gradio_api/{door}", body) == (403, None)


def test_a_link_does_not_lead_out(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    body = {"data": [{"path": str(tmp_path / "link" / "passwd")}]}
    assert ask(tmp_path, "POST", "/gradio_api/queue/join", body)[0] == 403


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["a", "data", "meta"]), inner, max_size=3)
        ),
        max_leaves=8,
    ),
    st.booleans(),
)
def test_however_deep(value: Any, poisoned: bool) -> None:
    if poisoned:
        value = {"data": [value, [{"deep": [{"path": "/etc/passwd", "rest": value}]}]]}
    status, _ = ask(Path("/nowhere"), "POST", "/gradio_api/queue/join", value)
    assert status == (403 if poisoned else 200)


def test_bodies_that_are_no_json(tmp_path: Path) -> None:
    for body in (b"{", b"\xff\xfe", b"[" * 100_000):
        assert ask(tmp_path, "POST", "/gradio_api/queue/join", body) == (403, None)


def test_sizes(tmp_path: Path) -> None:
    join, upload = "/gradio_api/queue/join", "/gradio_api/upload"
    assert ask(tmp_path, "POST", join, b"[]", length=MAX_JSON + 1)[0] == 413
    assert ask(tmp_path, "POST", upload, b"[]", length=200_000)[0] == 413
    assert ask(tmp_path, "POST", upload, b"no json")[0] == 200
    assert ask(tmp_path, "POST", upload, b"x", length=-1)[0] == 411


def test_no_websockets(tmp_path: Path) -> None:
    behind = Behind()
    guard = Guard(behind, uploads=tmp_path, max_upload=1)
    asyncio.run(guard({"type": "websocket", "path": "/"}, None, None))  # type: ignore[arg-type]
    assert behind.body is None
