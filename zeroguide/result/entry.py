"""One of many: a labelled image of a run, as the writers of formats read it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from zeroguide.result.chosen import Chosen
from zeroguide.result.named_map import NamedMap

Labels = TypeVar("Labels", bound=NamedMap | Chosen, covariant=True)


@dataclass(frozen=True)
class Entry(Generic[Labels]):
    """One labelled image of a run: its key, its labels, and its file where that is still there."""

    key: str
    labeling: Labels
    image: Path | None
