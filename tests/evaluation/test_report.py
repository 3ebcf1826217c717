"""Reports: every number, class and image is in them, and nothing of it can act in a page."""

import csv
import io
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from zeroguide.evaluate.reports import report
from zeroguide.evaluate.reports.charts import interval_bar, line_chart
from zeroguide.evaluate.reports.views import image_scores, main_key, score
from zeroguide.evaluate.reports.wording import interval, key_title, number, quantity
from zeroguide.evaluate.scoring.results import (
    METRICS,
    PROTOCOLS,
    ClassRow,
    Curve,
    ImageRow,
    Results,
    Sums,
    make_value,
    split_key,
)

from .made_by_hand import IOU, NASTY, image, results, value

VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """What a browser would see: elements with attributes, and the text in each kind of element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def of(self, *tags: str) -> list[str]:
        return [text for tag, text in self.texts if tag in tags]

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def pictures(name: str) -> tuple[PIL.Image.Image, PIL.Image.Image]:
    shade = 40 if name == "a" else 200
    return PIL.Image.new("RGBA", (900, 300), (shade,) * 4), PIL.Image.new("L", (90, 30), shade)


def page(made: Results, **options: object) -> Page:
    return Page(report.page(made, **options))  # type: ignore[arg-type]


def test_tables_hold_one_protocol_each():
    tables = report.table_rows(results())
    assert [table.title for table in tables] == [
        "Open vocabulary, text to text",
        "Semantic, summed over the data set",
        "Cost and shape of the results",
    ]
    columns, rows = tables[0].columns, tables[0].rows
    assert columns == ("metric", "variant", "value", "95 % interval", "images")
    assert rows == [("IoU_TT", "union, all names", "50.0 %", "[49.0, 51.0]", "3")]
    assert tables[2].rows[0][2] == "0.25 s"


def test_every_number_is_in_the_csv():
    made = results(summary=[value(IOU, 50.0), value("ap", math.nan)])
    rows = list(csv.DictReader(io.StringIO(report.summary_csv(made))))
    assert [row["metric"] for row in rows] == ["iou_tt", "ap"]
    assert rows[0]["variant"] == "union, all names"
    assert (float(rows[0]["value"]), float(rows[0]["low"]), rows[0]["unit"]) == (50, 49, "%")
    assert rows[1]["value"] == ""


def test_classes_and_images_in_csv():
    made = results()
    classes = list(csv.DictReader(io.StringIO(report.classes_csv(made))))
    assert [row["class"] for row in classes] == [NASTY, "dog"]
    assert [row["miou/TT"] for row in classes] == ["25.0", ""]
    images = list(csv.DictReader(io.StringIO(report.images_csv(made))))
    assert [row["image"] for row in images] == ["a", "b", "c & d"]
    assert float(images[0]["miou/TT"]) == 62.5  # of image a alone: the mean of 1/2 and 3/4
    assert images[2]["error"] == "ImageError: <b>damaged</b>"
    assert images[2][IOU] == ""


def test_markdown_names_the_protocol_and_escapes_cells():
    text = report.markdown(results(sentence_encoder="a|b`c"))
    assert "**Open vocabulary, text to text.**" in text
    assert "rejected below 0.5" in text
    assert "Sentence encoder: a\\|b\\`c." in text
    assert "1 could not be scored" in text
    cells = report.markdown_table(["x", "y"], [["a|b\nc", NASTY]])
    assert cells.splitlines()[2] == '| a\\|b c | &lt;script>alert("1")&lt;/script> |'


def test_page_has_every_class_image_and_metric():
    made = results()
    seen = page(made)
    cells = seen.of("td")
    assert {row.name for row in made.classes} <= set(cells)
    assert {row.name for row in made.images} <= set(cells)
    assert "ImageError: <b>damaged</b>" in seen.of("div")
    for each in made.summary:
        metric = METRICS[each.metric]
        assert metric.title in cells
        assert any(metric.description in text for text in seen.of("small"))
    assert {"union, all names", "50.0 %", "[49.0, 51.0]"} <= set(cells)
    anchors = {attributes["href"] for attributes in seen.attributes("a")}
    assert anchors == {f"#{each['id']}" for each in seen.attributes("section")}
    assert len(anchors) == 6


def test_texts_cannot_act():
    source = results().source
    made = results(
        [
            ImageRow(NASTY + "\x1b[2J", error=NASTY),
            image('"><img src=x onerror=alert(1)>', {IOU: 1.0}),
        ],
        sentence_encoder=NASTY,
        versions={NASTY: "</pre><script>"},
        source=type(source)("predictions", "full", None, NASTY),
        curves={NASTY: Curve((0.0, 1.0), (0.0, 1.0))},
    )
    text = report.page(made, command=NASTY, pictures=pictures)
    seen = Page(text)
    assert len(seen.attributes("script")) == 1  # the one that sorts
    assert not seen.attributes("img") and not seen.attributes("b")
    assert not any(name.startswith("on") for _, attributes in seen.tags for name in attributes)
    assert "\x1b" not in text
    assert NASTY in "".join(seen.of("h1"))
    assert NASTY in seen.of("pre")


def test_page_requests_nothing():
    seen = page(results(), pictures=pictures)
    for _, attributes in seen.tags:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            target = attributes.get(name) or "#"
            assert target.startswith(("#", "data:"))
    style, script = seen.of("style"), seen.of("script")
    assert not re.search(r"url\(|@import|https?:|//[a-z]", "".join(style))
    assert not re.search(r"fetch|XMLHttp|import\(|https?:", "".join(script))
    policy = [a["content"] for a in seen.attributes("meta") if "http-equiv" in a]
    assert policy and "default-src 'none'" in str(policy[0])


def test_worst_and_best_images_have_pictures():
    made = results([image(f"i{n}", {IOU: float(n)}) for n in range(20)])
    asked = []

    def draw(name: str) -> tuple[PIL.Image.Image, PIL.Image.Image] | None:
        asked.append(name)
        return None if name == "i19" else pictures(name)

    seen = page(made, pictures=draw)
    worst, best = [f"i{n}" for n in range(6)], [f"i{n}" for n in range(19, 13, -1)]
    assert asked == worst + best
    assert len(seen.attributes("img")) == 2 * 11
    assert seen.attributes("img")[0]["alt"] == "result of i0"
    assert "i0: 0.0 %" in seen.of("figcaption")
    assert "Its pictures can't be drawn." in seen.of("p")
    assert not page(made).attributes("img")


def test_worst_is_where_a_metric_is_highest_if_lower_is_better():
    rows = [
        ImageRow(f"i{n}", sums={"mcmr50/TT": Sums((0,), (float(n),), (4.0,))}) for n in range(5)
    ]
    seen = page(results(rows, [value("mcmr50/TT", 50.0)], curves={}), pictures=pictures)
    assert seen.of("figcaption") == ["i4: 100.0 %", "i3: 75.0 %", "i0: 0.0 %", "i1: 25.0 %"]


def test_confusions_are_shares_of_the_class():
    seen = page(results())
    cells = [a for a in seen.attributes("td") if "--share" in (a.get("style") or "")]
    assert [cell["style"] for cell in cells] == ["--share:0.60", "--share:0.10"]
    assert [cell["class"] for cell in cells] == ["same dark", ""]


def test_an_empty_run_still_has_a_page():
    made = results([], [], classes=(), confusions=(), curves={})
    assert len(page(made).attributes("section")) == 1
    assert report.table_rows(made) == []


def test_writes_all_files(tmp_path: Path):
    report.write(results(), tmp_path, pictures=pictures, command="zeroguide eval")
    names = {"results.csv", "classes.csv", "images.csv", "results.md", "report.html"}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("number_", "unit", "expected"),
    [
        (20.06, "%", "20.1 %"),
        (-0.04, "%", "0.0 %"),
        (0.289, "s", "0.29 s"),
        (812.4, "MiB", "812 MiB"),
        (93.0, "count", "93"),
        (93, "count", "93"),
        (7.64, "count", "7.6"),
        (math.nan, "%", "–"),
    ],
)
def test_quantities(number_, unit, expected):
    assert quantity(number_, unit) == expected


@pytest.mark.parametrize("name", ["clip_score", "ref_clip_score"])
def test_clip_scores_have_the_digits_they_need(name):
    """2.5 times a cosine: methods differ by hundredths."""
    metric = METRICS[name]
    assert quantity(0.73251, metric) == number(0.73251, metric) == "0.733"
    assert quantity(-0.0041, metric) == "-0.004" and quantity(1.0, metric) == "1.000"
    assert quantity(math.nan, metric) == "–"
    assert interval(0.70049, 0.7606, metric) == "[0.700, 0.761]"
    made = results([image("a", {name: 0.7326})], [make_value(name, 0.7326, 0.7, 0.8, 1)])
    assert report.table_rows(made)[0].rows[0][2:4] == ("0.733", "[0.700, 0.800]")
    cells = page(made).of("td")
    assert "0.733" in cells and "[0.700, 0.800]" in cells
    assert "0.733 | [0.700, 0.800]" in report.markdown(made)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [("segments", "7.6"), ("distinct_labels", "8"), ("miou", "7.6 %"), ("seconds", "7.64 s")],
)
def test_quantities_of_metrics(metric, expected):
    assert quantity(8.0 if expected == "8" else 7.64, METRICS[metric]) == expected


TEXT_KEYS = (IOU, "miou/TT", "pq/TT", "name_top1")
OTHER_KEYS = ("lac_miou/exact", "cluster_miou/many-to-one", "best_overlap", "seconds")


def test_captions_name_the_sentence_encoder_where_it_matters():
    keys = [*TEXT_KEYS, *OTHER_KEYS]
    made = results([image("a")], [value(key, 1.0) for key in keys], sentence_encoder="mpnet")
    said = {split_key(key)[0].protocol for key in TEXT_KEYS}
    titles = {PROTOCOLS[name].title for name in said}
    abouts = {table.title: table.about for table in report.table_rows(made)}
    assert len(abouts) == len(keys)
    expected = {title: "Sentence encoder: mpnet." * (title in titles) for title in abouts}
    assert abouts == expected
    for block in report.markdown(made).split("\n**")[1:]:
        assert ("Sentence encoder: mpnet." in block) == (block.split(".**")[0] in titles)
    heads = re.findall(r"<h3>(.*?)</h3><p.*?>(.*?)</p>", report.page(made))
    captions = [(title, text) for title, text in heads if title in abouts]
    assert len(captions) == len(keys)
    assert {title for title, text in captions if "Sentence encoder: mpnet." in text} == titles
    without = results([image("a")], [value("miou/ST", 1.0)])  # of CLIP alone
    assert report.table_rows(without)[0].about == ""


def test_class_tables_name_the_sentence_encoder():
    values = {"miou/TT": 1.0, "lac_miou/exact": 1.0}
    made = results(classes=(ClassRow("dog", 1, values),), sentence_encoder="mpnet")
    details = re.findall("<details.*?</details>", report.page(made), re.S)
    assert ["Sentence encoder: mpnet." in text for text in details[:2]] == [False, True]


def test_intervals_in_words():
    assert interval(-1.24, 2.0, "%") == "[-1.2, 2.0]"
    assert interval(math.nan, 2.0, "%") == number(math.nan, "%")


def test_score_is_that_of_the_summed_table():
    top, bottom = np.array([[1.0, 0, 3], [1, 0, 0]]), np.array([[2.0, 0, 4], [1, 0, 0]])
    assert score(top, bottom) == pytest.approx((2 / 3 + 3 / 4) / 2)
    assert math.isnan(score(top[:, 1:2], bottom[:, 1:2]))
    assert image_scores(results(), "miou/TT").tolist() == [62.5, 100.0]


def test_main_metric_is_one_that_images_have():
    assert main_key(results()) == IOU
    assert main_key(results([image("a")], [value(IOU, 1.0)])) is None
    made = results([image("a", {"best_overlap": 3.0})], [value("best_overlap", 3.0), value(IOU, 1)])
    assert main_key(made) == "best_overlap"


def test_bar_and_chart_are_to_scale():
    lines = interval_bar(50.0, 40.0, 60.0).findall("line")
    assert [line.get("x1") for line in lines] == ["2", "42.0", "52.0"]
    assert len(interval_bar(50.0, math.nan, math.nan).findall("line")) == 2
    chart = line_chart(Curve((0.0, 0.5, 1.0), (0.0, math.nan, 80.0)), "title")
    polyline = chart.find("polyline")
    assert polyline is not None
    # NaN is left out; the axis ends at 100, so 80 is at 12 + 0.2 * (300 - 12 - 34)
    assert polyline.get("points") == "44.0,266.0 548.0,62.8"


def test_no_table_of_the_page_mixes_protocols():
    keys = [IOU, "ar_tt/all names", "iou_st/union, all names", "image_miou/released code"]
    made = results(
        [image("a", dict.fromkeys(keys, 1.0))],
        [value(key, 1.0) for key in keys],
        classes=(ClassRow("dog", 1, dict.fromkeys(keys[1:], 1.0)),),
    )
    text = report.page(made)
    for table in re.findall("<table.*?</table>", text, re.S):
        headings = Page(table).of("button")
        known = {key_title(key): split_key(key)[0].protocol for key in keys}
        assert len({known[each] for each in headings if each in known}) <= 1
    assert text.count("Unsupervised, one matching per image") == 2  # its numbers, its classes
