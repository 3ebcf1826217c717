"""The service behind an address, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

from zeroguide.errors import UsageError
from zeroguide.serve.app import make_app
from zeroguide.serve.bodies import Bodies
from zeroguide.serve.connections import Connection
from zeroguide.serve.delivery import Delivery
from zeroguide.serve.guard import Guard
from zeroguide.serve.service import Service

if TYPE_CHECKING:
    from zeroguide.labeler import Labeler

KEPT = 75  # seconds that a connection may wait for its next request; proxies end theirs after 60
TAKEN = 10.0  # seconds that clients have for taking their answers when all are given
UNREAD = 30_000  # milliseconds that a client may leave an answer unread
INTERRUPTED = 130


def bind(host: str, port: int) -> socket.socket:
    """A socket at an address; nobody is let in before `serve`. Raises UsageError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; connections inherit it
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD)
        sock.bind(address)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UsageError(
            f"{host}, port {port}: can't be listened at ({why}); choose others with --host and "
            "--port"
        ) from None
    return sock


def is_loopback(sock: socket.socket) -> bool:
    """Whether only this machine can reach a socket's address."""
    return ipaddress.ip_address(sock.getsockname()[0]).is_loopback


def url_of(sock: socket.socket) -> str:
    """The address as a URL."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(
    labeler: Labeler,
    sock: socket.socket,
    *,
    queue: int,
    token: str | None = None,
    host: str = "localhost",
    started: Callable[[], None] = lambda: None,
    note: Callable[[str], None] = lambda text: None,
    log: Callable[[str], None] = lambda line: None,
) -> None:
    """Answer requests until SIGTERM or Ctrl+C, then those that have come; again: end at once.

    Args:
        labeler: does the work.
        sock: as of `bind`.
        queue: requests that are worked on or wait, at most.
        token: that requests must bring; None: they must be for this machine.
        host: a name of this machine beside localhost.
        started: called when requests are let in.
        note: told what happens. log: told a line for each request.

    Must be called in the main thread. Raises DeviceError when the device has failed and all that
    had come has been answered.
    """
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # the client is told
    bodies = Bodies()
    service = Service(labeler, queue=queue, broken=lambda: server.stop())
    app = make_app(service, bodies, needs_token=token is not None)
    delivery = Delivery(Guard(app, token=token, host=host), log)
    config = uvicorn.Config(
        delivery,
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEPT,
    )
    server = _Server(config, service, bodies, delivery, note)
    sock.listen(config.backlog)
    started()
    try:
        server.run([sock])
    finally:
        sock.close()
        service.close()
    note(f"stopped; {delivery.n_answered} answered, {delivery.n_left} left by their clients")
    if service.worker.error is not None:
        raise service.worker.error


class _Server(uvicorn.Server):
    """Uvicorn's, ended by signals without being killed by them afterwards."""

    def __init__(
        self,
        config: uvicorn.Config,
        service: Service,
        bodies: Bodies,
        delivery: Delivery,
        note: Callable[[str], None],
    ) -> None:
        super().__init__(config)
        self._service, self._bodies, self._delivery = service, bodies, delivery
        self._note = note

    def stop(self) -> None:
        """From any thread: let nobody in any more, and end when all is answered."""
        self._service.is_stopping = True
        self._bodies.stopped_at = time.monotonic()
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Around all of it: the first signal stops, the second ends the process."""

        def handle(number: int, frame: FrameType | None) -> None:
            if self._service.is_stopping:
                os._exit(INTERRUPTED)  # threads in the networks would wait for their end
            self.stop()

        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, handle) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what has come, and wait for nobody who doesn't take the answer."""
        n_open = self._delivery.n_open
        if n_open:
            self._note(f"answering {n_open} more; once more to stop at once")
        giving_up = asyncio.ensure_future(self._give_up())
        try:
            await super().shutdown(sockets)
        finally:
            giving_up.cancel()

    async def _give_up(self) -> None:
        while self._delivery.n_open:
            await asyncio.sleep(0.1)
        await asyncio.sleep(TAKEN)
        self.force_exit = True
