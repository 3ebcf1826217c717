"""The tab with the labels of a run, and its API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gradio as gr

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.system.console import sentence
from zeroguide.web.components import BRIEF, offer, said, value
from zeroguide.web.taxonomy import MOST_SHOWN, Taxonomy
from zeroguide.web.typed_names import LONGEST_NAME

VIEWER = Path(__file__).parent / "viewer"


def add_taxonomy(page: gr.Blocks, taxonomy: Taxonomy) -> None:
    """The components; inside a tab."""
    viewer = gr.HTML(
        value="",
        html_template=(VIEWER / "taxonomy.html").read_text("utf-8"),
        js_on_load=(VIEWER / "taxonomy.js").read_text("utf-8"),
        elem_classes="zg-view zg-taxonomy",
        apply_default_css=False,
        examples="",
        most=MOST_SHOWN,
        longest=LONGEST_NAME,
    )

    def load() -> str:
        try:
            return json.dumps(taxonomy.labels())
        except ZeroguideError as error:
            return json.dumps({"error": sentence(error)})

    def change(event: gr.EventData) -> str:
        try:
            told = change_labels(taxonomy, event._data)
            return json.dumps({**taxonomy.labels(), "said": told})
        except ZeroguideError as error:
            return json.dumps({**taxonomy.labels(), "error": sentence(error)})

    def show(event: gr.EventData) -> Any:
        labels = event._data.get("labels")
        with said():
            if not isinstance(labels, list) or not all(isinstance(one, str) for one in labels):
                raise UsageError("these are no labels")
            return gr.HTML(examples=json.dumps(taxonomy.examples(labels)))

    page.load(load, None, viewer, queue=False, **BRIEF)
    viewer.submit(change, None, viewer, trigger_mode="multiple", **BRIEF)
    viewer.select(show, None, viewer, queue=False, trigger_mode="multiple", **BRIEF)


def change_labels(taxonomy: Taxonomy, action: Any) -> str:
    """Do what the page asks for; returns what came of it.

    action: {"action": "rename", "old": [label, ...], "new": label} or {"action": "undo"}.
    """
    match dict(action):
        case {"action": "rename", "old": [*old], "new": str(new)} if all(
            isinstance(label, str) for label in old
        ):
            return taxonomy.rename(old, new)
        case {"action": "undo"}:
            return taxonomy.undo()
    raise UsageError("this is nothing that can be done to labels")


def add_taxonomy_api(taxonomy: Taxonomy) -> None:
    """The same for programs."""

    def run_labels() -> dict[str, Any]:
        """The labels of the run: [label, segments, images] each, the most frequent first."""
        with said():
            return taxonomy.labels()

    def run_rename(old: list[str], new: str) -> dict[str, Any]:
        """Give labels of the run another name, in its files; several become one."""
        with said():
            change_labels(taxonomy, {"action": "rename", "old": old, "new": new})
            return taxonomy.labels()

    def run_undo() -> dict[str, Any]:
        """Take back the last renaming of labels of the run since the page was started."""
        with said():
            taxonomy.undo()
            return taxonomy.labels()

    labels = value("object", "Labels", "run, images, labels, undo: whether a change can go back")
    old = value("array", "Old labels", "Labels of the run")
    new = value("string", "New label", f"At most {LONGEST_NAME} characters")
    offer(run_labels, [], labels)
    offer(run_rename, [old, new], labels)
    offer(run_undo, [], labels)
