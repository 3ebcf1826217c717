"""One of many: a labelled image of a run, as the writers of formats read it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zeroguide.result.labeling import Labeling


@dataclass(frozen=True)
class Entry:
    """One labelled image of a run: its key, its labels, and its file where that is still there."""

    key: str
    labeling: Labeling
    image: Path | None
