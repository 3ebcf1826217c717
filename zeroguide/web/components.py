"""What the page and its API share: the upload of a picture, a session's key, errors in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components.api_component import Api
from gradio.data_classes import FileData

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.system.console import sentence

BRIEF = {"show_progress": "hidden", "api_visibility": "private"}
NETWORKS = {"concurrency_limit": 1, "concurrency_id": "networks"}  # the models take one at a time


def read_upload(payload: FileData | None) -> tuple[str, bytes] | None:
    """Name and bytes of an upload, which is deleted."""
    if payload is None:
        return None
    path = Path(payload.path)
    name = Path(payload.orig_name or path.name).name
    try:
        content = path.read_bytes()
    except OSError as error:  # deleted when somebody else's upload of the same bytes was read
        raise gr.Error(f"{name}: is gone; send it again.", print_exception=False) from error
    path.unlink(missing_ok=True)
    return name, content


def read_sent(sent: Any) -> tuple[str, bytes]:
    """The same for a file that the page's own script has uploaded: {"path", "name"}.

    Its path is one of an upload: `guard` has looked.
    """
    if not isinstance(sent, dict) or not isinstance(sent.get("path"), str):
        raise UsageError("there is no file")
    name = sent.get("name")
    orig_name = name if isinstance(name, str) and name else None
    found = read_upload(FileData(path=sent["path"], orig_name=orig_name))
    assert found is not None
    return found


def photo_upload(**settings: Any) -> gr.File:
    """Gradio's component, but its value is a name and bytes, and nothing stays on the disk."""
    photo = gr.File(**settings)
    # Of a subclass Gradio would write a .pyi file into this package.
    photo.preprocess = read_upload
    return photo


def session_key(request: gr.Request) -> str:
    """A session's key; a request without one can't come back to its picture anyway."""
    return request.session_hash or "nobody"


@contextmanager
def said() -> Iterator[None]:
    """What a user can mend is said in the page, as one sentence."""
    try:
        yield
    except ZeroguideError as error:
        raise gr.Error(f"{sentence(error).rstrip('.')}.", print_exception=False) from error


def offer(function: Callable[..., Any], given: list[Any], result: Any, **settings: Any) -> None:
    """A call for programs, named like the function."""
    settings["api_name"] = function.__name__
    gr.Button(visible=False).click(function, given, result, **settings)


def value(kind: str, label: str, about: str) -> Api:
    """What programs give or get, as `gr.api` makes it, but with words for the API's description."""
    schema: dict[str, Any] = {"type": kind, "description": about, "additional_description": about}
    if kind == "object":
        schema["additionalProperties"] = {}
    if kind == "array":
        schema["items"] = {"type": "string"}
    return Api(None, schema, label)
