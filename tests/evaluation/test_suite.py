"""Suites: what is missing is said, and no table holds numbers of two protocols."""

import dataclasses
import json
from pathlib import Path

import pytest

from zeroguide.errors import UsageError
from zeroguide.evaluate.datasets.registry import DATASETS
from zeroguide.evaluate.reports.published import UNVERIFIED, Published, published
from zeroguide.evaluate.scoring.results import METRICS, PROTOCOLS, Results, split_key
from zeroguide.evaluate.suite import PAPER, SUITES, UNSUPERVISED, Part, Suite, beside, run_parts

from .made_by_hand import IOU, image, results, value

ST = "iou_st/union, all names"
NAMING = "name_top1"
PIXELS = "cluster_miou/Hungarian on pixels"
PER_IMAGE = "image_miou/released code"


def measured(part: Part) -> Results:
    keys = {"tt": IOU, "st": ST, "naming": NAMING, "cost": "seconds"}
    keys |= {"unsupervised": PIXELS, "per-image": PER_IMAGE}
    made = results([image("a")], [value(keys[name], 33.3) for name in part.protocols])
    return dataclasses.replace(made, dataset=dataclasses.replace(made.dataset, name=part.title))


def without_context(part: Part) -> Results:
    if part.dataset == "context-59":
        raise UsageError("no folder trainval in data; get it from the authors' page.")
    return measured(part)


def number(protocol: str, *metrics: str) -> Published:
    return Published("Method", 2020, "somewhere", "voc2012", None, 12.3, protocol, metrics, "")


def test_published_numbers_are_well_formed():
    numbers = published()
    assert len({(p.method, p.dataset) for p in numbers}) == len(numbers)
    for each in numbers:
        assert each.dataset in DATASETS
        assert 0 < each.value < 100
        assert each.source
        for name in each.metrics:
            metric, variant = split_key(name)
            assert variant in (metric.variants or ("",))
    protocols = {p.protocol for p in numbers if p.metrics}
    assert protocols <= {*PROTOCOLS, UNVERIFIED}


def test_the_papers_own_numbers_are_of_no_verified_protocol():
    own = {p.dataset: p for p in published() if p.method == "Zero-guidance segmentation"}
    assert {name: p.value for name, p in own.items()} == {"voc2012": 20.1, "context-59": 11.4}
    assert {p.protocol for p in own.values()} == {UNVERIFIED}
    assert all(set(p.metrics) == {IOU, ST} for p in own.values())


@pytest.mark.parametrize(
    ("protocol", "metrics"),
    [
        ("tt", (ST,)),
        ("tt", (IOU, ST)),
        ("tt", ()),
        ("LLM mapping", (IOU,)),
        (UNVERIFIED, ()),
    ],
)
def test_a_published_number_has_its_place(protocol, metrics):
    with pytest.raises(ValueError):
        number(protocol, *metrics)


def test_parts_are_what_can_be_measured():
    assert {part.dataset for part in PAPER} == {"voc2012", "context-59"}
    for parts in SUITES.values():
        assert len({part.folder for part in parts}) == len(parts)
        for part in parts:
            assert part.dataset in DATASETS
            assert set(part.protocols) <= set(PROTOCOLS)


def test_runs_all_parts_in_order():
    asked = []
    suite = run_parts(lambda part: asked.append(part) or measured(part), PAPER)  # type: ignore[func-returns-value]
    assert asked == list(PAPER)
    assert len(suite.results) == 4 and suite.missing == ()


def test_every_table_is_of_one_protocol():
    tables = run_parts(measured, PAPER).tables()
    titles = [PROTOCOLS[name].title for name in ("tt", "st", "naming", "cost")]
    assert [table.title for table in tables] == [*titles, "Other protocols"]
    for name, table in zip(("tt", "st", "naming", "cost"), tables, strict=False):
        own = {metric.title for metric in METRICS.values() if metric.protocol == name}
        assert {row[1] for row in table.rows} <= own


def test_what_is_unverified_has_its_own_column_and_word():
    table = run_parts(measured, PAPER).tables()[0]
    assert table.columns[-1] == "published, protocol unverified"
    voc, context = table.rows
    assert voc[:4] == ("voc2012", "IoU_TT", "union, all names", "33.3 %")
    assert voc[5] == "–"  # nothing is published that is known to be of this protocol
    assert "20.1 (Zero-guidance segmentation) unverified" in voc[6]
    assert "~35.4 (TAG) unverified" in voc[6]
    assert context[6] == "11.4 (Zero-guidance segmentation) unverified"


def test_numbers_of_other_protocols_stand_apart():
    tables = run_parts(measured, PAPER).tables()
    *ours, others = tables
    assert any(row[1] == "AutoSeg" and row[3] == "LLM mapping" for row in others.rows)
    assert {row[0] for row in others.rows} == {"voc2012", "context-59"}
    assert not any("AutoSeg" in cell for table in ours for row in table.rows for cell in row)


def test_families_are_refused_in_one_table():
    tt, st = ("voc2012", value(IOU, 1.0)), ("voc2012", value(ST, 1.0))
    with pytest.raises(ValueError, match="numbers of st in a table of tt"):
        beside("tt", [tt, st], [])
    with pytest.raises(ValueError, match="numbers of st in a table of tt"):
        beside("tt", [tt], [number("st", ST)])
    with pytest.raises(ValueError, match="numbers of LLM mapping in a table of tt"):
        beside("tt", [tt], [number("LLM mapping")])


def test_published_beside_measured_of_the_same_metric_and_data_alone():
    numbers = [number("tt", IOU), number("tt", "ar_tt/all names"), number(UNVERIFIED, IOU, ST)]
    rows = beside("tt", [("voc2012", value(IOU, 50.0)), ("camvid", value(IOU, 1.0))], numbers).rows
    assert rows[0][3:] == ("50.0 %", "[49.0, 51.0]", "12.3 (Method)", "12.3 (Method) unverified")
    assert rows[1][5:] == ("–", "–")


def test_a_missing_data_set_is_said_and_the_others_go_on(tmp_path: Path):
    suite = run_parts(without_context, PAPER)
    assert [results.dataset.name for results in suite.results] == ["voc2012", "voc2012"]
    assert [missing.part for missing in suite.missing] == list(PAPER[2:])
    assert suite.notes == ("context-59: no folder trainval in data; get it from the authors' page",)
    suite.write(tmp_path)
    data = json.loads((tmp_path / "suite.json").read_text(encoding="utf-8"))
    assert data["schema"] == "zeroguide-suite/1"
    assert [each["dataset"] for each in data["missing"]] == ["context-59", "context-59"]
    assert len(data["tables"]) == 5
    text = (tmp_path / "suite.md").read_text(encoding="utf-8")
    assert "- missing: context-59: no folder trainval" in text
    assert "arXiv:2303.13396" in text


def test_other_faults_are_not_hidden():
    def broken(part: Part) -> Results:
        raise RuntimeError("a fault of the program")

    with pytest.raises(RuntimeError):
        run_parts(broken, PAPER)


def test_nothing_at_all_makes_no_table():
    def absent(part: Part) -> Results:
        raise UsageError("missing")

    suite = run_parts(absent, PAPER)
    assert suite.tables() == [] and len(suite.missing) == 4


# Crops and clusters


def cells(suite, title):
    (table,) = [table for table in suite.tables() if table.title == title]
    return {(row[0], row[1]): row for row in table.rows}


def test_a_number_of_crops_stands_beside_the_same_crops_alone():
    suite = run_parts(measured, UNSUPERVISED)
    assert [r.dataset.name for r in suite.results] == [
        "coco-stuff-27, crop 320", "cityscapes-27, crop 320", "voc2012", "coco-stuff-27",
        "ade20k-150",
    ]  # fmt: skip
    rows = cells(suite, PROTOCOLS["unsupervised"].title)
    assert rows["coco-stuff-27, crop 320", "mIoU"][5] == "28.2 (STEGO), 45.3 (CAUSE-TR)"
    assert rows["cityscapes-27, crop 320", "mIoU"][5] == "29.9 (CAUSE-TR)"
    assert rows["voc2012", "mIoU"][5] == "–"  # published ones are matched on IoU
    rows = cells(suite, PROTOCOLS["per-image"].title)
    assert rows["coco-stuff-27", "mIoU"][5] == "49.1 (DiffCut)"
    assert rows["voc2012", "mIoU"][5] == "65.2 (DiffCut)"
    assert "28.2 (STEGO), coco-stuff-27, crop 320: ICLR 2022" in suite.markdown()


def test_a_number_of_crops_stands_apart_where_whole_images_were_measured():
    suite = run_parts(measured, [Part("coco-stuff-27", "full", ("unsupervised",))])
    assert cells(suite, PROTOCOLS["unsupervised"].title)["coco-stuff-27", "mIoU"][5] == "–"
    (other,) = [table for table in suite.tables() if table.title == "Other protocols"]
    assert {row[:3] for row in other.rows} == {
        ("coco-stuff-27, crop 320", "STEGO", "28.2 %"),
        ("coco-stuff-27, crop 320", "CAUSE-TR", "45.3 %"),
    }


def test_one_to_one_on_iou_is_the_protocol_of_pascal_voc():
    key = "cluster_miou/Hungarian on IoU"
    numbers = [number for number in published() if key in number.metrics]
    row = beside("unsupervised", [("voc2012", value(key, 10.0))], numbers).rows[0]
    assert row[5] == "37.2 (Deep Spectral), 45.8 (MaskDistill), 47.1 (ACSeg), 50.0 (COMUS)"


def test_tables_name_the_sentence_encoder_of_their_numbers(tmp_path: Path):
    suite = run_parts(measured, PAPER)
    abouts = {table.title: table.about for table in suite.tables()}
    judged = {PROTOCOLS[name].title for name in ("tt", "naming")}
    assert abouts == {t: "Sentence encoder: encoder." * (t in judged) for t in abouts}
    suite.write(tmp_path)
    captions = (tmp_path / "suite.md").read_text(encoding="utf-8").split("**")[1:]
    said = {
        title.rstrip(".")
        for title, text in zip(captions[::2], captions[1::2], strict=True)
        if "Sentence encoder: encoder." in text
    }
    assert said == judged
    tables = json.loads((tmp_path / "suite.json").read_text(encoding="utf-8"))["tables"]
    assert {table["title"]: table["about"] for table in tables} == abouts


def test_two_sentence_encoders_are_both_named():
    first, *others = run_parts(measured, PAPER).results
    suite = Suite((dataclasses.replace(first, sentence_encoder="another"), *others), ())
    assert suite.tables()[0].about == "Sentence encoder: another. Sentence encoder: encoder."


def test_clip_scores_have_three_decimals():
    (row,) = beside("naming", [("voc2012", value("clip_score", 0.7326))], []).rows
    assert row[3] == "0.733"
