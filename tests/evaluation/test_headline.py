"""What a run is known by: LAC, and without WordNet the next in line with the reason."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zeroguide.cli import main
from zeroguide.errors import ZeroguideError
from zeroguide.evaluate import command
from zeroguide.evaluate.metrics.lac import same_text
from zeroguide.evaluate.reports import report
from zeroguide.evaluate.reports.compare import compare
from zeroguide.evaluate.reports.views import main_key
from zeroguide.evaluate.reports.wording import headline
from zeroguide.evaluate.scoring.metrics_table import PROTOCOLS
from zeroguide.evaluate.scoring.results import WORDNET, Results
from zeroguide.evaluate.suite import PAPER, Part, Suite

from .made_by_hand import IOU, image, results, value
from .maps import Words

LAC = "lac_miou/hyponym"
WHY = "no WordNet in /x: install it with `apt-get install wordnet-base`"


class WithWordNet:
    relation = staticmethod(same_text)


class WithoutWordNet:
    def __init__(self) -> None:
        raise ZeroguideError(WHY)


@pytest.fixture
def score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A run on one image of dog | cat, named rightly, with or without WordNet."""
    data, predictions = tmp_path / "data", tmp_path / "predictions"
    truth = Image.fromarray(np.repeat([[0] * 4 + [1] * 4], 4, axis=0).astype(np.uint8))
    for folder in (data / "images", data / "labels", predictions):
        folder.mkdir(parents=True)
        truth.save(folder / "a.png")
    (data / "classes.txt").write_text("dog\ncat\n")
    (predictions / "names.txt").write_text("dog\ncat\n")
    monkeypatch.setattr(command, "SentenceTransformer", lambda *_, **__: Words())

    def run(wordnet: type, output: str = "out", *more: str) -> tuple[int, Path]:
        monkeypatch.setattr(command, "WordNet", wordnet)
        arguments = ["eval", "--dataset", "folder", "--data", str(data)]
        arguments += ["--predictions", str(predictions), "-o", str(tmp_path / output), *more]
        return main(arguments), tmp_path / output

    return run


def test_lac_leads_everywhere(score: Any, capsys: pytest.CaptureFixture[str]) -> None:
    code, output = score(WithWordNet)
    assert code == 0
    printed = capsys.readouterr()
    titles = list(dict.fromkeys(line.partition("\t")[0] for line in printed.out.splitlines()))
    assert titles[:2] == [PROTOCOLS["lac"].title, PROTOCOLS["tt"].title]
    said = "LAC mIoU, hyponym: 100.0 % [100.0, 100.0]"
    assert f"note: headline: {said}." in printed.err
    assert "WordNet" not in printed.err
    found = Results.load(output)
    assert (found.headline, found.missing, main_key(found)) == (LAC, {}, LAC)
    assert found.summary[0].protocol == "lac"
    page = (output / "report.html").read_text(encoding="utf-8")
    assert f'<p class="headline">{said}</p>' in page
    assert f"**{said}**" in (output / "results.md").read_text(encoding="utf-8").splitlines()[2]


def test_without_wordnet_tt_leads_and_the_remedy_is_said(
    score: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    code, output = score(WithoutWordNet)
    assert code == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(PROTOCOLS["tt"].title + "\tIoU_TT\t")
    (line,) = [line for line in printed.err.splitlines() if line.startswith("note: headline: ")]
    assert line.startswith("note: headline: IoU_TT, union, all names: 100.0 % ")
    assert line.endswith(f"; in place of LAC, which is left out: {WHY}.")
    found = Results.load(output)
    assert (found.headline, found.missing) == (IOU, {WORDNET: WHY})
    page = (output / "report.html").read_text(encoding="utf-8")
    assert f"Left out without WordNet: {WHY}." in page
    top = (output / "results.md").read_text(encoding="utf-8").splitlines()[2]
    assert WHY in top.replace("\\`", "`")


def test_a_protocol_that_was_asked_for_is_no_option(
    score: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    code, output = score(WithoutWordNet, "out", "--protocol", "lac,tt")
    assert code == 1 and f"error: {WHY}." in capsys.readouterr().err
    assert not output.exists()


def test_rows_with_and_without_wordnet_are_not_mixed(
    score: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """`naming` has other numbers with WordNet than without, so protocols alone don't tell."""
    more = ("--protocol", "tt")
    assert score(WithoutWordNet, "out", *more)[0] == 0
    assert score(WithWordNet, "out", *more)[0] == 0  # it isn't asked for
    assert score(WithoutWordNet, "both")[0] == 0
    assert score(WithWordNet, "both")[0] == 2
    assert "(protocols, wordnet)" in capsys.readouterr().err


def test_a_comparison_leads_with_what_both_have(
    score: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    a, b = score(WithWordNet, "a")[1], score(WithWordNet, "b")[1]
    c = score(WithoutWordNet, "c")[1]
    capsys.readouterr()
    assert main(["eval", "compare", str(a), str(b), "-o", str(tmp_path / "ab.json")]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(PROTOCOLS["lac"].title)
    line = "headline: LAC mIoU, hyponym: a 100.0 %, b 100.0 %; b - a 0.0 % [0.0, 0.0]."
    assert line in printed.err
    assert json.loads((tmp_path / "ab.json").read_text())["headline"] == LAC
    assert main(["eval", "compare", str(a), str(c)]) == 0
    said = capsys.readouterr().err
    assert "headline: IoU_TT, union, all names: a 100.0 %" in said
    assert f"b is without WordNet: {WHY}." in said


def test_a_suite_asks_for_lac_where_it_can_be_had(score: Any) -> None:
    assert [part.optional for part in PAPER if part.stage == "full"] == [("lac",), ("lac",)]
    whole = results([image("a", {LAC: 40.0})], [value(LAC, 40.0)], headline=LAC)
    without = results([image("a", {IOU: 3.0})], [value(IOU, 3.0)], headline=IOU)
    without = dataclasses.replace(without, missing={WORDNET: WHY})
    suite = Suite((whole, without), ())
    assert [table.title for table in suite.tables()][:2] == [
        PROTOCOLS["lac"].title,
        PROTOCOLS["tt"].title,
    ]
    assert suite.notes == (f"{WORDNET}: {WHY}",)
    first, second = json.loads(suite.to_json())["headlines"]
    assert first == "LAC mIoU, hyponym: 40.0 % [39.0, 41.0]" and second.endswith(WHY)
    assert first in suite.markdown()


@pytest.mark.parametrize(("wordnet", "n"), [(WithWordNet, 8), (WithoutWordNet, 0)])
def test_optional_protocols_are_followed_if_they_can_be(
    wordnet: type, n: int, score: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a suite does, with a data set that is here."""
    plain = command.run
    part = Part("folder", "full", ("tt",), optional=("lac",))
    monkeypatch.setattr(
        command, "run", lambda *arguments: plain(*arguments, optional=part.optional)
    )
    code, output = score(wordnet, "out", "--protocol", "tt")
    assert code == 0
    found = Results.load(output)
    assert sum(v.protocol == "lac" for v in found.summary) == n
    assert (WORDNET in found.missing) == (not n)


def test_what_older_results_and_others_have() -> None:
    made = results()
    assert Results.from_json(made.to_json().replace('"headline":null,', "")) is not None
    assert headline(made) == ""
    assert 'class="headline"' not in report.page(made)
    with pytest.raises(ValueError, match="headline"):
        dataclasses.replace(made, headline=LAC)
    assert headline(dataclasses.replace(made, headline=IOU)) == (
        "IoU_TT, union, all names: 50.0 % [49.0, 51.0]"
    )
    assert compare(made, made).headline is not None
