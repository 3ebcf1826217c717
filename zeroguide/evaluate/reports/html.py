"""The report of a run as one HTML file: no request leaves it, pictures lie in it as data.

Readable at 390 pixels, in the dark and on paper. All text is escaped by construction (ElementTree
builds the page), and a content policy forbids whatever could be loaded. Failure modes: pictures
make the file about 80 KB larger for each image shown; with thousands of images the table of images
is long, so it shows few metrics, and images.csv all.
"""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from importlib.resources import files

import numpy as np

from zeroguide.evaluate.reports.charts import element as e
from zeroguide.evaluate.reports.charts import interval_bar, line_chart
from zeroguide.evaluate.reports.confusion_table import confusion_table
from zeroguide.evaluate.reports.pictures import Pictures, card
from zeroguide.evaluate.reports.views import by_protocol, class_keys, image_scores, main_key
from zeroguide.evaluate.reports.wording import (
    MISSING,
    dataset,
    headline,
    images_phrase,
    interval,
    judge,
    key_title,
    method,
    number,
    quantity,
    stage,
)
from zeroguide.evaluate.scoring.metrics_table import LADDER_NAMES, Metric
from zeroguide.evaluate.scoring.results import METRICS, PROTOCOLS, Results, Value, split_key
from zeroguide.system.console import plain

SHOWN = 6  # of the worst images, and of the best
IMAGE_COLUMNS = 5
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def page(results: Results, *, pictures: Pictures | None = None, command: str | None = None) -> str:
    """The whole report as HTML text.

    Args:
        pictures: the name of an image -> overlay and truth, or None if they can't be had.
        command: the command line that made the results.
    """
    sections = [
        ("numbers", "Numbers", _numbers(results)),
        ("classes", "Classes", _classes(results)),
        ("images", "Images", _images(results, pictures)),
        ("confusions", "Names given to each class", _confusions(results)),
        ("curves", "Curves", _curves(results)),
        ("settings", "Settings", _settings(results, command)),
    ]
    sections = [section for section in sections if section[2]]
    links = [e("a", title, href=f"#{name}") for name, title, _ in sections]
    title = f"{method(results)} on {dataset(results)}"
    style, script = (
        files(__package__).joinpath(f"report.{end}").read_text() for end in ("css", "js")
    )
    head = e(
        "head",
        e("meta", charset="utf-8"),
        e("meta", name="viewport", content="width=device-width, initial-scale=1"),
        e("meta", http_equiv="Content-Security-Policy", content=POLICY),
        e("title", plain(title)),
        e("link", rel="icon", href="data:,"),
        e("style", style),
    )
    body = e(
        "body",
        e("header", e("h1", plain(title)), *_lead(results)),
        e("nav", *links),
        *(e("section", e("h2", t), *parts, id=name) for name, t, parts in sections),
        e("script", script),
    )
    text = ET.tostring(e("html", head, body, lang="en"), encoding="unicode", method="html")
    return f"<!DOCTYPE html>\n{text}\n"


def _lead(results: Results) -> list[ET.Element]:
    """Below the title: the headline, what was scored, and what the run had to do without."""
    text = headline(results)
    parts = [e("p", plain(text), class_="headline")] if text else []
    parts.append(e("p", _subtitle(results), class_="soft"))
    said = (f"Left out without {what}: {reason}." for what, reason in results.missing.items())
    return [*parts, *(e("p", plain(sentence), class_="soft") for sentence in said)]


def _subtitle(results: Results) -> str:
    text = f"{stage(results).capitalize()}. {images_phrase(results)}"
    if results.sentence_encoder:
        text += f" Sentence encoder: {plain(results.sentence_encoder)}."
    return text


def _numbers(results: Results) -> list[ET.Element]:
    parts = [
        e(
            "p",
            "One table for each protocol; numbers of two tables are never compared. Intervals "
            "hold 95 % of 1,000 draws of the images.",
        )
    ]
    for protocol, values in by_protocol(results.summary):
        known = PROTOCOLS[protocol]
        keys = [value.key for value in values]
        heading = ("metric", "variant", "value", "95 % interval", "images")
        classes = ("metric", "", "n", "n", "n count")
        head = e("tr", *(e("th", h, class_=c) for h, c in zip(heading, classes, strict=True)))
        rows: list[ET.Element] = []
        for i, value in enumerate(values):
            first = i == 0 or values[i - 1].metric != value.metric
            rows.append(_number_row(value, explained=first))
        parts += [
            e("h3", known.title),
            e("p", known.description, *_judge(keys, results), class_="soft"),
            e("table", e("thead", head), e("tbody", *rows), class_="numbers"),
        ]
    return parts if len(parts) > 1 else []


def _judge(keys: Sequence[str], results: Results) -> list[str]:
    """The end of a caption: who judged the numbers, if they depend on that."""
    text = judge(keys, results.sentence_encoder)
    return [f" {plain(text)}"] if text else []


def _number_row(value: Value, *, explained: bool) -> ET.Element:
    metric = METRICS[value.metric]
    name = e("td", metric.title if explained else "", class_="metric")
    if explained:
        direction = "" if metric.higher_is_better else " Lower is better."
        name.append(e("small", metric.description + direction * (metric.protocol != "cost")))
    shown = e("td", quantity(value.value, metric), class_="n")
    between = e("td", interval(value.low, value.high, metric), class_="n")
    if value.unit == "%":
        between.append(interval_bar(value.value, value.low, value.high))
    return e(
        "tr", name, e("td", value.variant or MISSING), shown, between,
        e("td", str(value.n_images), class_="n count"),
    )  # fmt: skip


def _classes(results: Results) -> list[ET.Element]:
    """A table for each protocol; all but the first are folded."""
    keys = class_keys(results)
    families = {split_key(key)[0].protocol for key in keys}
    parts = []
    for name in [name for name in PROTOCOLS if name in families]:
        family = [key for key in keys if split_key(key)[0].protocol == name]
        summary = e("summary", PROTOCOLS[name].title)
        about = [e("p", *text, class_="soft")] if (text := _judge(family, results)) else []
        parts.append(e("details", summary, *about, _class_table(results, family)))
    if not parts:
        return []
    parts[0].set("open", "")
    return [e("p", "Press a heading to sort.", class_="soft hint"), *parts]


def _class_table(results: Results, keys: Sequence[str]) -> ET.Element:
    rows = []
    for row in results.classes:
        cells = [_text_cell(row.name)]
        for i, key in enumerate(keys):
            value, metric = row.values.get(key, math.nan), split_key(key)[0]
            cells.append(_value_cell(value, metric))
            if i == 0 and metric.unit == "%" and not math.isnan(value):
                width = min(max(value, 0.0), 100.0)
                cells[-1].append(e("span", e("i", style=f"width:{width:.1f}%"), class_="meter"))
        cells.append(_number_cell(float(row.pixels), f"{row.pixels:,}"))
        rows.append(e("tr", *cells))
    return _sortable(["class", *map(key_title, keys), "true pixels"], rows)


def _images(results: Results, pictures: Pictures | None) -> list[ET.Element]:
    parts: list[ET.Element] = []
    main = main_key(results)
    if main is not None:
        names = [row.name for row in results.scored]
        scores = image_scores(results, main)
        order = [int(i) for i in np.argsort(scores, kind="stable") if not math.isnan(scores[i])]
        if not split_key(main)[0].higher_is_better:
            order.reverse()
        n = min(SHOWN, len(order) // 2)
        if pictures is not None and n:
            for title, chosen in (("Worst", order[:n]), ("Best", order[::-1][:n])):
                ranked = [(names[i], float(scores[i])) for i in chosen]
                cards = [card(name, value, main, pictures) for name, value in ranked]
                parts.append(e("h3", f"{title} by {key_title(main)}"))
                parts.append(e("div", *cards, class_="cards"))
    if results.images:
        parts += [
            e("h3", "All images"),
            e("p", "Press a heading to sort; images.csv has every metric.", class_="soft hint"),
            _image_table(results, main),
        ]
    return parts


def _image_table(results: Results, main: str | None) -> ET.Element:
    """All images; the metrics are those of the main one's protocol."""
    scored = {name for row in results.scored for name in (*row.values, *row.sums)}
    keys = [] if main is None else [main]
    for protocol, values in by_protocol(results.summary):
        if main is not None and protocol == split_key(main)[0].protocol:
            keys += [value.key for value in values if value.key in scored and value.unit == "%"]
    keys = list(dict.fromkeys(keys))[:IMAGE_COLUMNS]
    names = [row.name for row in results.scored]
    columns = [dict(zip(names, image_scores(results, key), strict=True)) for key in keys]
    rows = []
    for row in results.images:
        name = _text_cell(row.name)
        if row.error is not None:
            name.append(e("div", plain(row.error), class_="error"))
        cells = [_value_cell(float(column.get(row.name, math.nan)), "%") for column in columns]
        n_segments = math.nan if row.n_segments is None else float(row.n_segments)
        seconds = math.nan if row.seconds is None else row.seconds
        cells.append(_number_cell(n_segments, quantity(n_segments, "count")))
        rows.append(e("tr", name, *cells, _value_cell(seconds, "s")))
    return _sortable(["image", *map(key_title, keys), "segments", "seconds"], rows)


def _confusions(results: Results) -> list[ET.Element]:
    if not results.confusions:
        return []
    note = (
        "Percent of a class's true pixels that were called so: the classes and labels with most "
        "pixels. A frame marks the label that is the class's name."
    )
    return [e("p", note, class_="soft"), e("div", confusion_table(results), class_="scroll")]


def _curves(results: Results) -> list[ET.Element]:
    parts = []
    for name, curve in results.curves.items():
        if name.startswith("LAC"):
            over = f"relations accepted: {', '.join(LADDER_NAMES)}"
        else:
            over = "IoU threshold"
        caption = e("figcaption", f"Percent over {over}.")
        parts.append(e("figure", e("h3", plain(name)), caption, line_chart(curve, plain(name))))
    return parts


def _settings(results: Results, command: str | None) -> list[ET.Element]:
    facts = {
        "seed": results.seed,
        "device": results.device or "unknown",
        "seconds": round(results.seconds, 1),
        "versions": results.versions,
        "source": results.source.kind,
        "stage": results.source.stage,
    }
    if results.source.folder:
        facts["folder"] = results.source.folder
    parts = [e("pre", command)] if command else []
    parts.append(e("pre", _json(facts)))
    if results.source.recipe:
        recipe = e("pre", _json(results.source.recipe))
        parts.append(e("details", e("summary", "Recipe"), recipe))
    return parts


def _json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, default=str)


def _sortable(columns: Sequence[str], rows: Sequence[ET.Element]) -> ET.Element:
    """A table whose first column is text, the others numbers; report.js sorts by data-value."""
    heads = [
        e("th", e("button", column, type="button"), class_="n" if i else "name", scope="col")
        for i, column in enumerate(columns)
    ]
    table = e("table", e("thead", e("tr", *heads)), e("tbody", *rows))
    return e("div", table, class_="scroll tall")


def _text_cell(text: str) -> ET.Element:
    return e("td", plain(text), class_="name", data_value=plain(text))


def _value_cell(value: float, of: Metric | str) -> ET.Element:
    return _number_cell(value, number(value, of))


def _number_cell(value: float, text: str) -> ET.Element:
    return e("td", text, class_="n", data_value="" if math.isnan(value) else f"{value:.6g}")
