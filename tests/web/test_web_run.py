"""The tab with a run's labels, in a browser and for programs.

In a file of its own, the last of this folder, like `test_web_photographs`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from zeroguide.runs.run_folder import RunFolder
from zeroguide.web.taxonomy import Taxonomy

from .axe import serious
from .conftest import Running, run_server
from .test_taxonomy import SKY, TREE, make_run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def labels_page(run: Path) -> Iterator[Running]:
    yield from run_server("tiny", Taxonomy(run))


@pytest.fixture(params=[(390, "dark"), (1440, "light")], ids=["phone", "desk"])
def tab(browser: Any, labels_page: Running, request: pytest.FixtureRequest) -> Iterator[Any]:
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    tab = context.new_page()
    tab.set_default_timeout(60_000)
    outside: list[str] = []
    local = (labels_page.url, "data:", "blob:")
    tab.on("request", lambda r: r.url.startswith(local) or outside.append(r.url))
    tab.goto(f"{labels_page.url}?__theme={scheme}")
    tab.wait_for_selector(".zg-card")
    yield tab
    assert outside == []
    context.close()


def in_run(run: Path) -> set[str]:
    return {s.label for entry in RunFolder(run) for s in entry.labeling.segments}


def wait_for_note(tab: Any, words: str) -> None:
    tab.wait_for_function(
        "words => document.querySelector('.zg-taxonomy .zg-note').textContent.includes(words)",
        arg=words,
    )


def test_labels_are_joined_and_taken_back_without_a_mouse(tab: Any, run: Path) -> None:
    cards = tab.locator(".zg-card")
    assert cards.all_inner_texts() == [f"{label}\n5 segments in 5 images" for label in (SKY, TREE)]
    tab.wait_for_function("document.querySelectorAll('.zg-tiles img').length === 6")
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert serious(tab) == []
    boxes = tab.locator(".zg-card input")
    boxes.nth(0).focus()
    tab.keyboard.press("Space")
    assert "Rename" in tab.inner_text(".zg-change")
    tab.keyboard.press("Tab")
    tab.keyboard.press("Space")
    assert "Join 2 labels as" in tab.inner_text(".zg-change")
    field = tab.locator(".zg-change input")
    assert field.input_value() == SKY and serious(tab) == []
    tab.keyboard.press("Escape")
    assert tab.locator(".zg-change").is_hidden() and not boxes.nth(1).is_checked()
    boxes.nth(0).check()
    boxes.nth(1).check()
    field.fill('<b onclick="x">thing')
    field.press("Enter")
    wait_for_note(tab, "2 labels are")
    assert cards.all_inner_texts() == ['<b onclick="x">thing\n10 segments in 5 images']
    assert in_run(run) == {'<b onclick="x">thing'}
    assert tab.locator(".zg-change").is_hidden()
    assert tab.evaluate("document.activeElement.type") == "search"
    assert serious(tab) == []
    tab.click(".zg-taxonomy .zg-undo")
    wait_for_note(tab, "Taken back")
    assert in_run(run) == {SKY, TREE} and cards.count() == 2
    tab.fill("input[type=search]", "tree")
    assert cards.all_inner_texts() == [f"{TREE}\n5 segments in 5 images"]
    tab.fill("input[type=search]", "nobody says this")
    assert "No label is called so." in tab.inner_text(".zg-labels")


def test_a_mistake_is_a_sentence(tab: Any, run: Path) -> None:
    tab.check(".zg-card input >> nth=0")
    tab.click(".zg-change [type=submit]")  # its own name
    alert = tab.locator(".zg-taxonomy .zg-alert")
    alert.wait_for()
    assert "choose a label and another name" in alert.inner_text()
    assert in_run(run) == {SKY, TREE} and serious(tab) == []


def test_the_picture_is_in_the_other_tab(tab: Any) -> None:
    tab.click("button[role=tab] >> nth=1")
    tab.click(".zg-examples button >> nth=3")
    tab.wait_for_selector(".zg-row")
    assert serious(tab) == []


def test_a_program_renames(labels_page: Running, run: Path) -> None:
    from gradio_client import Client
    from gradio_client.exceptions import AppError

    client = Client(labels_page.url, verbose=False)
    told = client.predict(api_name="/run_labels")
    assert told["labels"] == [[SKY, 5, 5], [TREE, 5, 5]] and told["images"] == 5
    told = client.predict([SKY, TREE], "thing", api_name="/run_rename")
    assert told["labels"] == [["thing", 10, 5]] and in_run(run) == {"thing"}
    told = client.predict(api_name="/run_undo")
    assert not told["undo"] and in_run(run) == {SKY, TREE}
    with pytest.raises(AppError, match=r"^there is nothing to take back"):
        client.predict(api_name="/run_undo")
    with pytest.raises(AppError, match="has none of the labels"):
        client.predict(["nobody says this"], "thing", api_name="/run_rename")
