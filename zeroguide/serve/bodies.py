"""A request's body -> the files in it: multipart, or a picture as the body itself.

Bodies stay in memory. They are bounded while they come, each and all together, and in time: a
client that is slow holds up nobody but itself.
"""

from __future__ import annotations

import asyncio
import re
import time
import unicodedata
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.types import Message

from zeroguide.serve.refusals import RETRY_AFTER, STOPPING, Gone, Refusal
from zeroguide.serve.service import Upload
from zeroguide.web.uploads import MAX_BYTES

AROUND = 100_000  # bytes that a multipart body may have beside its files
ALL = 400_000_000  # bytes of all requests together
IDLE = 30.0  # seconds in which nothing comes
WHOLE = 300.0  # seconds that a body may take
GRACE = 3.0  # the same from when the server is told to stop

MULTIPART, BYTES = "multipart/form-data", "application/octet-stream"
NAMELESS = "image"


class _InMemory(MultiPartParser):
    spool_max_size = ALL  # else files of a megabyte go to the disk


class Bodies:
    """Reads bodies; its methods belong to one event loop.

    stopped_at: when the server was told to stop, as `time.monotonic` counts.
    """

    def __init__(self) -> None:
        self.stopped_at: float | None = None
        self._held = 0  # bytes of requests that aren't answered

    @asynccontextmanager
    async def files(
        self, request: Request, fields: Sequence[str], name: str | None = None
    ) -> AsyncIterator[list[Upload]]:
        """The files of a request, one for each field; they count as held until this is left.

        fields: of a multipart body. name: of the file where it is the body itself; None: the body
        has to be multipart.

        Raises Refusal for a body of another kind or beyond the limits, Gone.
        """
        kind = request.headers.get("content-type", BYTES).partition(";")[0].strip().lower()
        encoding = request.headers.get("content-encoding", "identity").lower()
        if encoding != "identity":
            raise Refusal(415, f"bodies in {encoding} aren't read; send the file as it is")
        is_image = kind == BYTES or kind.startswith("image/")
        if kind != MULTIPART and not (is_image and name is not None):
            raise Refusal(415, _how_to_send(kind, fields, name))
        body = _Body(self, request, MAX_BYTES * len(fields) + AROUND * (kind == MULTIPART))
        try:
            if kind == MULTIPART:
                yield await _parse(request, fields, body.chunks())
            else:
                content = b"".join([chunk async for chunk in body.chunks()])
                yield [Upload(base_name(name or ""), content)]
        finally:
            self._held -= body.n_bytes

    def take(self, n_bytes: int) -> None:
        """Count what has come; Refusal if all together are too much."""
        if self._held + n_bytes > ALL:
            raise Refusal(503, "too much is being sent at a time; try again", RETRY_AFTER)
        self._held += n_bytes


class _Body:
    def __init__(self, bodies: Bodies, request: Request, most: int) -> None:
        self.n_bytes = 0
        self._bodies, self._request, self._most = bodies, request, most
        self._began = time.monotonic()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        if int(self._request.headers.get("content-length", 0)) > self._most:
            raise self._too_large()
        more = True
        while more:
            message = await self._next()
            if message["type"] == "http.disconnect":
                raise Gone
            chunk = message.get("body", b"")
            if self.n_bytes + len(chunk) > self._most:
                raise self._too_large()
            self._bodies.take(len(chunk))
            self.n_bytes += len(chunk)
            yield chunk
            more = message.get("more_body", False)

    async def _next(self) -> Message:
        """The next message, if it comes in time."""
        asked = time.monotonic()
        coming = asyncio.ensure_future(self._request.receive())
        try:
            while not coming.done():
                now, stopped_at = time.monotonic(), self._bodies.stopped_at
                if stopped_at is not None and now > stopped_at + GRACE:
                    raise Refusal(503, STOPPING, RETRY_AFTER)
                if now > min(asked + IDLE, self._began + WHOLE):
                    raise Refusal(408, "the request didn't come in time; send it again")
                await asyncio.wait({coming}, timeout=0.5)
            return coming.result()
        finally:
            coming.cancel()

    def _too_large(self) -> Refusal:
        return Refusal(413, f"the request has more than the {self._most / 1e6:g} MB that are taken")


async def _parse(
    request: Request, fields: Sequence[str], chunks: AsyncGenerator[bytes, None]
) -> list[Upload]:
    parser = _InMemory(request.headers, chunks, max_files=len(fields), max_fields=len(fields))
    try:
        form = await parser.parse()
    except (MultiPartException, ValueError) as error:
        why = error.message if isinstance(error, MultiPartException) else str(error)
        raise Refusal(422, f"the multipart body can't be read: {why}") from None
    try:
        return [await _file(form.get(field), field) for field in fields]
    finally:
        await form.close()


async def _file(found: object, field: str) -> Upload:
    if not isinstance(found, UploadFile):
        what = "isn't a file" if found else "is missing, or the body is cut off"
        raise Refusal(422, f"the field {field} {what}; send it as with curl -F {field}=@FILE")
    content = await found.read()
    if len(content) > MAX_BYTES:
        raise Refusal(413, f"the field {field} has more than the {MAX_BYTES / 1e6:g} MB of a file")
    return Upload(base_name(found.filename or ""), content)


def base_name(name: str) -> str:
    """The last part of a file's name, after / or \\, without control characters."""
    last = re.split(r"[\\/]", name)[-1]
    shown = "".join(c for c in last if unicodedata.category(c) not in ("Cc", "Cs"))[:255]
    return NAMELESS if shown.strip(" .") == "" else shown


def _how_to_send(kind: str, fields: Sequence[str], name: str | None) -> str:
    form = f"{MULTIPART} with the file{'s' * (len(fields) > 1)} {' and '.join(fields)}"
    image = "" if name is None else ", or the picture itself as image/* or application/octet-stream"
    return f"a body of the type {kind or 'nothing'} isn't read; send {form}{image}"
