"""A labelled picture as a page and as a card, to be passed on."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from zeroguide.errors import ZeroguideError
from zeroguide.image import from_array
from zeroguide.result import Label, Labeling
from zeroguide.result.html_page import to_page
from zeroguide.result.overlay.card import SIDE, card

EVIL = '</script><img src=x onerror=alert(1)> "{{SRC}}" & {x}'


class Tags(HTMLParser):
    """All tags of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data


def make(shape: tuple[int, int], n: int = 2, file_name: str = "photo.jpg", **recipe) -> Labeling:
    """Stripes: the first is called EVIL, the others by number."""
    label_map = np.arange(shape[1]) * n // shape[1] * np.ones((shape[0], 1), np.int32)
    labels = [
        Label(EVIL if i == 0 else f"thing {i}", 0.5, 0.25 + i / 1000, [("or this", 0.1)], [i + 1])
        for i in range(n)
    ]
    image = from_array(np.full((*shape, 3), 99, np.uint8), file_name)
    labeling = Labeling.build(
        image, label_map.astype(np.int32), labels, {"name": "photo", **recipe}
    )
    return labeling.with_image(image.pixels)


def test_a_page_says_everything_and_needs_nothing() -> None:
    labeling = make((40, 61), file_name="<i>.jpg", edits={"named_by_hand": [2]})
    page = to_page(labeling, labeling.pixels)
    found = Tags(page)
    names = {tag for tag, _ in found.tags}
    assert not names & {"link", "iframe", "object", "base", "form", "a"}
    (picture,) = [own for tag, own in found.tags if tag == "img"]
    head, content = str(picture["src"]).split(",")
    assert head == "data:image/jpeg;base64" and picture["alt"] == "<i>.jpg"
    with PIL.Image.open(io.BytesIO(base64.b64decode(content))) as image:
        assert image.size == (61, 40)
    assert not re.search(r"https?://|@import|url\(", page)
    shapes = [own for tag, own in found.tags if tag == "path"]
    rows = [own for tag, own in found.tags if tag == "button"]
    assert [s["data-id"] for s in shapes] == [r["data-id"] for r in rows] == ["1", "2"]
    assert all(s["d"] and s["tabindex"] == "0" and s["role"] == "button" for s in shapes)
    evil = next(s for s in labeling.segments if s.label == EVIL)
    share = "51 %" if evil.area > labeling.label_map.size / 2 else "49 %"
    assert shapes[evil.id - 1]["aria-label"] == (
        f"{EVIL}, {'named by hand' if evil.id == 2 else '25 % sure'}, {share} of the picture, "
        "or or this"
    )
    assert "named by hand" in found.text and EVIL in found.text
    assert "zeroguide" in found.text and "recipe photo" in found.text
    assert not [own for _, own in found.tags if any(name.startswith("on") for name in own)]


def test_the_outlines_are_in_the_pictures_proportions() -> None:
    labeling = make((2000, 3000))
    page = to_page(labeling, labeling.pixels)
    assert 'viewBox="0 0 640 427"' in page
    assert len(page) < 400_000


def test_a_page_is_saved_whole(tmp_path: Path) -> None:
    labeling = make((30, 40))
    labeling.save(tmp_path / "x.html")
    assert (tmp_path / "x.html").read_text("utf-8") == to_page(labeling, labeling.pixels)
    with pytest.raises(ZeroguideError, match="isn't known"):
        Labeling.from_dict(labeling.to_dict()).save(tmp_path / "y.html")
    assert [p.name for p in tmp_path.iterdir()] == ["x.html"]


@pytest.mark.parametrize("n", [1, 3, 30])
def test_a_card_is_the_picture_with_a_legend_and_a_line(n: int) -> None:
    labeling = make((300, 700), n)
    shown = card(labeling, labeling.pixels)
    assert shown.mode == "RGB" and shown.width >= 700 and shown.height > 300
    below = np.asarray(shown)[-20:]
    assert below.min() < 150 and below.max() == 255  # ink on paper


def test_a_card_of_a_large_picture_can_be_sent() -> None:
    labeling = make((1500, 3000))
    assert max(card(labeling, labeling.pixels).size) < 1.5 * SIDE
