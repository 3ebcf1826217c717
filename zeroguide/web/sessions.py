"""Who works on what: editors in memory, forgotten when their session ends."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from zeroguide.errors import UsageError

if TYPE_CHECKING:
    from zeroguide.image import Image
    from zeroguide.runs.masks.drawn import Mask
    from zeroguide.web.editing import Editor
    from zeroguide.web.mask_files import NamedMasks
    from zeroguide.web.view import View


@dataclass(frozen=True)
class Waiting:
    """What is to be done next.

    image: the picture. label: whether it is to be labelled. granularity: None: the recipe's.
    masks: to be named, with their file's name.
    """

    image: Image
    label: bool = True
    granularity: float | None = None
    masks: tuple[str, Sequence[Mask]] | None = None


@dataclass
class Session:
    """One browser tab or API client.

    editor, view: of the picture that was labelled. masks: those of it that were named.
    """

    waiting: Waiting | None = None
    editor: Editor | None = None
    view: View | None = None
    masks: NamedMasks | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)
    used: float = 0.0


class Sessions:
    """The sessions by their keys.

    Args:
        most: sessions kept; beyond it the one that was idle longest is forgotten.
        idle: seconds after which an idle session is forgotten.
        clock: gives seconds.
    """

    def __init__(
        self, most: int = 32, idle: float = 3600.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._idle, self._clock = most, idle, clock
        self._kept: OrderedDict[str, Session] = OrderedDict()  # the longest idle one first
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: str) -> bool:
        return key in self._kept

    def get(self, key: str) -> Session:
        """The session, a new one if it is unknown."""
        with self._lock:
            session = self._kept.setdefault(key, Session())
            session.used = self._clock()
            self._kept.move_to_end(key)
            while len(self._kept) > self._most or self._is_stale(next(iter(self._kept.values()))):
                self._kept.popitem(last=False)
            return session

    @contextmanager
    def editing(self, key: str) -> Iterator[tuple[Editor, View]]:
        """The editor of a session and its view, for one thread at a time.

        UsageError where there is none: nothing was labelled, or it is forgotten.
        """
        with self._lock:
            session = self._kept.get(key)
        if session is None:
            raise _nothing()
        with session.lock:
            if session.editor is None or session.view is None:
                raise _nothing()
            self.get(key)  # it is in use
            yield session.editor, session.view

    def end(self, key: str) -> None:
        """Forget a session; nothing happens if it is unknown."""
        with self._lock:
            self._kept.pop(key, None)

    def forget_idle(self) -> None:
        """Forget all sessions that have been idle too long."""
        with self._lock:
            while self._kept and self._is_stale(next(iter(self._kept.values()))):
                self._kept.popitem(last=False)

    def _is_stale(self, session: Session) -> bool:
        return self._clock() - session.used > self._idle


def _nothing() -> UsageError:
    return UsageError("there is no picture in this session any more: drop one or take an example")
