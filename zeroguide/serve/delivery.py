"""Every request gets its answer, whole."""

from __future__ import annotations

import asyncio
import sys
import time
import traceback
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zeroguide.serve.refusals import UNFORESEEN, refuse

REST, SECONDS = 64_000_000, 5.0  # of a body that nobody wants: bytes and time for reading it


class Delivery:
    """ASGI middleware, the outermost.

    Who is refused before the body was read may still be sending it, and would find the connection
    closed before the answer: so the rest is read, in bounds, and the connection closed then.

    Args:
        app: what answers.
        log: told a line for each answer.

    Attributes:
        n_answered: requests so far. n_left: by clients that went away before. n_open: those that
            came and aren't answered.
    """

    def __init__(self, app: ASGIApp, log: Callable[[str], None] = lambda line: None) -> None:
        self.n_answered = self.n_left = self.n_open = 0
        self._app, self._log = app, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        exchange = _Exchange(scope, receive, send)
        self.n_open += 1
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Exception as error:
            traceback.print_exception(error, file=sys.stderr)
            if exchange.status is None:
                await refuse(500, UNFORESEEN)(scope, exchange.receive, exchange.send)
        finally:
            self.n_open -= 1
        if exchange.is_gone:
            self.n_left += 1
            return
        self.n_answered += 1
        seconds = time.monotonic() - began
        self._log(f"{scope['method']} {scope['path']} {exchange.status} {seconds:.2f} s")


class _Exchange:
    """A request and its answer. status: once it is being answered. is_gone: nobody hears it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        has_body = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
        self.status: int | None = None
        self.is_gone = False
        self._is_read = not has_body
        self._receive, self._send = receive, send

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            # After the answer this is said of every request.
            self.is_gone = self.status is None
            self._is_read = True
        elif not message.get("more_body", False):
            self._is_read = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if not self._is_read:
                message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
            await self._send(message)
        elif self._is_read or message.get("more_body", False):
            await self._send(message)
        else:
            await self._send({**message, "more_body": True})
            await self._read_rest()
            await self._send({"type": "http.response.body", "body": b""})

    async def _read_rest(self) -> None:
        n_bytes = 0
        try:
            async with asyncio.timeout(SECONDS):
                while not self._is_read and n_bytes < REST:
                    n_bytes += len((await self.receive()).get("body", b""))
        except TimeoutError:
            pass
