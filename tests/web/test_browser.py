"""The page in a real headless Chromium: what a person sees and does."""

from __future__ import annotations

import base64
import io
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from zeroguide.result import Labeling
from zeroguide.web.examples import SCENES

from .conftest import Running

pytestmark = pytest.mark.slow

SECONDS = 60_000  # milliseconds; a shared machine may be slow
# What `label` says of the scene, by part of the picture; the models come with the package.
TENT = {"tent", "frog", "night sky", "brick wall", "wooden floor"}


class Page:
    """One tab. `outside` are requests to other machines, `errors` what went wrong in the page."""

    def __init__(self, tab: Any, url: str) -> None:
        self.tab = tab
        self.outside: list[str] = []
        self.errors: list[str] = []
        local = (url, "data:", "blob:")
        tab.set_default_timeout(SECONDS)
        tab.on("request", lambda r: r.url.startswith(local) or self.outside.append(r.url))
        tab.on("pageerror", lambda e: self.errors.append(str(e)))
        tab.goto(url)
        tab.wait_for_selector(".zg-examples button")

    def take_example(self, number: int = 3) -> None:
        self.tab.click(f".zg-examples button >> nth={number}")
        self.tab.wait_for_selector(".zg-row")

    def labels(self) -> list[str]:
        return self.tab.locator(".zg-row .zg-label").all_inner_texts()

    def segments(self) -> int:
        return self.tab.locator(".zg-segment").count()

    def wait_until(self, condition: Any) -> None:
        deadline = time.monotonic() + SECONDS / 1000
        while not condition():
            assert time.monotonic() < deadline, "it did not happen"
            self.tab.wait_for_timeout(50)

    def point_at(self, number: int) -> None:
        """Move the mouse to the middle of a segment."""
        segment = self.tab.locator(f".zg-segment[data-number='{number}']")
        segment.scroll_into_view_if_needed()
        self.tab.mouse.move(*self.middle(number))

    def middle(self, number: int) -> tuple[float, float]:
        """A point on the screen where the segment is what the mouse meets."""
        x, y = self.tab.evaluate(
            """number => {
                const path = document.querySelector(`.zg-segment[data-number='${number}']`);
                const box = path.getBoundingClientRect();
                for (let i = 1; i < 40; i++) for (let j = 1; j < 40; j++) {
                    const [x, y] = [box.left + box.width * i / 40, box.top + box.height * j / 40];
                    if (document.elementFromPoint(x, y) === path) return [x, y];
                }
                return [-1, -1];
            }""",
            number,
        )
        assert x >= 0, "the segment can't be seen"
        return x, y

    def slide(self, value: float) -> None:
        self.tab.locator(".zg-threshold input").fill(str(value))


@pytest.fixture()
def page(browser: Any, running: Running) -> Iterator[Page]:
    """A new tab of a new visitor."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page = Page(context.new_page(), running.url)
    yield page
    context.close()
    assert page.outside == [] and page.errors == []


@pytest.fixture()
def labelled(page: Page) -> Page:
    page.take_example()
    return page


def test_a_photo_is_labelled(page: Page, running: Running) -> None:
    seen: list[str] = []
    page.tab.expose_function("saw", lambda step: seen.append(step))
    page.tab.evaluate(
        """() => new MutationObserver(() => {
            const step = document.querySelector(".zg-now");
            if (step) window.saw(step.textContent);
        }).observe(document.querySelector(".zg-work"), {childList: true, subtree: true})"""
    )
    page.tab.set_input_files(".zg-photo input[type=file]", SCENES / "tent.png")
    page.tab.wait_for_selector(".zg-row")
    assert set(page.labels()) == TENT
    assert page.segments() == len(page.labels())
    assert len(page.tab.locator(".zg-name").all()) >= 4  # names in the picture
    assert page.tab.locator(".zg-work").is_hidden()
    order = list(dict.fromkeys(seen))
    assert order[-4:] == [
        "Finding segments",
        "Looking at each segment",
        "Finding names",
        "Joining what is alike",
    ]
    assert [p for p in running.server.folder.rglob("*") if p.is_file()] == []
    # The next photo takes the first one's place.
    page.tab.set_input_files(".zg-photo input[type=file]", SCENES / "owl.png")
    page.tab.wait_for_selector(".zg-frame img[alt='owl.png']")
    assert "grass" in page.labels()


def test_hover_tells_label_confidence_and_alternatives(labelled: Page) -> None:
    tip = labelled.tab.locator(".zg-tip")
    assert tip.is_hidden()
    for number, label in enumerate(labelled.labels()):
        labelled.point_at(number)
        assert tip.is_visible()
        assert tip.locator("strong").inner_text() == label
        assert re.search(r"\d+ % sure · \d+ % of the picture", tip.inner_text())
        assert re.search(r"or \w+", tip.inner_text())
    labelled.tab.mouse.move(5, 5)
    assert tip.is_hidden()


def test_the_slider_merges_anew_without_networks(labelled: Page, running: Running) -> None:
    first, asked = labelled.labels(), len(running.asked)
    slider = labelled.tab.locator(".zg-threshold input")
    threshold = slider.input_value()
    labelled.slide(1)
    labelled.wait_until(lambda: labelled.segments() == 16)  # the recipe's over-segments
    assert "16 over-segments became 16" in labelled.tab.inner_text(".zg-note")
    labelled.slide(float(slider.get_attribute("min")))
    labelled.wait_until(lambda: labelled.segments() == 1)
    assert "estimated from its parts" in labelled.tab.inner_text(".zg-row")
    labelled.slide(float(threshold))
    labelled.wait_until(lambda: labelled.labels() == first)
    assert len(running.asked) == asked


def test_a_name_by_hand_stays_text_and_can_be_undone(labelled: Page) -> None:
    first = labelled.labels()
    labelled.tab.mouse.click(*labelled.middle(1))
    field = labelled.tab.locator(".zg-edit input")
    assert field.input_value() == first[1]
    evil = '<img src=x onerror="window.evil=1"> ${1+1} {{x}} `'
    field.fill(evil)
    field.press("Enter")
    labelled.wait_until(lambda: labelled.labels()[1] == evil)
    labelled.point_at(1)
    assert labelled.tab.locator(".zg-tip strong").inner_text() == evil
    assert labelled.tab.evaluate("window.evil") is None
    assert "named by hand" in labelled.tab.inner_text(".zg-row >> nth=1")
    labelled.slide(1)
    labelled.wait_until(lambda: labelled.segments() > 5)
    assert evil in labelled.labels()
    labelled.tab.click(".zg-undo")
    labelled.wait_until(lambda: evil not in labelled.labels())
    assert labelled.tab.locator(".zg-undo").is_disabled()


def test_an_alternative_is_one_click(labelled: Page) -> None:
    labelled.tab.click(".zg-row >> nth=0")
    chip = labelled.tab.locator(".zg-chips button").first
    name = chip.inner_text()
    chip.click()
    labelled.wait_until(lambda: labelled.labels()[0] == name)


def test_two_segments_become_one_and_are_named_again(labelled: Page, running: Running) -> None:
    first, asked = labelled.labels(), len(running.asked)
    labelled.tab.mouse.click(*labelled.middle(0))
    labelled.tab.click("text=Join with…")
    labelled.tab.mouse.click(*labelled.middle(1))
    labelled.wait_until(lambda: labelled.segments() == len(first) - 1)
    assert len(running.asked) == asked
    remark = labelled.tab.locator(".zg-row .zg-remark").first
    assert remark.inner_text() == "joined by hand, estimated from its parts"
    labelled.tab.click("text=Name again")
    labelled.wait_until(lambda: "estimated" not in remark.inner_text())
    assert remark.inner_text() == "named by the networks, stays as it is at every threshold"
    assert len(running.asked) == asked + 1
    labelled.tab.click(".zg-undo")
    labelled.tab.click(".zg-undo")
    labelled.wait_until(lambda: labelled.labels() == first)


def test_the_stages_are_shown(labelled: Page) -> None:
    merged = labelled.segments()
    labelled.tab.check("input[value=over]", force=True)
    assert labelled.segments() == 16 > merged
    labelled.point_at(3)
    assert labelled.tab.locator(".zg-tip").is_visible()
    labelled.tab.check("input[value=graph]", force=True)
    assert labelled.tab.locator(".zg-graph circle").count() == 16
    joins = labelled.tab.locator(".zg-joins").count()
    assert joins > 0
    names = labelled.tab.locator(".zg-node")
    assert {"frog", "wooden floor"} <= set(names.all_inner_texts())
    boxes = [name.bounding_box() for name in names.all()]
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            apart_x = a["x"] + a["width"] <= b["x"] or b["x"] + b["width"] <= a["x"]
            apart_y = a["y"] + a["height"] <= b["y"] or b["y"] + b["height"] <= a["y"]
            assert apart_x or apart_y
    labelled.slide(1)  # hardly anything is alike enough now
    labelled.wait_until(lambda: labelled.tab.locator(".zg-joins").count() < joins)
    labelled.tab.check("input[value=merged]", force=True)
    assert labelled.tab.locator(".zg-graph").count() == 0
    assert labelled.segments() == 16


def test_over_segments_are_looked_at_but_changed_in_the_result(labelled: Page) -> None:
    tab = labelled.tab
    first = labelled.labels()
    tab.click(f".zg-row >> nth={first.index('tent')}")
    tab.click("text=Join with…")
    for name in ("over", "graph"):
        tab.check(f"input[value={name}]", force=True)
        assert tab.inner_text(".zg-head h2") == "16 over-segments"
        assert tab.locator(".zg-row").count() == labelled.segments() == 16
        assert tab.locator(".zg-edit input").count() == tab.locator(".zg-undo:visible").count() == 0
        assert "Names and joins are made in the result." in tab.inner_text(".zg-edit")
        names = labelled.labels()
        number = names.index("egg")
        tab.mouse.click(*labelled.middle(number))
        assert tab.inner_text(".zg-about strong") == "egg"
        assert "sure" in tab.inner_text(".zg-about")
        said = tab.inner_text(".zg-edit .zg-hint")
        assert f"Over-segment {number + 1} can be changed in the result only." in said
        assert "part of “tent”" in said
        assert tab.locator(".zg-row[aria-pressed=true]").count() == 1
        tab.keyboard.press("Escape")
        assert tab.locator(".zg-about").count() == 0
    assert tab.locator(".zg-threshold input").is_enabled()
    tab.check("input[value=over]", force=True)
    assert tab.locator(".zg-threshold input").is_disabled()  # it would change nothing there
    tab.click(f".zg-row >> nth={number}")
    tab.click("text=Edit in the result")
    assert tab.locator(".zg-edit input").input_value() == "tent"
    assert tab.locator("input[value=merged]").is_checked() and labelled.labels() == first
    tab.mouse.click(*labelled.middle(first.index("frog")))  # nothing is being joined any more
    assert tab.locator(".zg-edit input").input_value() == "frog" and labelled.labels() == first


def test_the_graph_tells_apart_what_is_made_by_hand(labelled: Page) -> None:
    tab = labelled.tab
    first = labelled.labels()
    tab.check("input[value=graph]", force=True)
    assert tab.locator(".zg-by-hand").count() == 0 and "hand" not in tab.inner_text(".zg-note")
    alike = tab.locator(".zg-joins").count()
    tab.check("input[value=merged]", force=True)
    tab.click(f".zg-row >> nth={first.index('frog')}")
    tab.click("text=Join with…")
    tab.click(f".zg-row >> nth={first.index('wooden floor')}")
    labelled.wait_until(lambda: labelled.segments() == len(first) - 1)
    tab.fill(".zg-edit input", "frog on a floor")
    tab.click("text=Rename")
    labelled.wait_until(lambda: "frog on a floor" in labelled.labels())
    tab.click(f".zg-row >> nth={labelled.labels().index('night sky')}")
    tab.click(".zg-chips button >> nth=0")
    labelled.wait_until(lambda: "night sky" not in labelled.labels())
    tab.check("input[value=graph]", force=True)
    assert "Blue: joined or named by hand." in tab.inner_text(".zg-note")
    assert tab.locator(".zg-by-hand").count() > 1 and tab.locator(".zg-marked").count() == 2
    assert "frog on a floor" in tab.locator(".zg-node").all_inner_texts()
    assert tab.locator(".zg-joins").count() < alike  # the sky's parts are held together by hand
    for line in tab.locator(".zg-by-hand title").all():
        assert line.text_content().endswith(": by hand")


def test_many_joins_are_no_hairball(labelled: Page) -> None:
    tab = labelled.tab
    tab.check("input[value=graph]", force=True)
    labelled.slide(0.1)
    labelled.wait_until(lambda: tab.locator(".zg-joins").count() == 15)  # all 16 hang together
    assert tab.locator(".zg-also").count() > 30
    faint, strong = (
        tab.evaluate(
            """selector => {
                const style = getComputedStyle(document.querySelector(selector));
                return [Number(style.strokeOpacity), parseFloat(style.strokeWidth)];
            }""",
            selector,
        )
        for selector in (".zg-also", ".zg-joins")
    )
    assert faint[0] < 0.3 < strong[0] and faint[1] < strong[1]


def test_the_recipes_threshold_is_marked_and_found_again(labelled: Page) -> None:
    tab = labelled.tab
    first = labelled.labels()
    slider, reset = tab.locator(".zg-threshold input"), tab.locator(".zg-threshold .zg-reset")
    assert reset.is_disabled() and slider.input_value() == "0.75"
    track, mark = slider.bounding_box(), tab.locator(".zg-threshold .zg-mark").bounding_box()
    lowest = float(slider.get_attribute("min"))
    share = (mark["x"] + mark["width"] / 2 - track["x"] - 8) / (track["width"] - 16)  # its thumb
    assert abs(share - (0.75 - lowest) / (1 - lowest)) < 0.02
    labelled.slide(1)
    labelled.wait_until(lambda: labelled.segments() == 16)
    assert tab.locator(".zg-undo").inner_text() == "Undo name or join"
    assert tab.locator(".zg-undo").is_disabled()  # that is not the slider
    assert reset.inner_text() == "Back to 0.75"
    reset.click()
    labelled.wait_until(lambda: labelled.labels() == first)
    assert slider.input_value() == "0.75" and reset.is_disabled()


def test_a_fixed_number_of_segments_has_no_granularity(labelled: Page) -> None:
    assert labelled.tab.locator(".zg-threshold").is_visible()
    assert labelled.tab.locator(".zg-grain").is_hidden()
    assert labelled.tab.locator(".zg-certain").is_hidden()  # its decoder writes names


def test_screen_readers_are_told_in_words(page: Page) -> None:
    page.tab.evaluate(
        """() => {
            window.said = [];
            const note = () => document.querySelectorAll("[aria-live], [role=status]").forEach(
                (one) => window.said.push(one.textContent));
            new MutationObserver(note).observe(
                document.body, {subtree: true, childList: true, characterData: true});
        }"""
    )
    page.take_example()
    page.wait_until(lambda: "Done" in page.tab.evaluate("said"))
    assert not [words for words in page.tab.evaluate("said") if "common." in words]


def test_downloads_hold_what_is_seen(labelled: Page) -> None:
    labelled.tab.click(".zg-row >> nth=0")
    labelled.tab.fill(".zg-edit input", "mine")
    labelled.tab.click("text=Rename")
    labelled.wait_until(lambda: labelled.labels()[0] == "mine")
    files: dict[str, bytes] = {}
    for button in ("Picture", "JSON", "COCO"):
        with labelled.tab.expect_download() as download:
            labelled.tab.click(f".zg-downloads button:text-is('{button}')")
        files[download.value.suggested_filename] = Path(download.value.path()).read_bytes()
    assert set(files) == {"tent.labels.png", "tent.png.json", "tent.coco.json"}
    labeling = Labeling.from_dict(json.loads(files["tent.png.json"]))
    assert [s.label for s in labeling.segments] == labelled.labels()
    assert labeling.recipe["edits"]["named_by_hand"] == [1]
    coco = json.loads(files["tent.coco.json"])
    assert {c["name"] for c in coco["categories"]} == set(labelled.labels())
    with PIL.Image.open(io.BytesIO(files["tent.labels.png"])) as picture:
        assert picture.size[0] >= 640
        picture.verify()


def test_a_bad_file_is_a_sentence(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "<b>holiday.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\nnot at all")
    page.tab.set_input_files(".zg-photo input[type=file]", path)
    alert = page.tab.locator(".zg-alert")
    alert.wait_for()
    assert "holiday.png: is truncated or damaged" in alert.inner_text()
    assert "Traceback" not in page.tab.content()
    page.take_example()  # and all is well again
    assert alert.is_hidden() and set(page.labels()) == TENT


def test_a_bad_file_is_told_every_time(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "holiday.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\nnot at all")
    alert = page.tab.locator(".zg-alert")
    for _ in range(2):
        page.tab.set_input_files(".zg-photo input[type=file]", path)
        alert.wait_for()
        assert "holiday.png" in alert.inner_text()
        page.tab.evaluate("document.querySelector('.zg-alert').hidden = true")
    page.take_example()
    page.tab.set_input_files(".zg-photo input[type=file]", path)
    alert.wait_for()
    assert set(page.labels()) == TENT  # the last picture is still there
    page.slide(1)
    page.wait_until(lambda: page.segments() == 16)
    assert alert.is_hidden()


IS_NO_IMAGE = "is not an image in a supported format; convert it to JPEG, PNG, WebP or TIFF."
TOO_LARGE = (
    "has 30.0 MB, this page takes 20; save it smaller, or use the command `zeroguide label`."
)


@pytest.fixture()
def refused(tmp_path: Path) -> dict[str, tuple[Path, str]]:
    """Files that aren't even sent, and why."""
    script, huge, mail = tmp_path / "script.py", tmp_path / "huge.jpg", tmp_path / "<i>mail"
    script.write_text("print()")
    huge.write_bytes(b"\xff\xd8\xff" + bytes(29_999_990))
    mail.write_bytes(b"")
    return {
        "script": (script, f"script.py: {IS_NO_IMAGE}"),
        "huge": (huge, f"huge.jpg: {TOO_LARGE}"),
        "no type": (mail, f"<i>mail: {IS_NO_IMAGE}"),
    }


def check_refused(page: Page, sentence: str) -> None:
    """The sentence stands in the page's red box, nowhere else, and the zone is as it was."""
    alert = page.tab.locator(".zg-alert")
    page.wait_until(lambda: alert.is_visible() and alert.inner_text() == sentence)
    page.tab.wait_for_timeout(300)  # for what Gradio would show
    assert alert.inner_text() == sentence
    assert page.tab.locator(".zg-photo .error, .toast-body").count() == 0
    assert page.tab.locator("text=Drop File Here").is_visible()


@pytest.mark.parametrize("kind", ["script", "huge", "no type"])
def test_the_first_file_may_be_a_mistake(
    page: Page, refused: dict[str, tuple[Path, str]], kind: str
) -> None:
    path, sentence = refused[kind]
    page.tab.set_input_files(".zg-photo input[type=file]", path)
    check_refused(page, sentence)
    page.tab.set_input_files(".zg-photo input[type=file]", SCENES / "tent.png")
    page.tab.wait_for_selector(".zg-row")
    assert set(page.labels()) == TENT and page.tab.locator(".zg-alert").is_hidden()
    other, other_sentence = refused["huge" if kind == "script" else "script"]
    page.tab.set_input_files(".zg-photo input[type=file]", path)
    check_refused(page, sentence)
    page.tab.set_input_files(".zg-photo input[type=file]", other)
    check_refused(page, other_sentence)  # not the one before
    assert set(page.labels()) == TENT
    page.take_example(2)
    page.wait_until(lambda: set(page.labels()) not in (set(), TENT))
    assert page.tab.locator(".zg-alert").is_hidden()


def drop(page: Page, *files: tuple[str, str, bytes]) -> None:
    """Drag files (name, type, bytes) over the zone and let them go."""
    page.tab.evaluate(
        """async files => {
            const held = new DataTransfer();
            for (const [name, type, content] of files) {
                const bytes = Uint8Array.from(atob(content), c => c.charCodeAt(0));
                held.items.add(new File([bytes], name, {type}));
            }
            const zone = document.querySelector(".zg-photo [aria-dropeffect]");
            for (const type of ["dragenter", "dragover", "drop"]) {
                zone.dispatchEvent(new DragEvent(
                    type, {bubbles: true, cancelable: true, dataTransfer: held}));
                await new Promise(done => setTimeout(done, 100));
            }
        }""",
        [[name, kind, base64.b64encode(content).decode()] for name, kind, content in files],
    )


def test_what_is_dropped_is_checked_too(page: Page) -> None:
    before = page.tab.inner_text(".zg-photo")
    photo = ("tent.png", "image/png", (SCENES / "tent.png").read_bytes())
    drop(page, ("notes.csv", "text/csv", b"x"))
    check_refused(page, f"notes.csv: {IS_NO_IMAGE}")
    assert page.tab.inner_text(".zg-photo") == before  # it doesn't wait for the drop any more
    drop(page, photo, photo)
    check_refused(page, "2 files at once: take one picture, or one and its masks.")
    drop(page, photo)
    page.tab.wait_for_selector(".zg-row")
    assert set(page.labels()) == TENT and page.tab.locator(".zg-alert").is_hidden()


def test_two_visitors_do_not_meet(browser: Any, running: Running) -> None:
    tabs = [browser.new_context().new_page() for _ in range(2)]
    one, two = (Page(tab, running.url) for tab in tabs)
    one.tab.click(".zg-examples button >> nth=3")  # both at once
    two.tab.click(".zg-examples button >> nth=2")
    for each in (one, two):
        each.tab.wait_for_selector(".zg-row")
    before = two.labels()
    assert set(one.labels()) == TENT and set(before) != TENT
    one.tab.click(".zg-row >> nth=0")
    one.tab.fill(".zg-edit input", "mine")
    one.tab.click("text=Rename")
    one.wait_until(lambda: "mine" in one.labels())
    two.slide(1)
    two.wait_until(lambda: two.segments() == 16)
    two.slide(0.75)
    two.wait_until(lambda: two.labels() == before)
    assert "mine" in one.labels()
    for tab in tabs:
        tab.context.close()


def test_a_closed_tab_is_forgotten(browser: Any, running: Running) -> None:
    sessions = running.server.sessions
    context = browser.new_context()
    others = set(sessions._kept)
    page = Page(context.new_page(), running.url)
    page.take_example()
    (own,) = set(sessions._kept) - others
    context.close()
    deadline = time.monotonic() + 60
    while own in sessions and time.monotonic() < deadline:
        time.sleep(0.2)
    assert own not in sessions


def test_it_works_without_a_mouse(labelled: Page) -> None:
    tab = labelled.tab
    tab.focus(".zg-segment[data-number='2']")
    assert "sure" in tab.locator(".zg-segment[data-number='2']").get_attribute("aria-label")
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.matches('.zg-edit input')")
    tab.keyboard.press("Control+A")
    tab.keyboard.type("typed")
    tab.keyboard.press("Enter")
    labelled.wait_until(lambda: "typed" in labelled.labels())
    tab.keyboard.press("Escape")
    assert tab.locator(".zg-edit input").count() == 0
    for control in tab.locator(".zg-view button, .zg-view input").all():
        name = control.evaluate(
            "e => e.getAttribute('aria-label') || e.textContent || e.labels?.[0]?.textContent"
        )
        assert name and name.strip(), control.evaluate("e => e.outerHTML")


def test_it_fits_a_phone(browser: Any, running: Running) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    page = Page(context.new_page(), running.url)
    page.take_example()
    assert page.tab.evaluate("document.documentElement.scrollWidth") <= 390
    for selector in (".zg-frame", ".zg-stages", ".zg-threshold input", ".zg-list", ".zg-downloads"):
        box = page.tab.locator(selector).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390, selector
    frame, first = (page.tab.locator(s).bounding_box() for s in (".zg-frame", ".zg-edit"))
    assert first["y"] > frame["y"] + frame["height"]  # names are below the picture
    field = page.tab.locator(".zg-edit input")

    def check_in_sight(number: int) -> None:
        """The picture and the panel, one right below the other."""
        field.wait_for()
        assert field.input_value() == page.labels()[number]
        page.wait_until(
            lambda: page.tab.evaluate(
                """() => {
                    const box = (s) => document.querySelector(s).getBoundingClientRect();
                    const [frame, panel] = [box(".zg-frame"), box(".zg-edit")];
                    return frame.top >= 0 && panel.bottom <= innerHeight + 1
                        && panel.top >= frame.bottom && panel.top - frame.bottom < 30;
                }"""
            )
        )

    page.tab.locator(".zg-frame").scroll_into_view_if_needed()
    page.tab.touchscreen.tap(*page.middle(0))
    check_in_sight(0)
    page.tab.click("text=Done")
    panel, stages = (page.tab.locator(s).bounding_box() for s in (".zg-edit", ".zg-stages"))
    assert panel["y"] > stages["y"]  # a mere hint has time
    page.tab.locator(".zg-row >> nth=-1").tap()
    check_in_sight(len(page.labels()) - 1)
    for button in page.tab.locator(".zg-row").all():
        assert button.bounding_box()["height"] >= 40
    context.close()
