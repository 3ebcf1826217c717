"""Suites: several runs of `zeroguide eval`, with published numbers beside the measured ones.

`paper` is what the paper on zero-guidance segmentation (ICCV 2023) reports: IoU_TT, IoU_ST, segment
recall and AR of the whole pipeline, and the names given to true masks, on Pascal VOC 2012 and
Pascal Context; LAC, the headline of every run, goes with it where there is a WordNet.
`unsupervised` is what methods without names report: labels as clusters, matched once for the data
set (STEGO's crops of COCO-Stuff and Cityscapes, Pascal VOC) or image by image (DiffCut's data
sets). A data set that isn't there is said, the others go on.

A table never holds numbers of two protocols: `beside` refuses to make one. What nobody could verify
stands in a column with that word, numbers of protocols that aren't ours in a table of their own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from zeroguide.errors import ZeroguideError
from zeroguide.evaluate.datasets.cropped import STEGO_CROP, cropped_name
from zeroguide.evaluate.reports.published import UNVERIFIED, Published, published
from zeroguide.evaluate.reports.report import Table, escape_markdown, markdown_table
from zeroguide.evaluate.reports.wording import (
    MISSING,
    cells,
    headline,
    images_phrase,
    judge,
    of_what,
)
from zeroguide.evaluate.scoring.results import PROTOCOLS, Results, Stage, Value
from zeroguide.system.files import write_atomically

SCHEMA = "zeroguide-suite/1"
COLUMNS = (
    "data set",
    "metric",
    "variant",
    "measured",
    "95 % interval",
    "published",
    f"published, protocol {UNVERIFIED}",
)
OTHER_COLUMNS = ("data set", "method", "value", "protocol", "source", "remark")


@dataclass(frozen=True)
class Part:
    """One run of a suite: its data set, what is evaluated, and by which protocols.

    optional: protocols that are left out, with a note, where what they need isn't there.
    """

    dataset: str
    stage: Stage
    protocols: tuple[str, ...]
    crop: int | None = None
    optional: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """Name of the folder of its results."""
        crop = "" if self.crop is None else f"-crop{self.crop}"
        return f"{self.dataset}{crop}-{self.stage}"

    @property
    def title(self) -> str:
        """The data set as results name it."""
        return self.dataset if self.crop is None else cropped_name(self.dataset, self.crop)


@dataclass(frozen=True)
class Missing:
    """A part that could not be run, and why in one sentence."""

    part: Part
    reason: str


PAPER = (
    Part("voc2012", "full", ("tt", "st", "cost"), optional=("lac",)),
    Part("voc2012", "true-masks", ("naming",)),
    Part("context-59", "full", ("tt", "st", "cost"), optional=("lac",)),
    Part("context-59", "true-masks", ("naming",)),
)
UNSUPERVISED = (
    Part("coco-stuff-27", "full", ("unsupervised", "cost"), STEGO_CROP),
    Part("cityscapes-27", "full", ("unsupervised", "cost"), STEGO_CROP),
    Part("voc2012", "full", ("unsupervised", "per-image", "cost")),
    Part("coco-stuff-27", "full", ("per-image",)),
    Part("ade20k-150", "full", ("per-image",)),
)
SUITES: dict[str, tuple[Part, ...]] = {"paper": PAPER, "unsupervised": UNSUPERVISED}


@dataclass(frozen=True)
class Suite:
    """What a suite found."""

    results: tuple[Results, ...]
    missing: tuple[Missing, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """Each reason why a part, or what a part needs, is missing; once."""
        parts = (f"{m.part.title}: {m.reason}" for m in self.missing)
        tools = (f"{tool}: {why}" for each in self.results for tool, why in each.missing.items())
        return tuple(dict.fromkeys((*parts, *tools)))

    def tables(self) -> list[Table]:
        """Published beside measured: a table per protocol, and one for those that aren't here."""
        datasets = {results.dataset.name for results in self.results}
        measured = [(r.dataset.name, value) for r in self.results for value in r.summary]
        tables = []
        for name in PROTOCOLS:
            ours = [(dataset, value) for dataset, value in measured if value.protocol == name]
            keys = {(dataset, value.key) for dataset, value in ours}
            theirs = [p for p in published() if keys & p.places]
            if ours:
                tables.append(beside(name, ours, theirs)._replace(about=self._judges(name)))
        # Of other protocols, or of crops where whole images were measured.
        others = [
            p
            for p in published()
            if p.dataset in datasets and not (p.metrics and p.title in datasets)
        ]
        if others:
            tables.append(Table(OTHER_COLUMNS, list(map(_other_row, others)), "Other protocols"))
        return tables

    def _judges(self, protocol: str) -> str:
        """For a table's caption: the sentence encoder of its numbers that depend on one."""
        said = (
            judge((v.key for v in each.summary if v.protocol == protocol), each.sentence_encoder)
            for each in self.results
        )
        return " ".join(dict.fromkeys(filter(None, said)))

    def write(self, folder: str | PathLike[str]) -> None:
        """Write suite.json and suite.md into an existing folder. ZeroguideError if it can't be."""
        folder = Path(folder)
        write_atomically(folder / "suite.json", (self.to_json() + "\n").encode())
        write_atomically(folder / "suite.md", self.markdown().encode())

    def to_json(self) -> str:
        """JSON text of the schema zeroguide-suite/1: tables as text, what ran, what is missing."""
        data = {
            "schema": SCHEMA,
            "runs": [of_what(results) for results in self.results],
            "headlines": [headline(results) for results in self.results],
            "missing": [
                {"dataset": m.part.title, "stage": m.part.stage, "reason": m.reason}
                for m in self.missing
            ],
            "tables": [
                {
                    "title": t.title,
                    "about": t.about,
                    "columns": list(t.columns),
                    "rows": list(map(list, t.rows)),
                }
                for t in self.tables()
            ],
        }
        return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)

    def markdown(self) -> str:
        """The tables with their captions, the runs and sources below."""
        descriptions = {p.title: p.description for p in PROTOCOLS.values()}
        parts = []
        for table in self.tables():
            caption = f"**{table.title}.** {descriptions.get(table.title, 'Not to be compared.')}"
            rows = markdown_table(table.columns, table.rows)
            parts.append(f"{escape_markdown(f'{caption} {table.about}')}\n\n{rows}")
        runs = [
            f"{of_what(results)}; {images_phrase(results)} {headline(results)}".rstrip()
            for results in self.results
        ]
        lines = [*runs, *_sources(self.results), *(f"missing: {note}" for note in self.notes)]
        parts.append("".join(f"- {escape_markdown(line)}\n" for line in lines))
        return "\n".join(parts)


def run_parts(run: Callable[[Part], Results], parts: Sequence[Part]) -> Suite:
    """Run the parts one after the other; one that raises ZeroguideError is missing, not the end.

    Args:
        run: evaluates one part, and writes what it wants of it.
    """
    results, missing = [], []
    for part in parts:
        try:
            results.append(run(part))
        except ZeroguideError as error:
            missing.append(Missing(part, str(error).rstrip(".")))
    return Suite(tuple(results), tuple(missing))


def beside(
    protocol: str, measured: Iterable[tuple[str, Value]], numbers: Iterable[Published]
) -> Table:
    """The one table of a protocol: measured numbers, each with those published for it.

    Args:
        protocol: a key of `PROTOCOLS`.
        measured: data sets' names with numbers of this protocol.
        numbers: published under this protocol, or unverified; others than those of a row's data
            set and metric don't show.

    Raises ValueError for any number of another protocol.
    """
    measured, numbers = list(measured), list(numbers)
    strange = {value.protocol for _, value in measured if value.protocol != protocol}
    strange |= {p.protocol for p in numbers if p.protocol not in (protocol, UNVERIFIED)}
    if strange:
        raise ValueError(
            f"numbers of {', '.join(sorted(strange))} in a table of {protocol}: families of "
            "metrics are never mixed"
        )
    rows: list[tuple[str, ...]] = []
    for dataset, value in measured:
        here = [p for p in numbers if (dataset, value.key) in p.places]
        known = [p.text for p in here if p.protocol == protocol]
        unverified = [f"{p.text} {UNVERIFIED}" for p in here if p.protocol == UNVERIFIED]
        rows.append(
            (
                dataset,
                *cells(value),
                ", ".join(known) or MISSING,
                ", ".join(unverified) or MISSING,
            )
        )
    return Table(COLUMNS, rows, PROTOCOLS[protocol].title)


def _other_row(number: Published) -> tuple[str, ...]:
    value = f"{'~' * number.approximate}{number.value:.1f} %"
    source = number.source
    return (number.title, number.method, value, number.protocol, source, number.remark)


def _sources(results: Iterable[Results]) -> list[str]:
    """Where the published numbers of these runs' data sets and metrics are from."""
    keys = {(r.dataset.name, value.key) for r in results for value in r.summary}
    lines = []
    for number in published():
        if keys & number.places:
            facts = [number.source, number.network or "", number.remark]
            shown = "; ".join(fact for fact in facts if fact)
            lines.append(f"{number.text}, {number.title}: {shown}")
    return lines
