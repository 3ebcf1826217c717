"""What the page can do, as functions of a session's key: no Gradio here."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zeroguide.errors import UsageError
from zeroguide.image import Image
from zeroguide.image.value_range import Range
from zeroguide.web.sessions import Sessions

if TYPE_CHECKING:
    from zeroguide.web.editing import Editor
    from zeroguide.web.naming import Namer


class LazyNamer:
    """A namer that is loaded in the background: the page is there before its models are.

    load: makes it; called once, in a thread of its own, when `start` is called.
    """

    def __init__(self, load: Callable[[], Namer]) -> None:
        self._load = load
        self._namer: Namer | None = None
        self._done = threading.Event()
        self.error: BaseException | None = None

    def start(self) -> None:
        """Begin to load."""
        threading.Thread(target=self._run, name="models", daemon=True).start()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is loaded, or loading failed with `error`; False if it takes longer."""
        return self._done.wait(seconds)

    def get(self) -> Namer:
        """The namer, as soon as it is there. Raises what loading raised."""
        self._done.wait()
        if self._namer is None:
            raise UsageError("the models could not be loaded; see the server's terminal")
        return self._namer

    def _run(self) -> None:
        try:
            self._namer = self._load()
        except BaseException as error:  # told to whoever started the server
            self.error = error
        self._done.set()


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

    def put(self, key: str, image: Image) -> None:
        """Take a picture that `run` is to label."""
        self.sessions.get(key).waiting = image, None

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
            self.sessions.get(key).waiting = editor.image, float(granularity)
            return editor.image

    def run(self, key: str) -> Iterator[str]:
        """Label the picture that waits; yields what begins, until it is done.

        Yields nothing if no picture waits.
        """
        session = self.sessions.get(key)
        with session.lock:
            waiting, session.waiting = session.waiting, None
        if waiting is None:
            return
        image, granularity = waiting
        told: queue.Queue[str | BaseException | None] = queue.Queue()

        def label() -> None:
            try:
                self.label(key, image, told.put, granularity)
                told.put(None)
            except BaseException as error:  # raised again in the caller's thread
                told.put(error)

        threading.Thread(target=label, name="label", daemon=True).start()
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
            session.editor, session.view = editor, view

    def scene(self, key: str) -> dict[str, Any]:
        """See `View.scene`."""
        with self.sessions.editing(key) as (editor, view):
            return view.scene(editor)

    def state(self, key: str) -> dict[str, Any]:
        """See `View.state`."""
        with self.sessions.editing(key) as (editor, view):
            return view.state(editor)

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
        """See `zeroguide.web.downloads.download`."""
        from zeroguide.web.downloads import download

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
                    self.namer.get().set_certainty(editor, float(value))
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


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_ints(values: Sequence[object]) -> bool:
    return all(isinstance(value, int) for value in values)
