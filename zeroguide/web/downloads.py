"""An editor's segments as files, made in memory: nothing is written on the server."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from zeroguide.errors import UsageError
from zeroguide.web.editing import Editor
from zeroguide.web.mask_files import NamedMasks

MASKS = ("masks", "masks-overlay")


@dataclass(frozen=True)
class Download:
    """A file: its name, its media type, its bytes."""

    name: str
    media_type: str
    content: bytes

    def to_dict(self) -> dict[str, str]:
        """Ready for JSON, the content in base64."""
        return {
            "name": self.name,
            "media_type": self.media_type,
            "content": base64.b64encode(self.content).decode("ascii"),
        }


def download(editor: Editor, kind: str) -> Download:
    """The segments as a file.

    kind: "overlay" (PNG), "json" (schema zeroguide/1), "coco" (instances), and to be passed on
    "card" (PNG with a legend) or "page" (HTML).

    Raises UsageError for another kind.
    """
    if kind not in _KINDS:
        raise UsageError(f"there is no download {kind!r}; take one of {', '.join(_KINDS)}")
    return _KINDS[kind](editor)


def download_masks(masks: NamedMasks, kind: str) -> Download:
    """Named masks as the files that `zeroguide name` writes.

    kind: one of `MASKS`: "masks" (JSON, schema zeroguide-names/1) or "masks-overlay" (PNG).
    """
    name = masks.image.file_name
    if kind == "masks":
        text = json.dumps(masks.to_dict(), ensure_ascii=False, indent=1)
        return Download(f"{name}.names.json", "application/json", (text + "\n").encode())
    file = io.BytesIO()
    masks.overlay().save(file, "PNG")
    return Download(f"{name}.names.png", "image/png", file.getvalue())


def _overlay(editor: Editor) -> Download:
    from zeroguide.result.overlay import draw

    file = io.BytesIO()
    draw(editor.labeling(), editor.image.pixels).save(file, "PNG")
    return Download(f"{_stem(editor)}.labels.png", "image/png", file.getvalue())


def _json(editor: Editor) -> Download:
    text = json.dumps(editor.labeling().to_dict(), ensure_ascii=False, indent=1)
    name = f"{editor.image.file_name}.json"
    return Download(name, "application/json", (text + "\n").encode())


def _coco(editor: Editor) -> Download:
    from zeroguide.result.formats.coco import to_coco

    text = json.dumps(to_coco(editor.labeling()), ensure_ascii=False)
    return Download(f"{_stem(editor)}.coco.json", "application/json", text.encode())


def _card(editor: Editor) -> Download:
    from zeroguide.result.overlay.card import card

    file = io.BytesIO()
    card(editor.labeling(), editor.image.pixels).save(file, "PNG", optimize=True)
    return Download(f"{_stem(editor)}.names.png", "image/png", file.getvalue())


def _page(editor: Editor) -> Download:
    from zeroguide.result.html_page import to_page

    page = to_page(editor.labeling(), editor.image.pixels)
    return Download(f"{_stem(editor)}.names.html", "text/html", page.encode())


_KINDS: dict[str, Callable[[Editor], Download]] = {
    "overlay": _overlay,
    "json": _json,
    "coco": _coco,
    "card": _card,
    "page": _page,
}


def _stem(editor: Editor) -> str:
    return PurePosixPath(editor.image.file_name).stem or "picture"
