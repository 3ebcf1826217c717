"""Connections: those on which nothing happens are closed, and what isn't HTTP gets its sentence."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE = 30.0  # seconds for the head of a request
NOT_HTTP = "this isn't a request in HTTP/1.1"


class Connection(H11Protocol):
    """Uvicorn's, which waits forever for a request's head to end."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin to look after the connection."""
        super().connection_made(transport)
        self._watch()

    def _watch(self) -> None:
        self._watched = self.loop.call_later(PATIENCE, self._look, self.cycle)

    def _look(self, before: Any) -> None:
        """Close it if no request has begun since it was looked at."""
        if self.transport.is_closing():
            return
        is_idle = self.cycle is None or self.cycle.response_complete
        # Between two requests Uvicorn has a limit of its own.
        if is_idle and self.cycle is before and self.timeout_keep_alive_task is None:
            self.transport.close()
        else:
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """End to look after it."""
        self._watched.cancel()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """For what can't be read as HTTP."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()  # in the middle of an answer
            return
        content = json.dumps({"error": NOT_HTTP}).encode()
        headers = [
            ("content-type", "application/json"),
            ("content-length", str(len(content))),
            ("connection", "close"),
        ]
        answer = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
        for event in (answer, h11.Data(data=content), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event))
        self.transport.close()
