"""The page as Gradio components.

What a user does reaches the server as events of one HTML component, whose code is viewer/*.js.
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.image import open_image
from zeroguide.result.html_page import data_url
from zeroguide.system.console import sentence
from zeroguide.web.api import add_api
from zeroguide.web.components import BRIEF, NETWORKS, photo_upload, read_sent, said, session_key
from zeroguide.web.examples import Example
from zeroguide.web.taxonomy import Taxonomy
from zeroguide.web.taxonomy_page import add_taxonomy, add_taxonomy_api
from zeroguide.web.uploads import MAX_BYTES, MAX_PIXELS, read_photo
from zeroguide.web.work import Work

VIEWER = Path(__file__).parent / "viewer"
# Parts of one function: the first makes what the others use, the last begins.
SCRIPTS = (
    "state.js", "picture.js", "graph.js", "lists.js", "sliders.js", "dialogs.js", "actions.js",
    "uploads.js", "messages.js",
)  # fmt: skip
THUMBNAIL = 160  # pixels


def make_page(
    work: Work,
    *,
    about: str,
    examples: Sequence[Example] = (),
    queue: int = 16,
    taxonomy: Taxonomy | None = None,
) -> gr.Blocks:
    """The page.

    Args:
        work: does everything.
        about: the preset and what its models know, a sentence without its full stop.
        examples: pictures to try.
        queue: pictures that may wait; who comes then is asked to try again.
        taxonomy: a run's labels, for a tab of their own.
    """
    with gr.Blocks(title="zeroguide", analytics_enabled=False) as page:
        gr.HTML(
            "<h1>zeroguide</h1><p>Every part of a picture, named: no classes, no prompts.</p>",
            elem_classes="zg-title",
            js_on_load=None,
        )
        if taxonomy is None:
            photo, viewer = _add_picture(about, examples)
        else:
            with gr.Tab(f"Labels of {taxonomy.name}"):
                add_taxonomy(page, taxonomy)
            with gr.Tab("A picture"):
                photo, viewer = _add_picture(about, examples)
            add_taxonomy_api(taxonomy)
        _connect(page, work, photo, viewer, examples)
        add_api(work)
    page.queue(max_size=queue)
    return page


def _add_picture(about: str, examples: Sequence[Example]) -> tuple[gr.File, gr.HTML]:
    """The zone for photos and what is made of them."""
    photo = photo_upload(
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
        masks="",
        file="",
        seen="",
        offered="",
        most=MAX_BYTES,
        examples=json.dumps(_thumbnails(examples)),
    )
    gr.Markdown(f"{about}. Pictures are forgotten when the page is closed.", elem_classes="zg-foot")
    return photo, viewer


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
            work.put(session_key(request), read_photo(content, name, work.value_range))
            yield None, json.dumps({"work": {"name": name, "stage": "queue"}})
        except ZeroguideError as error:
            yield None, _failure(sentence(error))

    def choose(event: gr.EventData, request: gr.Request) -> str:
        """An example, or the same picture cut anew."""
        if "granularity" in event._data:
            try:
                again = work.put_again(session_key(request), event._data["granularity"])
            except ZeroguideError as error:
                return _failure(sentence(error))
            return json.dumps({"work": {"name": again.file_name, "stage": "queue"}})
        number = event._data.get("example")
        if not isinstance(number, int) or not 0 <= number < len(examples):
            raise gr.Error("There is no such example.", print_exception=False)
        example = examples[number]
        work.put(session_key(request), open_image(example.path))
        return json.dumps({"work": {"name": example.name, "stage": "queue"}})

    def take_masks(event: gr.EventData, request: gr.Request) -> str:
        """A file of masks of this picture, or of one that comes with it."""
        key, photo = session_key(request), event._data.get("photo")
        try:
            masks = read_sent(event._data.get("masks"))
            name = masks[0]
            if photo is None:
                work.put_masks(key, masks)
            else:
                name, content = read_sent(photo)
                work.put(key, read_photo(content, name, work.value_range), masks)
        except ZeroguideError as error:
            return _failure(sentence(error))
        return json.dumps({"work": {"name": name, "stage": "queue"}})

    def run(request: gr.Request) -> Iterator[Any]:
        key = session_key(request)
        waiting = work.sessions.get(key).waiting
        if waiting is None:
            yield gr.skip()
            return
        try:
            for stage in work.run(key):
                yield json.dumps({"work": {"name": waiting.image.file_name, "stage": stage}})
            state = {**work.state(key), "scene": waiting.label}
            told = {"scene": json.dumps(work.scene(key))} if waiting.label else {}
            if state["masks"]:
                told["masks"] = json.dumps(work.masks(key))
            yield gr.HTML(value=json.dumps(state), **told)
        except Exception as error:
            if not isinstance(error, ZeroguideError):
                traceback.print_exc()  # for whoever runs the server
            yield _failure(sentence(error))

    def crowded() -> str:
        """`run` itself never fails: it wasn't let into the queue."""
        return _failure("Too many pictures are waiting; try again in a moment.")

    def act(event: gr.EventData, request: gr.Request) -> str:
        with said():
            work.edit(session_key(request), event._data)
            return json.dumps(work.state(session_key(request)))

    def show(event: gr.EventData, request: gr.Request) -> Any:
        part, over = event._data.get("part"), event._data.get("over") is True
        with said():
            if not isinstance(part, int):
                raise UsageError("there is no such segment")
            return gr.HTML(seen=json.dumps(work.look(session_key(request), part, over=over)))

    def save(event: gr.EventData, request: gr.Request) -> Any:
        key, kind = session_key(request), event._data.get("kind")
        with said():
            if kind == "share":
                both = {one: work.download(key, one) for one in ("card", "page")}
                return gr.HTML(offered=json.dumps(both))
            return gr.HTML(file=json.dumps(work.download(key, kind)))

    def leave(request: gr.Request) -> None:
        work.sessions.end(session_key(request))

    run_settings = {**BRIEF, **NETWORKS, "show_progress": "minimal", "trigger_mode": "multiple"}
    taken = photo.upload(take, photo, [photo, viewer], queue=False, **BRIEF)
    chosen = viewer.select(choose, None, viewer, queue=False, **BRIEF)
    sent = viewer.upload(take_masks, None, viewer, queue=False, **BRIEF)
    for came in (taken, chosen, sent):
        ran = came.then(run, None, viewer, **run_settings)
        ran.failure(crowded, None, viewer, queue=False, **BRIEF)
    viewer.input(act, None, viewer, queue=False, trigger_mode="always_last", **BRIEF)
    viewer.submit(act, None, viewer, queue=False, trigger_mode="multiple", **BRIEF)
    viewer.apply(act, None, viewer, **BRIEF, **NETWORKS)
    viewer.expand(show, None, viewer, **BRIEF, **NETWORKS)
    viewer.download(save, None, viewer, queue=False, **BRIEF)
    page.unload(leave)


def _failure(words: str) -> str:
    """What the page shows in red. Never twice the same: an equal value is no news to the page."""
    return json.dumps({"error": words, "time": time.monotonic()})


def _thumbnails(examples: Sequence[Example]) -> list[dict[str, str]]:
    return [
        {"name": e.name, "src": data_url(open_image(e.path).pixels, THUMBNAIL)} for e in examples
    ]
