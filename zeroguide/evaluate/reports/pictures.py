"""Result and truth of one image side by side, as data in the page."""

from __future__ import annotations

import base64
import io
import xml.etree.ElementTree as ET
from collections.abc import Callable

import PIL.Image

from zeroguide.evaluate.reports.charts import element as e
from zeroguide.evaluate.reports.wording import quantity
from zeroguide.evaluate.scoring.results import split_key
from zeroguide.system.console import plain

Pictures = Callable[[str], tuple[PIL.Image.Image, PIL.Image.Image] | None]
"""The name of an image -> its overlay and its truth drawn alike; None if they can't be had."""

SIDE = 480  # pixels of a picture's longer side


def card(name: str, value: float, main: str, pictures: Pictures) -> ET.Element:
    """One image as a figure, its result and its truth side by side.

    Args:
        name: of the image.
        value: its score in the unit of the metric with the key `main`.
    """
    caption = e("figcaption", f"{plain(name)}: {quantity(value, split_key(main)[0].unit)}")
    pair = pictures(name)
    if pair is None:
        return e("figure", caption, e("p", "Its pictures can't be drawn.", class_="error"))
    halves = [
        e("div", e("img", src=_data_uri(picture), alt=f"{what} of {plain(name)}"), e("small", what))
        for what, picture in zip(("result", "truth"), pair, strict=True)
    ]
    return e("figure", caption, e("div", *halves, class_="pair"))


def _data_uri(picture: PIL.Image.Image) -> str:
    """A picture as JPEG, no larger than the report shows it."""
    small = picture.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    data = io.BytesIO()
    small.save(data, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()
