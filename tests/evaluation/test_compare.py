"""Comparisons: planted differences are found, equal runs differ by 0, families never mix."""

import dataclasses
import json
import math

import numpy as np
import pytest

from zeroguide.errors import UsageError
from zeroguide.evaluate.datasets import load_dataset
from zeroguide.evaluate.reports.compare import compare
from zeroguide.evaluate.reports.views import needs_sentences
from zeroguide.evaluate.scoring.results import (
    ClassRow,
    DatasetInfo,
    ImageRow,
    Results,
    Source,
    Sums,
)

from .made_by_hand import IOU, image, results, value

ST = "iou_st/union, all names"


def run(scores: np.ndarray, key: str = IOU, **changes: object) -> Results:
    """Image i has the score scores[i]."""
    rows = [image(f"i{n}", {key: float(each)}) for n, each in enumerate(scores)]
    return results(rows, [value(key, float(scores.mean()), len(scores))], **changes)


def test_equal_runs_differ_by_exactly_nothing():
    found = compare(results(), results())
    assert [row.metric for row in found.rows] == ["iou_tt", "miou", "seconds"]
    for row in found.rows[:2]:
        assert (row.difference, row.low, row.high) == (0, 0, 0)
        assert (row.better, row.worse, row.n_images) == (0, 0, 2)
    assert found.rows[2].difference == 0 and math.isnan(found.rows[2].low)
    assert found.notes == ("left out, since one of the runs failed on them: 1",)


def test_a_planted_difference_is_found_and_signed():
    rng = np.random.default_rng(0)
    hard = rng.uniform(20, 80, 200)  # which both runs feel
    gain = rng.normal(2.0, 4.0, 200)
    (row,) = compare(run(hard), run(hard + gain)).rows
    assert row.difference == pytest.approx(gain.mean())
    half = 1.96 * gain.std() / math.sqrt(200)
    assert row.low == pytest.approx(gain.mean() - half, abs=0.15 * half)
    assert row.high == pytest.approx(gain.mean() + half, abs=0.15 * half)
    assert 0 < row.low < 2 < row.high  # though the two runs' own intervals overlap widely
    assert row.better == pytest.approx((gain > 0).mean())
    assert row.better + row.worse == 1

    (back,) = compare(run(hard + gain), run(hard)).rows
    assert (back.difference, back.low) == pytest.approx((-row.difference, -row.high))
    assert back.better == row.worse


def test_interval_holds_no_difference_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(100):
        hard = rng.uniform(20, 80, 50)
        (row,) = compare(run(hard), run(hard + rng.normal(size=50))).rows
        held += row.low <= 0 <= row.high
    assert 86 <= held <= 99


def test_summed_metrics_are_compared_as_ratios_of_sums():
    first = [image("a", miou=Sums((0, 1), (1, 0), (2, 4))), image("b", miou=Sums((0,), (1,), (4,)))]
    second = [
        image("a", miou=Sums((0, 1), (2, 4), (2, 4))),
        image("b", miou=Sums((0,), (1,), (4,))),
    ]
    (row,) = compare(*(results(rows, [value("miou/TT", 1.0)]) for rows in (first, second))).rows
    assert row.a == pytest.approx(100 * (2 / 6 + 0) / 2)
    assert row.b == pytest.approx(100 * (3 / 6 + 1) / 2)
    assert row.difference == pytest.approx(row.b - row.a)
    assert (row.better, row.worse) == (0.5, 0)


def test_lower_is_better_where_it_is():
    rows = [
        [ImageRow("x", sums={"mcmr50/TT": Sums((0,), (wrong,), (4.0,))})] for wrong in (3.0, 1.0)
    ]
    (row,) = compare(*(results(each, [value("mcmr50/TT", 50.0)]) for each in rows)).rows
    assert row.difference == pytest.approx(-50)
    assert (row.better, row.worse) == (1, 0)


def test_some_of_the_images_with_a_note():
    scores = np.array([10.0, 20.0, 60.0])
    found = compare(run(scores), run(scores[:2] + 1))
    assert found.notes == ("compared on the images in both: 2; a has 1 more",)
    (row,) = found.rows
    assert (row.a, row.b, row.n_images) == (15, 16, 2)


def test_the_order_of_images_does_not_matter():
    forward = run(np.arange(5.0))
    back = dataclasses.replace(forward, images=forward.images[::-1])
    (row,) = compare(forward, back).rows
    assert (row.difference, row.low, row.high, row.better) == (0, 0, 0, 0)


def test_numbers_without_images_have_no_interval():
    made = [results([image("a"), image("b")], [value("ap", number, 2)]) for number in (10.0, 12.5)]
    (row,) = compare(*made).rows
    assert row.difference == 2.5 and math.isnan(row.low) and math.isnan(row.better)
    fewer = dataclasses.replace(made[1], images=made[1].images[:1])
    found = compare(made[0], fewer)
    assert found.rows == ()  # AP of one image alone isn't known
    assert "known of all images of a run together alone: AP" in found.notes


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "ade20k-150"}, "data set is voc2012 and b's is ade20k-150"),
        ({"split": "train"}, "split is val and b's is train"),
        ({"n_classes": 59}, "number of classes is 2 and b's is 59"),
    ],
)
def test_other_data_are_refused(change, said):
    a = results()
    b = dataclasses.replace(a, dataset=dataclasses.replace(a.dataset, **change))
    with pytest.raises(UsageError, match=said):
        compare(a, b)


def of_classes(*classes: tuple[str, int], images: str = "ab") -> Results:
    """A run with true pixels by class."""
    rows = [image(name, {IOU: 1.0}) for name in images]
    return results(
        rows, [value(IOU, 1.0)], classes=tuple(ClassRow(name, n, {}) for name, n in classes)
    )


def test_other_classes_are_refused():
    with pytest.raises(UsageError, match="a's class cat is wolf in b"):
        compare(of_classes(("dog", 1), ("cat", 2)), of_classes(("dog", 1), ("wolf", 2)))


def test_another_truth_of_the_same_images_is_refused():
    """A crop, say, or masks of another size."""
    a = of_classes(("dog", 1), ("cat", 2000))
    with pytest.raises(UsageError, match="class cat has 2,000 true pixels in a and 500 in b"):
        compare(a, of_classes(("dog", 1), ("cat", 500)))
    fewer = of_classes(("dog", 1), ("cat", 500), images="a")
    assert len(compare(a, fewer).rows) == 1  # of fewer images there are fewer pixels
    b = of_classes(("dog", 1), ("cat", 500))
    failed = dataclasses.replace(b, images=(b.images[0], ImageRow("b", error="broken")))
    assert len(compare(a, failed).rows) == 1


def test_a_crop_is_another_data_set():
    a = load_dataset("playroom", limit=1)
    b = load_dataset("playroom", limit=1, crop=64)
    made = [
        dataclasses.replace(results(), dataset=DatasetInfo(each.name, None, 3, 2))
        for each in (a, b)
    ]
    with pytest.raises(UsageError, match="data set is playroom and b's is playroom, crop 64"):
        compare(*made)


def test_what_one_run_alone_has_is_said():
    both = dataclasses.replace(
        run(np.arange(3.0)),
        summary=(value(IOU, 1.0), value("miou/TT", 1.0), value("ap", 1.0), value("ar100", 1.0)),
    )
    more = "Semantic, summed over the data set; Masks, names left out"
    assert compare(both, run(np.arange(3.0))).notes == (f"a alone has more numbers of: {more}",)
    assert compare(run(np.arange(3.0)), both).notes == (f"b alone has more numbers of: {more}",)


def test_versions_of_zeroguide_are_named():
    newer = run(np.arange(3.0), versions={"zeroguide": "0.2.0", "numpy": "2.0"})
    found = compare(run(np.arange(3.0)), newer)
    assert found.notes == ("a was scored by zeroguide 0.1.0, b by 0.2.0",)


def test_other_images_are_refused():
    a = run(np.arange(3.0))
    b = dataclasses.replace(a, images=(*a.images[:2], image("other", {IOU: 1.0})))
    with pytest.raises(UsageError, match="images in a alone: 1, in b alone: 1"):
        compare(a, b)


def test_runs_that_scored_nothing_in_common_are_refused():
    a = results([image("a", {IOU: 1.0}), ImageRow("b", error="broken")])
    b = results([ImageRow("a", error="broken"), image("b", {IOU: 1.0})])
    with pytest.raises(UsageError, match="no image that both runs have scored"):
        compare(a, b)


def test_protocols_are_never_mixed():
    scores = np.arange(3.0)
    with pytest.raises(UsageError, match=r"protocols of a: tt; of b: st.*aren't compared"):
        compare(run(scores), run(scores, ST))
    both = dataclasses.replace(
        run(scores), summary=(value(IOU, 1.0), value("miou/TT", 1.0), value("ap", 1.0))
    )
    assert [row.metric for row in compare(both, run(scores)).rows] == ["iou_tt"]


def test_numbers_of_two_sentence_encoders_are_not_compared():
    scores = np.arange(3.0)
    with pytest.raises(UsageError, match="encoder is encoder and b's is other"):
        compare(run(scores), run(scores, sentence_encoder="other"))
    keys = (IOU, ST, "miou/TT", "miou/ST", "name_top1", "name_top1_st", "best_overlap")
    made = [
        results(
            [image("a", dict.fromkeys(keys, 1.0))],
            [value(key, 1.0) for key in keys],
            sentence_encoder=name,
        )
        for name in ("one", "two")
    ]
    found = compare(*made)
    assert {row.metric for row in found.rows} == {"iou_st", "miou", "name_top1_st", "best_overlap"}
    assert {row.variant for row in found.rows if row.metric == "miou"} == {"ST"}
    assert "a's sentence encoder is one and b's is two" in found.notes[0]


def test_scores_by_two_clips_are_not_compared():
    keys = ("clip_score", ST)
    made = [
        results(
            [image("a", dict.fromkeys(keys, 1.0))],
            [value(key, 1.0) for key in keys],
            source=Source("pipeline", "full", {"models": {"clip": name}}),
        )
        for name in ("one", "two")
    ]
    found = compare(*made)
    assert [row.metric for row in found.rows] == ["iou_st"]
    assert found.notes == (
        "a's CLIP is one and b's is two, so CLIPScores aren't compared",
        "segment-to-text numbers are judged by each run's own CLIP: one, two",
    )
    only = [dataclasses.replace(each, summary=(value("clip_score", 1.0),)) for each in made]
    with pytest.raises(UsageError, match="share no other number"):
        compare(*only)


def test_which_numbers_need_sentences():
    yes = (
        IOU,
        "ar_tt/all names",
        "miou/TT",
        "soft_iou/TT",
        "pq/TT",
        "name_similar",
        "miou/TT, synonyms",
        "accuracy/TT, synonyms",
    )
    no = (
        "ref_clip_score",
        ST,
        "miou/ST",
        "clip_score",
        "best_overlap",
        "lac_miou/exact",
        "image_miou/released code",
    )
    assert all(needs_sentences(key) for key in yes)
    assert not any(needs_sentences(key) for key in no)


def test_stages_are_named():
    source = Source("pipeline", "true-masks", {"models": {"clip": "one"}})
    found = compare(run(np.arange(3.0)), run(np.arange(3.0), source=source))
    assert found.notes == ("a is of stage full, b of stage true-masks",)


def test_tables_and_json():
    found = compare(results(), results())
    tables = found.tables()
    assert tables[0].title == "Open vocabulary, text to text"
    assert tables[0].rows == [
        ("IoU_TT", "union, all names", "50.0 %", "50.0 %", "0.0 %", "[0.0, 0.0]", "0 %", "0 %")
    ]
    assert [table.about for table in tables] == ["Sentence encoder: encoder."] * 2 + [""]
    data = json.loads(found.to_json())
    assert data["sentence_encoder"] == "encoder"
    assert data["schema"] == "zeroguide-comparison/1"
    assert data["rows"][0]["difference"] == 0 and data["rows"][2]["low"] is None
