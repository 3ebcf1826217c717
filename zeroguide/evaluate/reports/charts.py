"""Small drawings for the HTML report: SVG elements, coloured by the page's CSS.

Built with ElementTree, which escapes every text and attribute.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET

from zeroguide.evaluate.scoring.results import Curve

WIDTH, HEIGHT = 560, 300
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 12, 34
FEW = 6


def element(tag: str, *children: ET.Element | str, **attributes: object) -> ET.Element:
    """An element with texts and elements in it; ``class_`` is class, ``data_value`` data-value."""
    names = {name: name.rstrip("_").replace("_", "-") for name in attributes}
    result = ET.Element(tag, {names[name]: str(value) for name, value in attributes.items()})
    for child in children:
        if isinstance(child, ET.Element):
            result.append(child)
        elif len(result):
            result[-1].tail = (result[-1].tail or "") + child
        else:
            result.text = (result.text or "") + child
    return result


def interval_bar(value: float, low: float, high: float) -> ET.Element:
    """A percentage 0..100 as a mark with its interval on a track; NaN ends: no interval."""
    parts = [element("line", x1=2, x2=102, y1=7, y2=7, class_="track")]
    if not math.isnan(low) and not math.isnan(high):
        ends = [2 + min(max(end, 0.0), 100.0) for end in (low, high)]
        parts.append(
            element("line", x1=f"{ends[0]:.1f}", x2=f"{ends[1]:.1f}", y1=7, y2=7, class_="interval")
        )
    if not math.isnan(value):
        at = 2 + min(max(value, 0.0), 100.0)
        parts.append(element("line", x1=f"{at:.1f}", x2=f"{at:.1f}", y1=1, y2=13, class_="point"))
    return element("svg", *parts, viewBox="0 0 104 14", class_="bar", aria_hidden="true")


def line_chart(curve: Curve, title: str) -> ET.Element:
    """A curve, y from 0 up; a few points are marked, and are the axis's ticks. NaN is left out."""
    points = [(x, y) for x, y in zip(curve.x, curve.y, strict=True) if not math.isnan(x + y)]
    x0, x1 = min((x for x, _ in points), default=0.0), max((x for x, _ in points), default=1.0)
    y1 = _round_up(max((y for _, y in points), default=0.0))
    x1 = x1 if x1 > x0 else x0 + 1

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (x - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT)
        return across, HEIGHT - BOTTOM - y / y1 * (HEIGHT - TOP - BOTTOM)

    few = len(points) <= FEW
    parts = [element("title", title)]
    for tick in range(5):
        y = y1 * tick / 4
        up = place(x0, y)[1]
        ends = {"x1": LEFT, "x2": WIDTH - RIGHT, "y1": f"{up:.1f}", "y2": f"{up:.1f}"}
        parts += [
            element("line", class_="grid", **ends),
            element("text", f"{y:g}", x=LEFT - 6, y=f"{up + 4:.1f}", text_anchor="end"),
        ]
    for x in [x for x, _ in points] if few else [x0 + (x1 - x0) * tick / 4 for tick in range(5)]:
        across = f"{place(x, 0)[0]:.1f}"
        parts.append(element("text", f"{x:.3g}", x=across, y=HEIGHT - 12, text_anchor="middle"))
    places = [place(*point) for point in points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts.append(element("polyline", points=line, class_="curve"))
    if few:
        parts += [element("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=4) for x, y in places]
    return element("svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", class_="chart", role="img")


def _round_up(top: float) -> float:
    """The end of an axis that starts at 0: 1, 2, 4, 5 or 10 times a power of ten."""
    if top <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(top))
    return next(step * power for step in (1, 2, 4, 5, 10) if step * power >= top * (1 - 1e-9))
