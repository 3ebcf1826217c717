"""The page as Gradio components, and the same work as an API for gradio_client.

What a user does reaches the server as events of one HTML component, whose code is viewer/*.js.
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components.api_component import Api
from gradio.data_classes import FileData

from zeroguide.errors import ImageError, UsageError, ZeroguideError
from zeroguide.image import open_image
from zeroguide.system.console import sentence
from zeroguide.web.editing import LONGEST_NAME
from zeroguide.web.examples import Example
from zeroguide.web.uploads import MAX_BYTES, MAX_PIXELS, read_photo
from zeroguide.web.view import data_url
from zeroguide.web.work import Work

VIEWER = Path(__file__).parent / "viewer"
# Parts of one function: the first makes what the others use, the last begins.
SCRIPTS = (
    "state.js", "picture.js", "graph.js", "lists.js", "actions.js", "uploads.js", "messages.js",
)  # fmt: skip
THUMBNAIL = 160  # pixels
NETWORKS = {"concurrency_limit": 1, "concurrency_id": "networks"}  # the models take one at a time
BRIEF = {"show_progress": "hidden", "api_visibility": "private"}


def make_page(
    work: Work, *, about: str, examples: Sequence[Example] = (), queue: int = 16
) -> gr.Blocks:
    """The page.

    Args:
        work: does everything.
        about: the preset and what its models know, a sentence without its full stop.
        examples: pictures to try.
        queue: pictures that may wait; who comes then is asked to try again.
    """
    with gr.Blocks(title="zeroguide", analytics_enabled=False) as page:
        gr.HTML(
            "<h1>zeroguide</h1><p>Every part of a picture, named: no classes, no prompts.</p>",
            elem_classes="zg-title",
            js_on_load=None,
        )
        photo = _photo(
            label=f"Photo, up to {MAX_BYTES // 10**6} MB and {MAX_PIXELS // 10**6} megapixels",
            file_types=["image"],
            height=150,
            elem_classes="zg-photo",
        )
        viewer = gr.HTML(
            value="",
            html_template=(VIEWER / "viewer.html").read_text("utf-8"),
            js_on_load="\n".join((VIEWER / name).read_text("utf-8") for name in SCRIPTS),
            elem_classes="zg-view",
            apply_default_css=False,
            scene="",
            file="",
            most=MAX_BYTES,
            examples=json.dumps(_thumbnails(examples)),
        )
        gr.Markdown(
            f"{about}. Pictures are forgotten when the page is closed.", elem_classes="zg-foot"
        )
        _connect(page, work, photo, viewer, examples)
        _add_api(work)
    page.queue(max_size=queue)
    return page


def _connect(
    page: gr.Blocks, work: Work, photo: gr.File, viewer: gr.HTML, examples: Sequence[Example]
) -> None:
    """What happens when a picture comes and when somebody works on it."""

    def take(upload: tuple[str, bytes] | None, request: gr.Request) -> Iterator[Any]:
        if upload is None:
            yield None, gr.skip()
            return
        name, content = upload
        try:
            work.put(_key(request), read_photo(content, name, work.value_range))
            yield None, json.dumps({"work": {"name": name, "stage": "queue"}})
        except ZeroguideError as error:
            yield None, _failure(sentence(error))

    def choose(event: gr.EventData, request: gr.Request) -> str:
        """An example, or the same picture cut anew."""
        if "granularity" in event._data:
            try:
                again = work.put_again(_key(request), event._data["granularity"])
            except ZeroguideError as error:
                return _failure(sentence(error))
            return json.dumps({"work": {"name": again.file_name, "stage": "queue"}})
        number = event._data.get("example")
        if not isinstance(number, int) or not 0 <= number < len(examples):
            raise gr.Error("There is no such example.", print_exception=False)
        example = examples[number]
        work.put(_key(request), open_image(example.path))
        return json.dumps({"work": {"name": example.name, "stage": "queue"}})

    def run(request: gr.Request) -> Iterator[Any]:
        key = _key(request)
        waiting = work.sessions.get(key).waiting
        if waiting is None:
            yield gr.skip()
            return
        try:
            for stage in work.run(key):
                yield json.dumps({"work": {"name": waiting[0].file_name, "stage": stage}})
            state = {**work.state(key), "scene": True}
            yield gr.HTML(scene=json.dumps(work.scene(key)), value=json.dumps(state))
        except Exception as error:
            if not isinstance(error, ZeroguideError):
                traceback.print_exc()  # for whoever runs the server
            yield _failure(sentence(error))

    def crowded() -> str:
        """`run` itself never fails: it wasn't let into the queue."""
        return _failure("Too many pictures are waiting; try again in a moment.")

    def act(event: gr.EventData, request: gr.Request) -> str:
        with _said():
            work.edit(_key(request), event._data)
            return json.dumps(work.state(_key(request)))

    def save(event: gr.EventData, request: gr.Request) -> Any:
        with _said():
            return gr.HTML(file=json.dumps(work.download(_key(request), event._data.get("kind"))))

    def leave(request: gr.Request) -> None:
        work.sessions.end(_key(request))

    run_settings = {**BRIEF, **NETWORKS, "show_progress": "minimal", "trigger_mode": "multiple"}
    taken = photo.upload(take, photo, [photo, viewer], queue=False, **BRIEF)
    chosen = viewer.select(choose, None, viewer, queue=False, **BRIEF)
    for came in (taken, chosen):
        ran = came.then(run, None, viewer, **run_settings)
        ran.failure(crowded, None, viewer, queue=False, **BRIEF)
    viewer.input(act, None, viewer, queue=False, trigger_mode="always_last", **BRIEF)
    viewer.submit(act, None, viewer, queue=False, trigger_mode="multiple", **BRIEF)
    viewer.apply(act, None, viewer, **BRIEF, **NETWORKS)
    viewer.download(save, None, viewer, queue=False, **BRIEF)
    page.unload(leave)


def _add_api(work: Work) -> None:
    """The same for programs; over-segments count from 1, as in "merged_from"."""

    def label(upload: tuple[str, bytes], request: gr.Request) -> dict[str, Any]:
        """Label a picture; it is the one that the other calls are about."""
        with _said():
            if upload is None:
                raise UsageError("there is no picture; send one with gradio_client.handle_file")
            name, content = upload
            work.label(_key(request), read_photo(content, name, work.value_range))
            return work.labels(_key(request))

    def edit(request: gr.Request, **action: Any) -> dict[str, Any]:
        with _said():
            work.edit(_key(request), action)
            return work.labels(_key(request))

    def merge(threshold: float, request: gr.Request) -> dict[str, Any]:
        """Merge anew: segments at least as similar as the threshold become one."""
        return edit(request, action="threshold", value=threshold)

    def cut(granularity: float, request: gr.Request) -> dict[str, Any]:
        """Cut the picture anew, from 0, coarse, to 1, fine; names by hand are gone."""
        with _said():
            work.put_again(_key(request), granularity)
            for _ in work.run(_key(request)):
                pass
            return work.labels(_key(request))

    def rename(part: int, label: str, request: gr.Request) -> dict[str, Any]:
        """Give the segment around an over-segment another name."""
        return edit(request, action="rename", part=part - 1, label=label)

    def join(part: int, other: int, request: gr.Request) -> dict[str, Any]:
        """Make one segment of those around two over-segments."""
        return edit(request, action="join", parts=[part - 1, other - 1])

    def name_again(part: int, request: gr.Request) -> dict[str, Any]:
        """Let the networks name the segment around an over-segment."""
        return edit(request, action="name_again", part=part - 1)

    def undo(request: gr.Request) -> dict[str, Any]:
        """Take back the last name or joining by hand."""
        return edit(request, action="undo")

    def download(kind: str, request: gr.Request) -> dict[str, Any]:
        """A file as {"name", "media_type", "content": base64}; kind: overlay, json or coco."""
        with _said():
            return work.download(_key(request), kind)

    labels = _value("object", "Labels", "The segments in the schema zeroguide/1")
    part = _value("integer", "Over-segment", "A number from the segment's merged_from")
    other = _value("integer", "Other over-segment", "A number from the other's merged_from")
    name = _value("string", "Name", f"The new name, at most {LONGEST_NAME} characters")
    threshold = _value("number", "Threshold", "Similarity from which segments join, -1 to 1")
    granularity = _value("number", "Granularity", "How finely to cut, 0 to 1")
    kind = _value("string", "Kind", "One of overlay (PNG), json, coco")
    file = _value("object", "File", "Its name, media_type, and content in base64")
    # Gradio has no type hint for a file that is deleted when it has been read.
    photo = _photo(visible=False, label="Photo")
    about = f"At most {MAX_BYTES // 10**6} MB and {MAX_PIXELS // 10**6} megapixels"
    schema = {**photo.api_info(), "additional_description": about}
    photo.api_info_as_input = lambda: schema

    def offer(function: Callable[..., Any], given: list[Any], result: Any, **settings: Any) -> None:
        settings["api_name"] = function.__name__
        gr.Button(visible=False).click(function, given, result, **settings)

    offer(label, [photo], labels, **NETWORKS)
    offer(cut, [granularity], labels, **NETWORKS)
    offer(merge, [threshold], labels)
    offer(rename, [part, name], labels)
    offer(join, [part, other], labels)
    offer(name_again, [part], labels, **NETWORKS)
    offer(undo, [], labels)
    offer(download, [kind], file)


def _value(kind: str, label: str, about: str) -> Api:
    """What programs give or get, as `gr.api` makes it, but with words for the API's description."""
    schema: dict[str, Any] = {"type": kind, "description": about, "additional_description": about}
    if kind == "object":
        schema["additionalProperties"] = {}
    return Api(None, schema, label)


def _read_upload(payload: FileData | None) -> tuple[str, bytes] | None:
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


def _photo(**settings: Any) -> gr.File:
    """Gradio's component, but its value is a name and bytes, and nothing stays on the disk."""
    photo = gr.File(**settings)
    # Of a subclass Gradio would write a .pyi file into this package.
    photo.preprocess = _read_upload
    return photo


def _failure(words: str) -> str:
    """What the page shows in red. Never twice the same: an equal value is no news to the page."""
    return json.dumps({"error": words, "time": time.monotonic()})


def _key(request: gr.Request) -> str:
    """A session's key; a request without one can't come back to its picture anyway."""
    return request.session_hash or "nobody"


@contextmanager
def _said() -> Iterator[None]:
    """What a user can mend is said in the page, as one sentence."""
    try:
        yield
    except (UsageError, ImageError) as error:
        raise gr.Error(f"{sentence(error).rstrip('.')}.", print_exception=False) from error


def _thumbnails(examples: Sequence[Example]) -> list[dict[str, str]]:
    return [
        {"name": e.name, "src": data_url(open_image(e.path).pixels, THUMBNAIL)} for e in examples
    ]
