"""What the page can do, as functions of a session's key: no Gradio here."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from zeroguide.errors import UsageError
from zeroguide.image import Image
from zeroguide.image.value_range import Range
from zeroguide.web.loading import LazyNamer
from zeroguide.web.sessions import Sessions, Waiting
from zeroguide.web.uploads import MAX_PIXELS

if TYPE_CHECKING:
    from zeroguide.runs.masks.drawn import Mask
    from zeroguide.web.editing import Editor
    from zeroguide.web.mask_files import NamedMasks


class Work:
    """All that a session may ask for.

    value_range : with which uploads are read, see `zeroguide.image.opening.open_image`

    Raises UsageError and ImageError, one sentence each, for what a user can mend.
    """

    def __init__(
        self, namer: LazyNamer, sessions: Sessions, value_range: Range | None = None
    ) -> None:
        self.namer = namer
        self.sessions = sessions
        self.value_range = value_range

    def put(self, key: str, image: Image, masks: tuple[str, bytes] | None = None) -> None:
        """Take a picture that `run` is to label, perhaps with a file of masks: name and bytes.

        Raises ZeroguideError for masks that can't be read.
        """
        self.sessions.get(key).waiting = Waiting(image, masks=_read(masks, image))

    def put_masks(self, key: str, masks: tuple[str, bytes]) -> str:
        """Take masks of the session's picture that `run` is to name; returns the file's name.

        Raises ZeroguideError for masks that can't be read.
        """
        with self.sessions.editing(key) as (editor, _):
            found = Waiting(editor.image, label=False, masks=_read(masks, editor.image))
            self.sessions.get(key).waiting = found
        return masks[0]

    def put_again(self, key: str, granularity: float) -> Image:
        """Let `run` cut the session's picture anew.

        What was done by hand will be gone; the threshold stays.
        """
        if not _is_number(granularity) or not 0 <= granularity <= 1:
            raise UsageError(f"the granularity {granularity} is out of range: choose 0 to 1")
        with self.sessions.editing(key) as (editor, view):
            if view.granularity is None:
                raise UsageError(
                    "this recipe says how many segments there are: granularity is no use"
                )
            again = Waiting(editor.image, granularity=float(granularity))
            self.sessions.get(key).waiting = again
            return editor.image

    def run(self, key: str) -> Iterator[str]:
        """Label the picture that waits and name its masks; yields what begins, until it is done.

        Yields nothing if no picture waits.
        """
        session = self.sessions.get(key)
        with session.lock:
            waiting, session.waiting = session.waiting, None
        if waiting is None:
            return
        told: queue.Queue[str | BaseException | None] = queue.Queue()

        def work() -> None:
            try:
                if waiting.label:
                    self.label(key, waiting.image, told.put, waiting.granularity)
                if waiting.masks is not None:
                    self.name_masks(key, *waiting.masks, told.put)
                told.put(None)
            except BaseException as error:  # raised again in the caller's thread
                told.put(error)

        threading.Thread(target=work, name="label", daemon=True).start()
        while (one := told.get()) is not None:
            if isinstance(one, BaseException):
                raise one
            yield one

    def label(
        self,
        key: str,
        image: Image,
        stage: Callable[[str], None] = lambda name: None,
        granularity: float | None = None,
    ) -> None:
        """Label a picture: the session's editor is then that picture's.

        stage: told what begins: "models", or as in `zeroguide.labeler.Watcher.stage`. granularity:
        another than the recipe's.
        """
        from zeroguide.web.view import View

        stage("models")
        namer = self.namer.get()
        editor = namer.open(image, stage, granularity)
        own = namer.granularity
        view = View(
            editor, None if own is None else (own if granularity is None else granularity, own)
        )
        session = self.sessions.get(key)
        with session.lock:
            if granularity is not None and session.editor is not None:
                editor.set_threshold(session.editor.threshold)
                certainty = session.editor.certainty
                if certainty is not None and certainty != editor.certainty:
                    namer.set_certainty(editor, certainty)
            session.editor, session.view, session.masks = editor, view, None

    def name_masks(
        self,
        key: str,
        file_name: str,
        masks: Sequence[Mask],
        stage: Callable[[str], None] = lambda name: None,
    ) -> None:
        """Name masks of the session's picture; stage is told "masks"."""
        stage("masks")
        with self.sessions.editing(key) as (editor, _):
            image, certainty = editor.image, editor.certainty
        namer = self.namer.get()
        named = namer.name_masks(image, file_name, masks)
        if certainty is not None and certainty != namer.certainty:
            named = namer.with_certainty(named, certainty)
        with self.sessions.editing(key) as (editor, _):
            if editor.image is image:  # or another picture has come meanwhile
                self.sessions.get(key).masks = named

    def scene(self, key: str) -> dict[str, Any]:
        """See `View.scene`."""
        with self.sessions.editing(key) as (editor, view):
            return view.scene(editor)

    def state(self, key: str) -> dict[str, Any]:
        """See `View.state`; masks: their names, in the order of `masks`, or null."""
        with self.sessions.editing(key) as (editor, view):
            from zeroguide.web.view import names_of_masks

            masks = self.sessions.get(key).masks
            return view.state(editor) | {"masks": masks and names_of_masks(masks)}

    def masks(self, key: str) -> dict[str, Any]:
        """The named masks as the page draws them, and their file's name; ready for JSON."""
        from zeroguide.web.view import drawn_masks

        with self._named(key) as masks:
            return {"name": masks.file_name, "masks": drawn_masks(masks)}

    def mask_document(self, key: str) -> dict[str, Any]:
        """The named masks in the schema zeroguide-names/1."""
        with self._named(key) as masks:
            return masks.to_dict()

    @contextmanager
    def _named(self, key: str) -> Iterator[NamedMasks]:
        with self.sessions.editing(key):
            masks = self.sessions.get(key).masks
            if masks is None:
                raise UsageError("there are no masks of this picture: drop a file of them on it")
            yield masks

    def labels(self, key: str) -> dict[str, Any]:
        """The segments in the schema zeroguide/1."""
        with self.sessions.editing(key) as (editor, _):
            return editor.labeling().to_dict()

    def look(self, key: str, part: int, *, over: bool = False) -> dict[str, Any]:
        """What CLIP saw of the segment around an over-segment, or of that alone; ready for JSON.

        before, after: {"labels", "confidence"} without the mask and with it. seen: what the mask
        let through, as a data URL. about: how that is to be read.
        """
        from zeroguide.result.html_page import data_url
        from zeroguide.web.view import PICTURE_SIDE

        with self.sessions.editing(key) as (editor, _):
            segment = editor.segment_of(part)
            parts = (part,) if over else segment.parts
            found = self.namer.get().look(editor, parts)
        names = {
            when: {
                "labels": [label for label, _ in naming.labels],
                "confidence": round(naming.confidence, 4),
            }
            for when, naming in (("before", found.before), ("after", found.after))
        }
        picture = data_url(found.pixels, PICTURE_SIDE // 2)
        return {"part": part, "over": over, **names, "seen": picture, "about": found.about}

    def download(self, key: str, kind: str) -> dict[str, str]:
        """See `zeroguide.web.downloads`: its `MASKS` are of masks, all else of segments."""
        from zeroguide.web.downloads import MASKS, download, download_masks

        if kind in MASKS:
            with self._named(key) as masks:
                return download_masks(masks, kind).to_dict()
        with self.sessions.editing(key) as (editor, _):
            return download(editor, kind).to_dict()

    def edit(self, key: str, action: Mapping[str, Any]) -> None:
        """Do what the page or a client asks for.

        action: {"action": "threshold", "value": t}, {"action": "rename", "part": i, "label": text},
        {"action": "join", "parts": [i, j]}, {"action": "undo"}, {"action": "name_again", "part":
        i}, {"action": "certainty", "value": c}; over-segments count from 0.
        """
        with self.sessions.editing(key) as (editor, view):
            match dict(action):
                case {"action": "threshold", "value": int() | float() as value}:
                    if not -1 <= value <= 1 and value != view.threshold:
                        raise UsageError(
                            f"the threshold {value:g} is no similarity: these are from -1 to 1"
                        )
                    editor.set_threshold(float(value))
                case {"action": "certainty", "value": int() | float() as value}:
                    if not 0 <= value <= 1:
                        raise UsageError(f"the certainty {value:g} is out of range: choose 0 to 1")
                    namer, session = self.namer.get(), self.sessions.get(key)
                    namer.set_certainty(editor, float(value))
                    if session.masks is not None:
                        session.masks = namer.with_certainty(session.masks, float(value))
                case {"action": "rename", "part": int(part), "label": str(label)}:
                    editor.rename(part, label)
                case {"action": "join", "parts": [*parts]} if _are_ints(parts):
                    editor.join(parts)
                case {"action": "undo"}:
                    editor.undo()
                case {"action": "name_again", "part": int(part)}:
                    self._name_again(editor, part)
                case _:
                    raise UsageError("this is nothing that can be done to segments")

    def _name_again(self, editor: Editor, part: int) -> None:
        self.namer.get().name_again(editor, part)


def _read(masks: tuple[str, bytes] | None, image: Image) -> tuple[str, list[Mask]] | None:
    if masks is None:
        return None
    from zeroguide.runs.masks.sent import read_masks

    name, content = masks
    return name, read_masks(content, name, image, max_pixels=MAX_PIXELS)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_ints(values: Sequence[object]) -> bool:
    return all(isinstance(value, int) for value in values)
