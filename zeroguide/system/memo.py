"""What networks have read during one call of the flow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

T = TypeVar("T")


class Memo:
    """Keeps what is read in one call, so that it is read once; a new one for every call.

    Rounding makes what a network says of a text depend, in its last digits, on the texts read with
    it. So nothing is kept from call to call, and results are a function of the call alone. Models,
    encoders and decoders hold no such state: threads may share them, but never a memo.
    """

    def __init__(self) -> None:
        self._parts: dict[int, tuple[object, Any]] = {}

    def part(self, owner: object, make: Callable[[], T]) -> T:
        """What `owner` keeps here; `make` begins it when it is first asked for."""
        key = id(owner)  # the owner is kept, too, so that its id stays its own
        if key not in self._parts:
            self._parts[key] = (owner, make())
        return cast("T", self._parts[key][1])
