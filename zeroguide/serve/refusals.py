"""Whatever goes wrong becomes a status and {"error": "one sentence"}."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from zeroguide.errors import DeviceError, ZeroguideError
from zeroguide.serve.service import Full

if TYPE_CHECKING:
    from fastapi import FastAPI

RETRY_AFTER = {"retry-after": "2"}  # seconds
STOPPING = "the server is being stopped; send the request again later"
UNFORESEEN = "something unforeseen has gone wrong; the server's terminal has the details"


class Refusal(Exception):
    """An answer that ends a request. headers: of the answer, beside its own."""

    def __init__(
        self, status: int, sentence: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, sentence)
        self.status, self.sentence, self.headers = status, sentence, headers


class Gone(Exception):
    """The client has gone: nobody hears an answer."""


def refuse(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> Response:
    """The answer as an ASGI application."""
    content = json.dumps({"error": sentence.rstrip(".")}, ensure_ascii=False)
    return Response(
        content.encode("utf-8", "backslashreplace"),
        status,
        dict(headers or {}),
        media_type="application/json",
    )


def add_handlers(app: FastAPI) -> None:
    """Let all that the application raises be answered here."""
    app.add_exception_handler(Refusal, _refusal)
    app.add_exception_handler(Gone, lambda request, error: Response(status_code=499))
    app.add_exception_handler(Full, lambda request, error: too_many())
    app.add_exception_handler(ZeroguideError, _zeroguide_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _wrong_parameter)
    # It is raised again afterwards: `delivery` prints it.
    app.add_exception_handler(Exception, lambda request, error: refuse(500, UNFORESEEN))


def too_many() -> Response:
    """For who comes when as many wait as may."""
    return refuse(503, "too many requests are waiting; try again in some seconds", RETRY_AFTER)


def _refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return refuse(error.status, error.sentence, error.headers)


def _zeroguide_error(request: Request, error: Exception) -> Response:
    if isinstance(error, DeviceError):
        return refuse(503, f"{error}; {STOPPING}", RETRY_AFTER)
    return refuse(422, str(error))


def _http_exception(request: Request, error: Exception) -> Response:
    """What FastAPI's router says."""
    assert isinstance(error, HTTPException)
    path, headers = request.url.path, error.headers
    if error.status_code == HTTPStatus.NOT_FOUND:
        return refuse(404, f"there is nothing at {path}; /docs lists what there is", headers)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (headers or {}).get("allow") or (headers or {}).get("Allow") or "another method"
        return refuse(405, f"{path} doesn't take {request.method}; use {allowed}", headers)
    return refuse(error.status_code, str(error.detail), headers)


def _wrong_parameter(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:])
    message = str(first["msg"])
    return refuse(422, f"the parameter {place}: {message[:1].lower()}{message[1:]}")
