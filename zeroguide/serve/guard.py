"""Who may ask: with the token, or, where none is needed, programs of this machine.

A web page that somebody opens may send requests to this machine, too, and even read the answers if
its name leads here (DNS rebinding). Its requests are known by `Host` and `Origin`.
"""

from __future__ import annotations

import hmac
import ipaddress
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from zeroguide.serve.refusals import refuse

OPEN = ("/health", "/docs", "/openapi.json", "/static-offline-docs")
"""Paths, and what is under them, that need no token: they tell nothing of anybody's pictures."""


class Guard:
    """ASGI middleware.

    Args:
        app: what is guarded.
        token: that requests must bring; None: they must be for this machine, by its own names.
        host: a further name of this machine.
    """

    def __init__(self, app: ASGIApp, *, token: str | None, host: str = "localhost") -> None:
        self._app = app
        self._token = token
        self._hosts = {"localhost", host.lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = {key: value.decode("latin-1") for key, value in scope["headers"]}
            problem = self._problem(scope["path"], headers)
            if problem is not None:
                status, sentence = problem
                extra = {"www-authenticate": "Bearer"} if status == 401 else None
                await refuse(status, sentence, extra)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _problem(self, path: str, headers: dict[bytes, str]) -> tuple[int, str] | None:
        host = headers.get(b"host", "")
        if self._token is not None:
            if path.startswith(tuple(f"{one}/" for one in OPEN)) or path in OPEN:
                return None
            kind, _, given = headers.get(b"authorization", "").partition(" ")
            matches = hmac.compare_digest(given.strip().encode(), self._token.encode())
            if kind.lower() == "bearer" and matches:
                return None
            return 401, "the token is missing or wrong; send it as Authorization: Bearer TOKEN"
        if not self._is_own(host):
            return 403, f"the host {host!r} isn't this machine; use localhost, or give a token"
        origin = headers.get(b"origin")
        if origin is not None and origin.partition("://")[2] != host:
            return 403, "web pages of others may not use this service"
        return None

    def _is_own(self, host: str) -> bool:
        """Whether a `Host` is one of this machine's own names, at any port."""
        with suppress(ValueError):
            name = urlsplit(f"//{host}").hostname or ""
            return name in self._hosts or ipaddress.ip_address(name).is_loopback
        return False
