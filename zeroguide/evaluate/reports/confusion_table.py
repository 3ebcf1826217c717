"""Which names a class was given, as a table shaded by share: the report's heat map."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter

from zeroguide.evaluate.reports.charts import element as e
from zeroguide.evaluate.scoring.results import Results
from zeroguide.system.console import plain

SHOWN = 20


def confusion_table(results: Results) -> ET.Element:
    """Classes x labels, at most `SHOWN` of each, those with most pixels first.

    A cell is the share of all true pixels of the class; pairs that results.json doesn't list, being
    rare, are empty.
    """
    pixels: Counter[tuple[str, str]] = Counter()
    of_class: Counter[str] = Counter()
    of_label: Counter[str] = Counter()
    for each in results.confusions:
        pixels[each.true, each.label] += each.pixels
        of_class[each.true] += each.pixels
    classes = [name for name, _ in of_class.most_common(SHOWN)]
    for (true, label), count in pixels.items():
        if true in classes:
            of_label[label] += count
    labels = [name for name, _ in of_label.most_common(SHOWN)]
    # A class's own label below it, as far as it is there: right answers lie on the diagonal.
    labels.sort(key=lambda label: classes.index(label) if label in classes else SHOWN)
    totals = {row.name: row.pixels for row in results.classes}
    head = [e("th"), *(e("th", e("span", plain(label)), scope="col") for label in labels)]
    rows = []
    for name in classes:
        total = max(totals.get(name, 0), of_class[name])
        cells = [_cell(pixels[name, label] / max(total, 1), name == label) for label in labels]
        rows.append(e("tr", e("th", plain(name), scope="row"), *cells))
    return e("table", e("thead", e("tr", *head)), e("tbody", *rows), class_="heat")


def _cell(share: float, same: bool) -> ET.Element:
    classes = " ".join(["same"] * same + ["dark"] * (share > 0.55))
    text = "" if share == 0 else "<1" if share < 0.005 else f"{100 * share:.0f}"
    return e("td", text, class_=classes, style=f"--share:{share:.2f}")
