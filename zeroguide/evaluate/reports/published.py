"""Numbers that others have published for this task and its neighbours, each with its protocol.

They are data, `published.json`, copied from the named sources and not measured here. A number's
protocol decides where it may stand: beside a number measured under the same one; in a column of
its own if nobody could verify which one it is (`UNVERIFIED`); or apart, if `zeroguide eval` doesn't
have the protocol, such as a mapping by a language model, or methods that are told the class names.
A crop is other data: a number of crops stands beside a number of the same crops alone. Differences
remain even within a protocol: refinement, how images are resized (`remark`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from zeroguide.evaluate.datasets.cropped import cropped_name
from zeroguide.evaluate.scoring.results import PROTOCOLS, split_key

UNVERIFIED = "unverified"


@dataclass(frozen=True)
class Published:
    """One published number.

    Attributes:
        method, source: what it is called, and where it was published.
        year: of publication, None if unknown.
        dataset: the data set's name here.
        network: the models it was reached with; None if unknown.
        value: in percent.
        protocol: one of `PROTOCOLS`, `UNVERIFIED`, or in words a protocol that isn't here.
        metrics: keys it may stand beside: one for a protocol of `PROTOCOLS`, all that it may be if
            unverified, otherwise none.
        remark: how it differs, as far as known.
        approximate: whether the source gives it only roughly.
        crop: side of the centre squares that were scored; None: whole images.
    """

    method: str
    year: int | None
    source: str
    dataset: str
    network: str | None
    value: float
    protocol: str
    metrics: tuple[str, ...]
    remark: str
    approximate: bool = False
    crop: int | None = None

    def __post_init__(self) -> None:
        families = {split_key(name)[0].protocol for name in self.metrics}
        known = self.protocol in PROTOCOLS
        if known and families != {self.protocol}:
            raise ValueError(f"{self.method}: a number of {self.protocol} beside {families}")
        if not known and bool(families) != (self.protocol == UNVERIFIED):
            raise ValueError(f"{self.method}: {self.protocol} has no place beside {families}")

    @property
    def title(self) -> str:
        """The data set as results of the same images name it."""
        return self.dataset if self.crop is None else cropped_name(self.dataset, self.crop)

    @property
    def places(self) -> set[tuple[str, str]]:
        """Data sets' names with the keys that it may stand beside."""
        return {(self.title, key) for key in self.metrics}

    @property
    def text(self) -> str:
        """The number with the method's name: ``"20.1 (TAG)"``."""
        return f"{'~' * self.approximate}{self.value:.1f} ({self.method})"


@cache
def published() -> tuple[Published, ...]:
    """All of published.json, in its order."""
    entries = json.loads(files(__package__).joinpath("published.json").read_text("utf-8"))
    return tuple(Published(**{**entry, "metrics": tuple(entry["metrics"])}) for entry in entries)
