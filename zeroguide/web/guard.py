"""What requests may ask of the page's server: a list of doors, everything else is shut.

Gradio's server can do more than this page needs: serve files by path, fetch URLs, proxy, reload.
Only what the page and `gradio_client` use is let through. Of requests with JSON the body is bounded
and searched: a path in it must lie in the folder of uploads, so that no URL is fetched and no file
of the server is read, whichever component would have taken it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

API = "/gradio_api"
GET = {
    "/", "/config", "/theme.css", "/favicon.ico", "/robots.txt", "/manifest.json",
    f"{API}/app_id", f"{API}/info", f"{API}/startup-events", f"{API}/queue/data",
    f"{API}/queue/status", f"{API}/login_check", f"{API}/upload_progress",
}  # fmt: skip
GET_UNDER = ("/assets/", "/static/", "/svelte/", f"{API}/heartbeat/", f"{API}/call/")
POST = {f"{API}/upload", f"{API}/queue/join", f"{API}/cancel", f"{API}/reset"}
POST_UNDER = (f"{API}/run/", f"{API}/api/", f"{API}/call/")

MAX_JSON = 1_000_000  # bytes; pictures are uploaded, what is left are names and numbers
MULTIPART = 100_000  # bytes that an upload may have beside its file


class Guard:
    """ASGI middleware.

    Args:
        app: Gradio's.
        uploads: the folder that uploads are written to.
        max_upload: bytes of one upload.
    """

    def __init__(self, app: App, *, uploads: Path, max_upload: int) -> None:
        self._app = app
        self._uploads = uploads.resolve()
        self._max_upload = max_upload

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":  # websockets: the page has none
                await self._app(scope, receive, send)
            return
        # What Gradio's router would see: it, too, ignores a slash at the end.
        path = scope["path"].rstrip("/") or "/"
        if scope["method"] in ("GET", "HEAD"):
            if path in GET or path.startswith(GET_UNDER):
                await self._app(scope, receive, send)
            else:
                await _refuse(send, 403, "not a part of this page")
        elif scope["method"] == "POST" and (path in POST or path.startswith(POST_UNDER)):
            await self._post(path, scope, receive, send)
        else:
            await _refuse(send, 403, "not a part of this page")

    async def _post(
        self, path: str, scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        upload = path == f"{API}/upload"
        most = self._max_upload + MULTIPART if upload else MAX_JSON
        length = dict(scope["headers"]).get(b"content-length", b"")
        if not length.isdigit():
            await _refuse(send, 411, "the length is missing")
        elif int(length) > most:
            await _refuse(send, 413, f"more than {most} bytes")
        elif upload:  # the server reads no more than the length says
            await self._app(scope, receive, send)
        else:
            body = b""
            more = True
            while more:
                message = await receive()
                if message["type"] != "http.request":  # the client has gone
                    return
                body += message.get("body", b"")
                more = message.get("more_body", False)
            if self._is_clean(body):
                await self._app(scope, _replay(body, receive), send)
            else:
                await _refuse(send, 403, "a path that is no upload")

    def _is_clean(self, body: bytes) -> bool:
        """Whether a body is JSON and all paths in it are those of uploads."""
        try:
            return all(map(self._is_upload, _paths(json.loads(body or b"null"))))
        except (ValueError, RecursionError):
            return False

    def _is_upload(self, path: object) -> bool:
        if not isinstance(path, str) or "\0" in path:
            return False
        return Path(path).resolve().is_relative_to(self._uploads)


def _paths(value: Any) -> list[Any]:
    """Every value of a key "path" in JSON, at any depth; also in strings that hold JSON."""
    found = []
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            found += [value["path"]] if "path" in value else []
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str) and '"path"' in value:
            with suppress(ValueError):  # just a text
                waiting.append(json.loads(value))
    return found


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body that was read, then what else comes."""
    first = True

    async def replay() -> Message:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replay


async def _refuse(send: Send, status: int, why: str) -> None:
    content = f"refused: {why}".encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(content)).encode())]
    # The rest of the request isn't read, so the connection can't be used again.
    headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
