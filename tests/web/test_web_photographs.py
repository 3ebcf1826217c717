"""The page with `photo`, in a browser and for programs.

In a file of its own, the last of this folder: a second Gradio server in one process can disturb the
first.
"""

from __future__ import annotations

import base64
import io
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from .axe import serious
from .conftest import Running
from .test_browser import Page, drop
from .test_naming import masks_file
from .test_server import handle

pytestmark = pytest.mark.slow

BUS = Path(__file__).parents[2] / "examples" / "bus.jpg"


def test_a_photograph_is_cut_anew(browser: Any, photographs: Running) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = Page(context.new_page(), photographs.url)
    page.take_example(0)
    tab = page.tab
    grain = tab.locator(".zg-grain input")
    assert grain.is_visible() and grain.input_value() == "0.85"
    parts = {}
    for value in ("0", "1", "0.85"):
        grain.fill(value)
        grain.dispatch_event("change")
        tab.wait_for_selector(".zg-work", state="visible")
        tab.wait_for_selector(".zg-row")
        page.wait_until(lambda: tab.locator(".zg-work").is_hidden())
        assert grain.input_value() == value
        assert tab.evaluate("document.activeElement.closest('.zg-grain') !== null")
        (parts[value],) = re.findall(r"(\d+) over-segments? became", tab.inner_text(".zg-note"))
    assert int(parts["0"]) < int(parts["0.85"]) <= int(parts["1"])

    tab.click(".zg-row >> nth=0")
    tab.fill(".zg-edit input", "mine")
    tab.press(".zg-edit input", "Enter")
    page.wait_until(lambda: "mine" in page.labels())
    tab.once("dialog", lambda dialog: dialog.dismiss())
    grain.fill("0.5")
    grain.dispatch_event("change")
    page.wait_until(lambda: grain.input_value() == "0.85")
    assert "mine" in page.labels()
    tab.once("dialog", lambda dialog: dialog.accept())
    grain.fill("0.5")
    grain.dispatch_event("change")
    page.wait_until(lambda: page.labels() and "mine" not in page.labels())

    for key in list(photographs.server.sessions._kept):
        photographs.server.sessions.end(key)
    grain.fill("0.9")
    grain.dispatch_event("change")
    tab.wait_for_selector(".zg-alert", state="visible")
    assert "no picture in this session" in tab.inner_text(".zg-alert")
    assert tab.locator(".zg-row").count() and grain.input_value() == "0.5"
    context.close()
    assert page.outside == [] and page.errors == []


def test_a_program_cuts_anew(photographs: Running) -> None:
    from gradio_client import Client
    from gradio_client.exceptions import AppError

    from zeroguide import label

    photo = Path(str(files("sklearn.datasets.images") / "china.jpg"))
    other = Client(photographs.url, verbose=False)
    first = other.predict(handle(photo), api_name="/label")
    coarse = other.predict(0.0, api_name="/cut")
    overrides = ["segmenter.granularity=0.0"]
    expected = label(photo, preset="photo", overrides=overrides, device="cpu").to_dict()
    assert coarse["segments"] == expected["segments"] and coarse["recipe"] == expected["recipe"]
    with pytest.raises(AppError, match=r"^the granularity 1.5 is out of range: choose 0 to 1"):
        other.predict(1.5, api_name="/cut")
    assert other.predict(0.85, api_name="/cut") == first


def test_a_surer_name_is_a_wider_one(browser: Any, photographs: Running) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = Page(context.new_page(), photographs.url)
    tab = page.tab
    tab.set_input_files(".zg-photo input[type=file]", BUS)
    tab.wait_for_selector(".zg-row")
    first, asked = page.labels(), len(photographs.asked)
    sure, reset = tab.locator(".zg-certain input"), tab.locator(".zg-certain .zg-reset")
    assert sure.input_value() == "0.3" and reset.is_disabled()
    sure.fill("0.05")
    page.wait_until(lambda: page.labels() != first)
    tab.check("input[value=over]", force=True)
    specific = page.labels()
    sure.fill("0.95")
    page.wait_until(lambda: page.labels() != specific)  # of over-segments, too
    assert len(set(page.labels())) < len(set(specific))
    tab.check("input[value=merged]", force=True)
    assert reset.inner_text() == "Back to 0.30"
    reset.click()
    page.wait_until(lambda: page.labels() == first and reset.is_disabled())
    assert len(photographs.asked) == asked  # no image network
    context.close()
    assert page.outside == [] and page.errors == []


def test_a_program_chooses_the_certainty(photographs: Running) -> None:
    from gradio_client import Client
    from gradio_client.exceptions import AppError

    other = Client(photographs.url, verbose=False)
    first = other.predict(handle(BUS), api_name="/label")
    sure = other.predict(0.95, api_name="/certainty")
    assert sure["segments"] != first["segments"]
    assert sure["recipe"]["edits"]["certainty"] == 0.95
    with pytest.raises(AppError, match=r"^the certainty 2 is out of range: choose 0 to 1"):
        other.predict(2, api_name="/certainty")
    assert other.predict(0.3, api_name="/certainty") == first


def test_what_clip_saw_is_shown(browser: Any, photographs: Running) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = Page(context.new_page(), photographs.url)
    tab = page.tab
    tab.set_input_files(".zg-photo input[type=file]", BUS)
    tab.wait_for_selector(".zg-row")
    number = page.labels().index("bus")
    tab.focus(f".zg-row >> nth={number}")
    tab.keyboard.press("Enter")
    tab.focus("[data-key=look]")
    tab.keyboard.press("Enter")
    dialog = tab.locator(".zg-look")
    tab.wait_for_selector(".zg-pair", state="visible")
    assert "\u201cbus\u201d" in dialog.locator("h2").inner_text()
    without, masked = dialog.locator("figcaption").all_inner_texts()
    assert "Without a mask" in without and re.search(r"bus\n\d+ % sure\nor ", masked)
    assert "pooled" in dialog.inner_text()
    page.wait_until(
        lambda: tab.evaluate("document.querySelector('.zg-after img').naturalWidth > 0")
    )
    tab.keyboard.press("Escape")
    page.wait_until(dialog.is_hidden)
    assert tab.evaluate("document.activeElement.dataset.key") == "look"
    assert tab.locator(".zg-row[aria-pressed=true]").count() == 1  # Esc was the dialog's
    tab.check("input[value=over]", force=True)
    tab.click(".zg-row >> nth=0")
    tab.click("[data-key=look]")
    tab.wait_for_selector(".zg-pair", state="visible")
    context.close()
    assert page.outside == [] and page.errors == []


def test_a_program_sees_what_clip_saw(photographs: Running) -> None:
    from gradio_client import Client
    from gradio_client.exceptions import AppError

    other = Client(photographs.url, verbose=False)
    first = other.predict(handle(BUS), api_name="/label")
    (bus,) = [s for s in first["segments"] if s["label"] == "bus"]
    told = other.predict(bus["merged_from"][0], api_name="/look")
    assert told["after"]["labels"][0] == "bus"
    assert told["after"]["confidence"] == pytest.approx(bus["confidence"], abs=1e-3)
    assert told["before"]["confidence"] != told["after"]["confidence"]
    assert told["seen"].startswith("data:image/jpeg;base64,") and "pooled" in told["about"]
    with pytest.raises(AppError, match="there is no over-segment 999"):
        other.predict(999, api_name="/look")


def test_a_picture_is_shared_as_two_files(
    browser: Any, photographs: Running, tmp_path: Path
) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, accept_downloads=True)
    page = Page(context.new_page(), photographs.url)
    tab = page.tab
    tab.set_input_files(".zg-photo input[type=file]", BUS)
    tab.wait_for_selector(".zg-row")
    labels = page.labels()
    tab.click(".zg-share")
    tab.wait_for_selector(".zg-files", state="visible")
    saved = {}
    for number in (0, 1):
        with tab.expect_download() as download:
            tab.click(f".zg-files button >> nth={number}")
        saved[download.value.suggested_filename] = Path(download.value.path()).read_bytes()
    assert set(saved) == {"bus.names.png", "bus.names.html"}
    with PIL.Image.open(io.BytesIO(saved["bus.names.png"])) as picture:
        assert picture.format == "PNG" and min(picture.size) > 400
    tab.keyboard.press("Escape")
    assert tab.evaluate("document.activeElement.dataset.key") == "share"
    context.close()
    assert page.outside == [] and page.errors == []

    (tmp_path / "bus.html").write_bytes(saved["bus.names.html"])
    context = browser.new_context(viewport={"width": 390, "height": 844}, offline=True)
    alone, errors = context.new_page(), []
    alone.on("console", lambda message: errors.append(message.text))
    alone.on("pageerror", lambda error: errors.append(str(error)))
    alone.goto((tmp_path / "bus.html").as_uri())
    assert alone.locator("ol b").all_inner_texts() == labels
    assert alone.evaluate("document.querySelector('img').naturalWidth") == 640
    assert alone.evaluate("document.documentElement.scrollWidth") <= 390
    number = labels.index("bus")
    alone.keyboard.press("Tab")
    alone.locator("path").nth(number).focus()
    alone.keyboard.press("Enter")
    row = alone.locator("ol button").nth(number)
    assert row.get_attribute("aria-pressed") == "true"
    alone.keyboard.press("Escape")
    assert row.get_attribute("aria-pressed") == "false"
    row.hover()
    assert "on" in alone.locator("path").nth(number).get_attribute("class")
    assert serious(alone) == [] and errors == []
    context.close()


def test_dropped_masks_get_names(browser: Any, photographs: Running, tmp_path: Path) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page = Page(context.new_page(), photographs.url)
    tab = page.tab
    photo = ("bus.jpg", "image/jpeg", BUS.read_bytes())
    masks = ("sam.json", "application/json", masks_file())
    alert = tab.locator(".zg-alert")
    drop(page, masks)
    page.wait_until(alert.is_visible)
    assert "sam.json: is no image; if it holds masks, drop it together with" in alert.inner_text()
    drop(page, masks, photo)  # both together
    tab.wait_for_selector(".zg-with-masks .zg-row")
    assert alert.is_hidden() and tab.inner_text(".zg-head h2") == "3 masks"
    first = page.labels()
    assert page.segments() == 3 and "sky" in first
    assert "sam.json" in tab.inner_text(".zg-note")
    tab.mouse.click(*page.middle(2))
    assert "Mask 3 of sam.json." in tab.inner_text(".zg-edit")
    tab.locator(".zg-certain input").fill("0.05")
    page.wait_until(lambda: page.labels() != first)
    tab.click(".zg-certain .zg-reset")
    page.wait_until(lambda: page.labels() == first)
    saved = {}
    for button in ("Picture", "JSON"):
        with tab.expect_download() as download:
            tab.click(f".zg-downloads button:text-is('{button}')")
        saved[download.value.suggested_filename] = Path(download.value.path()).read_bytes()
    assert set(saved) == {"bus.jpg.names.png", "bus.jpg.names.json"}
    told = json.loads(saved["bus.jpg.names.json"])
    assert sorted(mask["label"] for mask in told["masks"]) == sorted(first)
    assert tab.locator(".zg-share").is_hidden()
    tab.check("input[value=merged]", force=True)  # the picture's own segments are there, too
    assert "bus" in page.labels() and tab.locator(".zg-share").is_visible()

    other = tmp_path / "other.json"  # by the keyboard's way
    other.write_bytes(masks_file(shapes=[]))
    tab.set_input_files(".zg-masks input", other)
    page.wait_until(alert.is_visible)
    assert "other.json: has no masks of this image" in alert.inner_text()
    assert "bus" in page.labels()
    label_map = np.zeros((427, 640), np.uint8)
    label_map[300:] = 7
    PIL.Image.fromarray(label_map).save(tmp_path / "map.png")
    tab.set_input_files(".zg-masks input", tmp_path / "map.png")
    tab.wait_for_selector(".zg-with-masks")
    assert tab.inner_text(".zg-head h2") == "1 mask" and page.segments() == 1
    assert tab.inner_text(".zg-row .zg-swatch") == "7"
    page.take_example(0)
    page.wait_until(lambda: tab.locator(".zg-with-masks").count() == 0)
    assert tab.locator("label.zg-of-masks").is_hidden()
    assert [p for p in photographs.server.folder.rglob("*") if p.is_file()] == []
    context.close()
    assert page.outside == [] and page.errors == []


def test_a_program_gets_names_for_masks(photographs: Running, tmp_path: Path) -> None:
    from gradio_client import Client
    from gradio_client.exceptions import AppError

    path = tmp_path / "masks.json"
    path.write_bytes(masks_file())
    other = Client(photographs.url, verbose=False)
    with pytest.raises(AppError, match="there is no picture in this session"):
        other.predict(handle(path), api_name="/name_masks")
    other.predict(handle(BUS), api_name="/label")
    with pytest.raises(AppError, match="there are no masks of this picture"):
        other.predict("masks", api_name="/download")
    told = other.predict(handle(path), api_name="/name_masks")
    assert told["schema"] == "zeroguide-names/1" and len(told["masks"]) == 3
    file = other.predict("masks", api_name="/download")
    assert json.loads(base64.b64decode(file["content"])) == told
    path.write_bytes(b"{")
    with pytest.raises(AppError, match=r"^masks\.json: can't be read as JSON"):
        other.predict(handle(path), api_name="/name_masks")


@pytest.mark.parametrize(
    ("width", "scheme"), [(390, "light"), (390, "dark"), (1440, "light"), (1440, "dark")]
)
def test_every_state_can_be_read_and_reached(
    browser: Any, photographs: Running, tmp_path: Path, width: int, scheme: str
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page = Page(context.new_page(), f"{photographs.url}?__theme={scheme}")
    tab, states = page.tab, []

    def check(state: str) -> None:
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), state
        assert (state, serious(tab)) == (state, [])
        states.append(state)

    check("empty")
    bad, masks = tmp_path / "bad.png", tmp_path / "masks.json"
    bad.write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    masks.write_bytes(masks_file())
    tab.set_input_files(".zg-photo input[type=file]", bad)
    tab.wait_for_selector(".zg-alert", state="visible")
    check("error")
    tab.set_input_files(".zg-photo input[type=file]", BUS)
    tab.wait_for_selector(".zg-row")
    check("labelled")
    tab.click(".zg-row >> nth=0")
    check("selected")
    tab.click("[data-key=look]")
    tab.wait_for_selector(".zg-pair", state="visible")
    check("what CLIP saw")
    tab.keyboard.press("Escape")
    tab.click(".zg-share")
    tab.wait_for_selector(".zg-files", state="visible")
    check("share")
    tab.keyboard.press("Escape")
    for stage in ("over", "graph"):
        tab.check(f"input[value={stage}]", force=True)
        check(stage)
    tab.set_input_files(".zg-masks input", masks)
    tab.wait_for_selector(".zg-with-masks .zg-row")
    check("masks")
    assert len(states) == 9
    context.close()


def test_sliders_and_dialogs_work_without_a_mouse(browser: Any, photographs: Running) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = Page(context.new_page(), photographs.url)
    tab = page.tab
    tab.set_input_files(".zg-photo input[type=file]", BUS)
    tab.wait_for_selector(".zg-row")
    sure = tab.locator(".zg-certain input")
    sure.focus()
    tab.keyboard.press("ArrowRight")
    assert sure.input_value() == "0.31"
    page.wait_until(lambda: tab.locator(".zg-certain .zg-reset").is_enabled())
    tab.keyboard.press("Shift+Tab")
    tab.keyboard.press("Enter")  # back to the recipe's
    page.wait_until(lambda: sure.input_value() == "0.3")
    assert tab.evaluate("document.activeElement.closest('.zg-certain') !== null")
    reached = set()
    tab.focus(".zg-photo button")
    for _ in range(60):
        tab.keyboard.press("Tab")
        reached.add(
            tab.evaluate(
                """() => {
                    const at = document.activeElement;
                    const seen = getComputedStyle(at).outlineStyle !== "none"
                        || at.matches(".zg-segment, [name=zg-stage]");
                    return (at.dataset.key || at.dataset.kind || at.className.baseVal
                        || at.className || at.name || at.type) + (seen ? "" : " unseen");
                }"""
            )
        )
    own = {one for one in reached if not one.endswith(" unseen")}
    assert {"overlay", "json", "coco", "share", "masks", "zg-row"} <= own, reached
    assert any("zg-segment" in one for one in own) and "zg-stage" in own
    context.close()
