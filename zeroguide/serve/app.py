"""The paths of the service, and their description in OpenAPI."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from importlib.metadata import version
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Query, Request, Response, Security
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline

from zeroguide.serve.bodies import BYTES, MULTIPART, NAMELESS, Bodies
from zeroguide.serve.refusals import STOPPING, Gone, add_handlers
from zeroguide.serve.schemas import Health, Labels, Names, NotReady, Problem
from zeroguide.serve.service import Service

T = TypeVar("T")

_FILE = {"type": "string", "format": "binary"}
_MADE: dict[str, Any] = {"application/json": {}, "image/png": {"schema": _FILE}}
_ERRORS = {
    408: "The body didn't come in time.",
    413: "The body or a file in it is too large.",
    415: "A body of a type that isn't read.",
    422: "A picture, masks or a parameter that can't be read or used.",
    500: "Something unforeseen has gone wrong.",
    503: "Too many requests wait, the server is being stopped, or its device has failed.",
}
_REFUSED = {
    401: "The token is missing or wrong.",
    403: "Not a request of this machine's own programs.",
}

Overlay = Annotated[bool, Query(description="A PNG of the picture with its labels, not JSON.")]
Name = Annotated[
    str, Query(description="The picture's file name, where it is the body itself.", max_length=255)
]


def make_app(service: Service, bodies: Bodies, *, needs_token: bool) -> FastAPI:
    """The application. needs_token: say so in the description; `guard` asks for it."""
    app = FastAPIOffline(
        title="zeroguide",
        version=version("zeroguide"),
        description="Cuts pictures into segments and names each in free text; names masks of "
        'other tools. Every error is `{"error": "one sentence"}`.',
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
        redirect_slashes=False,
        # Else the page asks another machine whether the description is valid.
        swagger_ui_parameters={"validatorUrl": None},
    )
    add_handlers(app)
    refused = 401 if needs_token else 403
    texts = {refused: _REFUSED[refused], **_ERRORS}
    errors = {status: {"model": Problem, "description": texts[status]} for status in texts}
    token = [Security(HTTPBearer(auto_error=False))] if needs_token else []

    def described(model: type, body: dict[str, Any]) -> dict[str, Any]:
        made = {"model": model, "description": model.__doc__, "content": _MADE}
        return {
            "response_class": Response,
            "responses": {200: made, **errors},
            "openapi_extra": {"requestBody": {"required": True, "content": body}},
            "dependencies": token,
        }

    @app.post("/label", **described(Labels, {**_form("image"), BYTES: {"schema": _FILE}}))
    async def label(request: Request, overlay: Overlay = False, name: Name = NAMELESS) -> Response:
        """Cut a picture into segments and name each.

        The picture is the file `image` of a form, or the body itself, as `image/*` or
        `application/octet-stream`.
        """
        service.check()
        async with bodies.files(request, ("image",), name) as (image,):
            made = await _unless_gone(request, service.label(image, overlay=overlay))
        return _made(made, overlay)

    @app.post("/name", **described(Names, _form("image", "masks")))
    async def name_masks(request: Request, overlay: Overlay = False) -> Response:
        """Name masks that another tool has drawn.

        `masks` is a file of SAM, COCO, labelme, Label Studio or zeroguide (`.json`), a label map
        (`.png`, `.tif`) or YOLO's (`.txt`); its ending says which. Masks may overlap.
        """
        service.check()
        async with bodies.files(request, ("image", "masks")) as (image, masks):
            made = await _unless_gone(request, service.name(image, masks, overlay=overlay))
        return _made(made, overlay)

    @app.head("/health", include_in_schema=False)
    @app.get(
        "/health",
        response_class=Response,
        responses={
            200: {"model": Health, "description": Health.__doc__},
            503: {"model": NotReady, "description": NotReady.__doc__},
        },
    )
    async def health() -> Response:
        """Whether the service works, and with what. Needs no token."""
        found = service.health()
        if not found["ready"]:
            found["error"] = str(service.worker.error or STOPPING)
        content = json.dumps(found, ensure_ascii=False).encode()
        return Response(content, 200 if found["ready"] else 503, media_type="application/json")

    return app


def _form(*fields: str) -> dict[str, Any]:
    properties = {field: _FILE for field in fields}
    schema = {"type": "object", "required": list(fields), "properties": properties}
    return {MULTIPART: {"schema": schema}}


async def _unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What the work gives; it is cancelled, and `Gone` raised, when the client goes away."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(request.receive())  # the body is read: what comes is the end
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Gone
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()


def _made(content: bytes, overlay: bool) -> Response:
    return Response(content, media_type="image/png" if overlay else "application/json")
