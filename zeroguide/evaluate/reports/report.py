"""What a run found, for people and other programs: terminal tables, CSV, Markdown and HTML.

Every table holds the numbers of one protocol alone. Intervals are the 95 % ones of results.json.

| file | what is in it |
|---|---|
| results.csv | one line for each number of the summary |
| classes.csv, images.csv | one line for each class and image, one column for each metric |
| results.md | tables for a paper, the protocol in each caption |
| report.html | all of it with pictures, in one file that loads nothing; see `html_report` |
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from zeroguide.evaluate.reports.html import page
from zeroguide.evaluate.reports.pictures import Pictures
from zeroguide.evaluate.reports.views import by_protocol, class_keys, image_scores
from zeroguide.evaluate.reports.wording import cells, headline, images_phrase, judge, of_what
from zeroguide.evaluate.scoring.results import PROTOCOLS, Results, Value
from zeroguide.system.files import write_atomically

COLUMNS = ("metric", "variant", "value", "95 % interval", "images")


class Table(NamedTuple):
    """Cells as text, with the title of the only protocol in it.

    about: what else its numbers depend on, for a caption: the sentence encoder.
    """

    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    title: str
    about: str = ""


def table_rows(results: Results) -> list[Table]:
    """The summary as tables, one per protocol, in the order of `PROTOCOLS`."""
    return [
        Table(
            COLUMNS,
            [_row(value) for value in values],
            PROTOCOLS[protocol].title,
            judge((value.key for value in values), results.sentence_encoder),
        )
        for protocol, values in by_protocol(results.summary)
    ]


def write(
    results: Results,
    folder: str | PathLike[str],
    *,
    pictures: Pictures | None = None,
    command: str | None = None,
) -> None:
    """Write all files of the module's table into an existing folder, each whole or not at all.

    Args:
        pictures: the name of an image -> its overlay and its truth drawn alike, or None if it
            can't be had; asked for the images that the report shows. Without it there are none.
        command: the command line that made the results.

    Raises ZeroguideError if a file can't be written.
    """
    folder = Path(folder)
    for name, text in (
        ("results.csv", summary_csv(results)),
        ("classes.csv", classes_csv(results)),
        ("images.csv", images_csv(results)),
        ("results.md", markdown(results)),
        ("report.html", page(results, pictures=pictures, command=command)),
    ):
        write_atomically(folder / name, text.encode())


def summary_csv(results: Results) -> str:
    """The summary, one number a line; an empty cell where there is no value."""
    fields = ("protocol", "metric", "variant", "value", "low", "high", "unit", "higher_is_better")
    rows = [
        [_cell(getattr(value, name)) for name in (*fields, "n_images")] for value in results.summary
    ]
    return _csv([*fields, "n_images"], rows)


def classes_csv(results: Results) -> str:
    """Each class with its true pixels and its values."""
    keys = class_keys(results)
    rows = [
        [row.name, row.pixels, *(_cell(row.values.get(key, math.nan)) for key in keys)]
        for row in results.classes
    ]
    return _csv(["class", "pixels", *keys], rows)


def images_csv(results: Results) -> str:
    """Each image with its error or its scores.

    Metrics that are summed over images stand here with the formula applied to the image alone.
    """
    scored = results.scored
    keys = list(dict.fromkeys(key for row in scored for key in (*row.values, *row.sums)))
    names = [row.name for row in scored]
    columns = [dict(zip(names, image_scores(results, key), strict=True)) for key in keys]
    rows = [
        [
            row.name,
            row.error or "",
            _cell(row.seconds),
            _cell(row.n_segments),
            *(_cell(column.get(row.name, math.nan)) for column in columns),
        ]
        for row in results.images
    ]
    return _csv(["image", "error", "seconds", "segments", *keys], rows)


def markdown(results: Results) -> str:
    """Tables for a paper, one per protocol, each with a caption that says the protocol's rules."""
    parts = [f"# {of_what(results)}\n"]
    if text := headline(results):
        parts.append(f"**{escape_markdown(text)}**\n")
    for protocol, values in by_protocol(results.summary):
        known = PROTOCOLS[protocol]
        caption = f"**{known.title}.** {known.description} {images_phrase(results)}"
        about = judge((value.key for value in values), results.sentence_encoder)
        caption = f"{caption} {about}"
        parts.append(f"{escape_markdown(caption)}\n\n{markdown_table(COLUMNS, map(_row, values))}")
    parts.append("Intervals: 95 %, percentile bootstrap over images.\n")
    return "\n".join(parts)


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells, escaped; with the line break at its end."""
    lines = [columns, ["---"] * len(columns), *rows]
    texts = (" | ".join(escape_markdown(cell) for cell in line) for line in lines)
    return "".join(f"| {text} |\n" for text in texts)


def escape_markdown(text: str) -> str:
    """Text that can't end a cell, start HTML or begin a line of its own."""
    text = " ".join(text.split()).replace("|", "\\|")
    return text.replace("<", "&lt;").replace("`", "\\`")


def _row(value: Value) -> tuple[str, ...]:
    return *cells(value), str(value.n_images)


def _cell(value: object) -> object:
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()
