"""Models that are loaded while the page is there already."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from zeroguide.errors import UsageError

if TYPE_CHECKING:
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
