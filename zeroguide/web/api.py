"""What the page does, for programs: calls of gradio_client, over-segments by their numbers."""

from __future__ import annotations

from typing import Any

import gradio as gr

from zeroguide.errors import UsageError
from zeroguide.web.components import NETWORKS, offer, photo_upload, said, session_key, value
from zeroguide.web.typed_names import LONGEST_NAME
from zeroguide.web.uploads import MAX_BYTES, MAX_PIXELS, read_photo
from zeroguide.web.work import Work


def add_api(work: Work) -> None:
    """The same for programs; over-segments count from 1, as in "merged_from"."""

    def label(upload: tuple[str, bytes], request: gr.Request) -> dict[str, Any]:
        """Label a picture; it is the one that the other calls are about."""
        with said():
            if upload is None:
                raise UsageError("there is no picture; send one with gradio_client.handle_file")
            name, content = upload
            work.label(session_key(request), read_photo(content, name, work.value_range))
            return work.labels(session_key(request))

    def name_masks(upload: tuple[str, bytes], request: gr.Request) -> dict[str, Any]:
        """Name the masks in a file, which are of the picture labelled last."""
        key = session_key(request)
        with said():
            if upload is None:
                raise UsageError("there is no file; send one with gradio_client.handle_file")
            work.put_masks(key, upload)
            for _ in work.run(key):
                pass
            return work.mask_document(key)

    def edit(request: gr.Request, **action: Any) -> dict[str, Any]:
        with said():
            work.edit(session_key(request), action)
            return work.labels(session_key(request))

    def merge(threshold: float, request: gr.Request) -> dict[str, Any]:
        """Merge anew: segments at least as similar as the threshold become one."""
        return edit(request, action="threshold", value=threshold)

    def certainty(least: float, request: gr.Request) -> dict[str, Any]:
        """Name anew: a name less certain than this gives way to a wider one, from 0 to 1."""
        return edit(request, action="certainty", value=least)

    def cut(granularity: float, request: gr.Request) -> dict[str, Any]:
        """Cut the picture anew, from 0, coarse, to 1, fine; names by hand are gone."""
        with said():
            work.put_again(session_key(request), granularity)
            for _ in work.run(session_key(request)):
                pass
            return work.labels(session_key(request))

    def rename(part: int, label: str, request: gr.Request) -> dict[str, Any]:
        """Give the segment around an over-segment another name."""
        return edit(request, action="rename", part=part - 1, label=label)

    def join(part: int, other: int, request: gr.Request) -> dict[str, Any]:
        """Make one segment of those around two over-segments."""
        return edit(request, action="join", parts=[part - 1, other - 1])

    def name_again(part: int, request: gr.Request) -> dict[str, Any]:
        """Let the networks name the segment around an over-segment."""
        return edit(request, action="name_again", part=part - 1)

    def look(part: int, request: gr.Request) -> dict[str, Any]:
        """What CLIP saw of the segment around an over-segment, and says with and without a mask."""
        with said():
            return work.look(session_key(request), part - 1)

    def undo(request: gr.Request) -> dict[str, Any]:
        """Take back the last name or joining by hand."""
        return edit(request, action="undo")

    def download(kind: str, request: gr.Request) -> dict[str, Any]:
        """A file as {"name", "media_type", "content": base64}; card and page are to be shared."""
        with said():
            return work.download(session_key(request), kind)

    labels = value("object", "Labels", "The segments in the schema zeroguide/1")
    part = value("integer", "Over-segment", "A number from the segment's merged_from")
    other = value("integer", "Other over-segment", "A number from the other's merged_from")
    name = value("string", "Name", f"The new name, at most {LONGEST_NAME} characters")
    threshold = value("number", "Threshold", "Similarity from which segments join, -1 to 1")
    sure = value("number", "Certainty", "The least probability of a name, 0 to 1")
    granularity = value("number", "Granularity", "How finely to cut, 0 to 1")
    found = value("object", "Look", "before, after: labels and confidence; seen: a picture")
    kind = value(
        "string", "Kind", "overlay, json, coco, card (PNG), page (HTML), masks, masks-overlay"
    )
    file = value("object", "File", "Its name, media_type, and content in base64")
    # Gradio has no type hint for a file that is deleted when it has been read.
    photo = photo_upload(visible=False, label="Photo")
    masks = photo_upload(visible=False, label="Masks")
    about = f"At most {MAX_BYTES // 10**6} MB and {MAX_PIXELS // 10**6} megapixels"
    schema = {**photo.api_info(), "additional_description": about}
    photo.api_info_as_input = lambda: schema
    kinds = "JSON of SAM, COCO, labelme, Label Studio or ours, a label map (PNG), YOLO's txt"
    mask_schema = {**masks.api_info(), "additional_description": kinds}
    masks.api_info_as_input = lambda: mask_schema
    names = value("object", "Names", "The masks in the schema zeroguide-names/1")

    offer(label, [photo], labels, **NETWORKS)
    offer(name_masks, [masks], names, **NETWORKS)
    offer(cut, [granularity], labels, **NETWORKS)
    offer(merge, [threshold], labels)
    offer(certainty, [sure], labels)
    offer(rename, [part, name], labels)
    offer(join, [part, other], labels)
    offer(name_again, [part], labels, **NETWORKS)
    offer(look, [part], found, **NETWORKS)
    offer(undo, [], labels)
    offer(download, [kind], file)
