"""Runs: the truth scores 100, failures are rows, and a stopped run goes on to the same results."""

import dataclasses
import json
import math
import os

import numpy as np
import pytest
from pycocotools import mask as codes

from zeroguide.errors import DeviceError, UsageError, ZeroguideError
from zeroguide.evaluate.datasets import ClassName, load_dataset
from zeroguide.evaluate.datasets.base import Entry
from zeroguide.evaluate.metrics.bootstrap import of_ratio
from zeroguide.evaluate.metrics.class_agnostic import ClassAgnostic, encode
from zeroguide.evaluate.reports.drawing import pictures, segment_map
from zeroguide.evaluate.scoring.results import Results
from zeroguide.evaluate.scoring.rows import FILE, read_rows

from .maps import Given, Maps, Objects, of_truth, prediction, run, values

NOT_SHARES = ("seconds", "segments", "distinct_labels", "mcmr50/TT", "ar1", "ar10")
"""Numbers of which 100 isn't the best, or out of reach: one mask can't be all regions."""


def assert_perfect(results):
    found = values(results)
    assert len(found) > 40
    for name, value in found.items():
        if name not in NOT_SHARES:
            assert value == pytest.approx(100), name
    assert found["mcmr50/TT"] == 0
    for value in results.summary:
        if value.key not in NOT_SHARES and not math.isnan(value.low):
            assert (value.low, value.high) == pytest.approx((100, 100)), value.key


def test_the_truth_of_playroom_scores_100(tmp_path):
    dataset = load_dataset("playroom", limit=8, size=64)
    results = run(dataset, Given({s.name: of_truth(s) for s in dataset}), tmp_path)
    assert_perfect(results)
    assert results.value("pq/TT").n_images == 8
    assert all(row.values["miou/TT"] == 100 for row in results.classes if row.pixels)


def test_the_truth_of_photographs_scores_100(shared, tmp_path):
    """COCO's panoptic truth: crowds, void, and many things of one class.

    Two things of one class are two segments, so a class is more than its best one; a segment of a
    thing isn't the class's only one for AR either; and matching one segment to a class leaves the
    other things of that class out.
    """
    dataset = load_dataset("coco-panoptic", shared / "photos", limit=6)
    found = values(run(dataset, Given({s.name: of_truth(s) for s in dataset}), tmp_path))
    single = ("argmax", "recall50", "ar_", "image_miou", "image_accuracy")
    for name, value in found.items():
        if name not in NOT_SHARES and not name.startswith(single) and "argmax" not in name:
            assert value == pytest.approx(100), name
    assert found["mcmr50/TT"] == 0
    assert 50 < found["iou_tt/argmax, all names"] < 100


def halves(n):
    """n images of dog | cat, found with a border that moves, one column more each time."""
    truth = np.repeat([[0] * 4 + [1] * 4], 2, axis=0)
    truths = {f"image{i}": truth for i in range(n)}
    found = {}
    for i in range(n):
        border = np.arange(8)[None].repeat(2, axis=0) >= 1 + i % 6
        # AP ranks all images' masks together: equal scores would be ranked by their order.
        scores = np.array([0.9, 0.5]) - i / 100
        found[f"image{i}"] = dataclasses.replace(prediction(border, ["dog", "cat"]), scores=scores)
    return Objects(truths, ("dog", "cat")), found


def test_a_mean_and_a_ratio_have_intervals(tmp_path):
    dataset, found = halves(6)
    value = run(dataset, Given(found), tmp_path).value("iou_tt/union, all names")
    own = [(min(b, 4) / max(b, 4) + (8 - max(b, 4)) / (8 - min(b, 4))) / 2 for b in range(1, 7)]
    assert value.value == pytest.approx(100 * np.mean(own))
    assert 100 * min(own) <= value.low < value.value < value.high <= 100


def test_failures_are_rows(tmp_path):
    dataset, found = halves(4)
    found["image1"] = ZeroguideError("image1: has gone; put it back")
    found["image2"] = RuntimeError("out of\nmemory")
    found["image3"] = prediction(np.zeros((2, 7)), ["dog"])
    results = run(dataset, Given(found), tmp_path)
    errors = {row.name: row.error for row in results.images}
    assert errors["image0"] is None
    assert errors["image1"] == "image1: has gone; put it back"
    assert "RuntimeError (out of memory)" in errors["image2"]
    assert "7 x 2 pixels but the truth 8 x 2" in errors["image3"]
    assert results.dataset.n_images == 4
    assert {value.n_images for value in results.summary} == {1}
    assert [row.name for row in results.scored] == ["image0"]


def test_all_fail(tmp_path):
    dataset, found = halves(2)
    results = run(dataset, Given(dict.fromkeys(found, ValueError("no"))), tmp_path)
    assert results.summary == () and results.scored == ()


def unhurried(results):
    """Without what a clock says."""
    return dataclasses.replace(results, seconds=0.0).to_json()


def test_a_stopped_run_goes_on_to_the_same_results(tmp_path):
    dataset, found = halves(6)
    whole = tmp_path / "whole"
    parts = tmp_path / "parts"
    expected = run(dataset, Given(found), whole)

    with pytest.raises(KeyboardInterrupt):
        run(dataset, Given({**found, "image3": KeyboardInterrupt()}), parts)
    assert sorted(read_rows(parts)) == ["image0", "image1", "image2"]
    # A kill may leave half a line.
    with (parts / FILE).open("a") as file:
        file.write('{"image": {"name": "image3", "err')
    again = Given(found)
    assert unhurried(run(dataset, again, parts)) == unhurried(expected)
    assert again.asked == ["image3", "image4", "image5"]
    done = Given({})
    assert unhurried(run(dataset, done, parts)) == unhurried(expected)
    assert done.asked == []


def test_more_images_go_on_where_fewer_ended(tmp_path):
    dataset, found = halves(5)
    dataset.select(2, None)
    run(dataset, Given(found), tmp_path)
    dataset, _ = halves(5)
    more = Given(found)
    assert len(run(dataset, more, tmp_path).scored) == 5
    assert more.asked == ["image2", "image3", "image4"]


def test_failed_images_are_tried_again(tmp_path):
    dataset, found = halves(3)
    run(dataset, Given({**found, "image1": MemoryError()}), tmp_path)
    again = Given(found)
    results = run(dataset, again, tmp_path)
    assert again.asked == ["image1"]
    assert len(results.scored) == 3


def test_rows_of_other_settings_are_never_mixed_in(tmp_path):
    dataset, found = halves(2)
    run(dataset, Given(found), tmp_path, settings={"files": "a"})
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(UsageError, match=r"other settings \(files\).*--overwrite"):
        run(dataset, Given(found), tmp_path, settings={"files": "b"})
    assert (tmp_path / FILE).read_bytes() == before
    anew = Given(found)
    run(dataset, anew, tmp_path, settings={"files": "b"}, restart=True)
    assert anew.asked == ["image0", "image1"]
    (tmp_path / FILE).write_text("something else\n")
    with pytest.raises(UsageError, match=r"other settings;"):
        run(dataset, Given(found), tmp_path)


def test_a_changed_truth_is_scored_anew(tmp_path):
    """Its image alone; others, and those that aren't asked for this time, are kept."""
    out = tmp_path / "out"
    paths = {f"image{i}": tmp_path / f"{i}.png" for i in range(3)}
    for path in paths.values():
        path.write_text("truth")

    def start(limit=None):
        dataset, found = halves(3)
        dataset.entries = tuple(Entry(name, None, path) for name, path in paths.items())
        dataset.select(limit, None)
        predictor = Given(found)
        run(dataset, predictor, out)
        return predictor.asked

    assert start() == ["image0", "image1", "image2"]
    assert start() == []
    paths["image1"].write_text("another truth")
    assert start(1) == []
    assert start() == ["image1"]
    assert start() == []
    os.utime(paths["image2"], ns=(1, 1))
    assert start() == ["image2"]


@pytest.mark.parametrize(
    "classes", [("dog", "bird"), ("cat", "dog"), (ClassName("dog", ("hound",)), "cat")]
)
def test_rows_of_other_classes_are_never_mixed_in(classes, tmp_path):
    dataset, found = halves(2)
    run(dataset, Given(found), tmp_path)
    with pytest.raises(UsageError, match=r"other settings \(classes\)"):
        run(Objects(dataset.truths, classes), Given(found), tmp_path)
    with pytest.raises(UsageError, match=r"other settings \(classes.*\)"):
        run(Objects(dataset.truths, ("dog", "cat"), 0), Given(found), tmp_path)


def test_a_line_cut_inside_a_character_is_dropped(tmp_path):
    dataset, found = halves(3)
    found["image2"] = dataclasses.replace(found["image2"], labels=["dög", "cat"])
    run(dataset, Given(found), tmp_path)
    content = (tmp_path / FILE).read_bytes()
    cut = content.rindex("ö".encode()) + 1
    (tmp_path / FILE).write_bytes(content[:cut])
    again = Given(found)
    run(dataset, again, tmp_path)
    assert again.asked == ["image2"]
    assert read_rows(tmp_path)["image2"].labels == ("dög", "cat")


def test_a_row_with_a_score_that_is_no_number_can_be_read(tmp_path):
    dataset, found = halves(2)
    found["image1"] = dataclasses.replace(found["image1"], scores=np.array([np.nan, 0.5]))
    run(dataset, Given(found), tmp_path)
    again = Given(found)
    run(dataset, again, tmp_path)
    assert again.asked == []
    first, second = read_rows(tmp_path)["image1"].masks.scores
    assert math.isnan(first) and second == 0.5


BACK = ("background", "dog", "cat")


def test_the_truth_with_a_background_scores_100_when_labels_are_matched(tmp_path):
    """Pixels of no segment are the background."""
    truths = {"a": np.array([[0, 0, 1, 1]]), "b": np.array([[2, 0, 0, -1]])}
    dataset = Objects(truths, BACK, 0)
    found = values(run(dataset, Given({s.name: of_truth(s) for s in dataset}), tmp_path))
    matched = {
        name: value for name, value in found.items() if name.startswith(("cluster_", "image_"))
    }
    assert len(matched) == 12
    assert matched == pytest.approx(dict.fromkeys(matched, 100))


def test_no_name_is_no_distinct_label(tmp_path):
    found = prediction(np.array([[0, 1, 2, 3]]), ["", "unnamed", "dog", "dog"])
    results = run(Maps({"a": np.zeros((1, 4))}, BACK), Given({"a": found}), tmp_path)
    assert values(results)["distinct_labels"] == 1


def test_labels_left_over_are_background_where_there_is_one(tmp_path):
    truths = {"a": np.array([[0, 0, 0, 1, 1, 2, 2]])}
    found = prediction(np.array([[0, 0, 1, 2, 2, 3, -1]]), ["sky", "road", "dog", "cat"])
    results = run(Objects(truths, BACK, 0), Given({"a": found}), tmp_path)
    # Sky is the background, the road is left over; half of the cat is in no segment.
    matched = values(results)
    assert matched["cluster_accuracy/Hungarian on pixels"] == pytest.approx(100 * 6 / 7)
    assert matched["cluster_miou/Hungarian on pixels"] == pytest.approx(
        100 * (3 / 4 + 1 + 1 / 2) / 3
    )


def test_the_order_of_images_changes_no_number(tmp_path):
    dataset, found = halves(5)
    turned, _ = halves(5)
    turned.entries = turned.entries[::-1]
    one = values(run(dataset, Given(found), tmp_path / "a"))
    other = values(run(turned, Given(found), tmp_path / "b"))
    assert one.keys() == other.keys()
    assert one == pytest.approx(other)


def test_recall_image_by_image_is_cocos_of_all_images(tmp_path):
    """AR@100 is a ratio of sums over images, so that it can have an interval."""
    rng = np.random.default_rng(1)
    truths, found, together = {}, {}, ClassAgnostic()
    for i in range(5):
        truth = rng.integers(3, size=(2, 2)).repeat(4, 0).repeat(4, 1)
        moved = np.roll(truth, int(rng.integers(3)), axis=1)
        truths[f"{i}"] = truth
        found[f"{i}"] = prediction(moved, ["dog", "cat", "road"])
        masks = [code for code in encode(moved, 3) if codes.area(code)]
        regions = [code for code in encode(truth, 3) if codes.area(code)]
        together.add(masks, np.linspace(0.9, 0.1, 3)[np.unique(moved)], regions)
    results = values(run(Maps(truths, ("dog", "cat", "road")), Given(found), tmp_path))
    expected = together.scores()
    for n in (1, 10, 100):
        assert results[f"ar{n}"] == pytest.approx(100 * expected[f"AR{n}"])
    assert results["ap"] == pytest.approx(100 * expected["AP"])
    assert 0 < expected["AR1"] < expected["AR100"] < 1


def test_more_labels_than_classes(tmp_path):
    """One to one leaves labels out; VOC's rule gives each the class that it covers best."""
    truth = np.array([[0] * 6 + [1] * 4])
    found = prediction(np.array([[0, 0, 0, 0, 1, 1, 1, 2, 2, 2]]), ["a", "b", "c"])
    results = values(run(Maps({"a": truth}, ("dog", "cat")), Given({"a": found}), tmp_path))
    # a: 4 of the dog; b: 2 and 1, IoU 2/7 and 1/6; c: 3 of the cat.
    assert results["cluster_accuracy/Hungarian on IoU"] == pytest.approx(70)
    assert results["cluster_accuracy/VOC's over-clustering"] == pytest.approx(90)
    assert results["cluster_miou/VOC's over-clustering"] == pytest.approx(100 * (6 / 7 + 3 / 4) / 2)
    # b's one pixel of a third class is all of it: more IoU than 2 of the dog's 6.
    truth[0, 6] = 2
    results = values(
        run(Maps({"a": truth}, ("dog", "cat", "cow")), Given({"a": found}), tmp_path / "b")
    )
    one_to_one = results["cluster_accuracy/Hungarian on IoU"]
    assert results["cluster_accuracy/VOC's over-clustering"] == one_to_one == pytest.approx(80)
    assert results["cluster_accuracy/many-to-one"] == pytest.approx(90)


def test_sums_of_the_images_give_the_summary(tmp_path):
    """What compare draws from is what the table shows."""
    dataset, found = halves(5)
    run(dataset, Given(found), tmp_path).save(tmp_path / "results.json")
    results = Results.load(tmp_path / "results.json")
    for value in results.summary:
        if not math.isnan(value.low):
            interval = of_ratio(*results.image_sums(value.key))
            assert (interval.value, interval.low) == pytest.approx((value.value, value.low))


def test_confusions_and_classes(tmp_path):
    dataset = Maps({"a": np.array([[0, 0, 0, 1]]), "b": np.array([[0, -1, 1, 1]])}, ("dog", "cat"))
    whole = prediction(np.zeros((1, 4)), ["wolf"])
    results = run(dataset, Given({"a": whole, "b": whole}), tmp_path)
    found = [(c.true, c.label, c.pixels, c.segments) for c in results.confusions]
    assert found == [("dog", "wolf", 4, 1), ("cat", "wolf", 3, 1)]
    assert [(row.name, row.pixels) for row in results.classes] == [("dog", 4), ("cat", 3)]
    assert results.classes[0].values["cluster_miou/Hungarian on pixels"] == pytest.approx(400 / 7)
    # The label is one cluster in both images, matched to the dog; image by image it would be the
    # dog in one and the cat in the other.
    found = values(results)
    assert found["cluster_accuracy/Hungarian on pixels"] == pytest.approx(400 / 7)
    assert found["image_accuracy/left over: missed"] == pytest.approx(500 / 7)


def test_a_failed_device_ends_the_run_and_keeps_its_rows(tmp_path):
    dataset, found = halves(4)
    lost = {**found, "image2": DeviceError("cuda:0", "unspecified launch failure")}
    predictor = Given(lost)
    with pytest.raises(DeviceError, match="image2: the device cuda:0 has failed"):
        run(dataset, predictor, tmp_path)
    assert predictor.asked == ["image0", "image1", "image2"]
    assert set(read_rows(tmp_path)) == {"image0", "image1"}  # image2 is to be tried again


def test_rows_hold_what_pictures_need(tmp_path):
    dataset, found = halves(2)
    run(dataset, Given(found), tmp_path)
    row = read_rows(tmp_path)["image1"]
    assert np.array_equal(segment_map(row.masks), found["image1"].label_map)
    result, truth = pictures(dataset, tmp_path)("image1")
    assert result.size == truth.size
    header = json.loads((tmp_path / FILE).read_text().splitlines()[0])
    assert header["settings"]["dataset"] == "maps"
