"""results.json: what is written is what is read, and sums give the summary's numbers."""

import json
import math

import numpy as np
import pytest

from zeroguide.errors import ZeroguideError
from zeroguide.evaluate.metrics.bootstrap import of_ratio
from zeroguide.evaluate.scoring.results import (
    METRICS,
    PROTOCOLS,
    ClassRow,
    Confusion,
    Curve,
    DatasetInfo,
    ImageRow,
    Results,
    Source,
    Sums,
    key,
    make_value,
    split_key,
)

NAN = math.nan


def made() -> Results:
    images = (
        ImageRow(
            "a",
            seconds=0.5,
            n_segments=2,
            values={"iou_tt/union, all names": 40.0},
            sums={"miou/TT": Sums((0, 2), (1, 3), (2, 4))},
        ),
        ImageRow("b", error="broken"),
        ImageRow("c", values={"iou_tt/union, all names": NAN}, sums={"miou/TT": Sums((), (), ())}),
    )
    return Results(
        dataset=DatasetInfo("playroom", None, 3, 3),
        source=Source("pipeline", "full", {"name": "tiny", "seed": 0}),
        versions={"zeroguide": "0"},
        seed=0,
        device="cpu",
        sentence_encoder=None,
        seconds=1.5,
        peak_memory_mib=NAN,
        summary=(make_value("miou/TT", 62.5, NAN, NAN, 1),),
        classes=(ClassRow("dog", 7, {"miou/TT": 50.0}),),
        images=images,
        confusions=(Confusion("dog", "cat", 3, 1),),
        curves={"R": Curve((0.0, 1.0), (1.0, NAN))},
    )


def test_what_is_saved_is_what_is_loaded(tmp_path):
    results = made()
    results.save(tmp_path / "results.json")
    again = Results.load(tmp_path / "results.json")
    assert again.to_json() == results.to_json()
    assert again.images[0] == results.images[0]
    assert math.isnan(again.summary[0].low)


def test_nan_is_null_and_the_schema_comes_first():
    data = json.loads(made().to_json())
    assert next(iter(data)) == "schema"
    assert data["schema"] == "zeroguide-evaluation/1"
    assert data["peak_memory_mib"] is None
    assert data["curves"]["R"]["y"] == [1.0, None]
    assert data["images"][0]["sums"]["miou/TT"] == {"index": [0, 2], "num": [1, 3], "den": [2, 4]}


def test_sums_are_dense_in_the_metrics_unit():
    numerators, denominators = made().image_sums("miou/TT")
    assert numerators.tolist() == [[100, 0, 300], [0, 0, 0]]
    assert denominators.tolist() == [[2, 0, 4], [0, 0, 0]]
    # The class that never occurs is skipped: the mean of 50 % and 75 %.
    assert of_ratio(numerators, denominators).value == 62.5


def test_means_leave_out_what_has_no_value():
    numerators, denominators = made().image_sums("iou_tt/union, all names")
    assert numerators.tolist() == [[40], [0]]
    assert denominators.tolist() == [[1], [0]]


def test_sums_of_chosen_images_in_their_order():
    numerators, _ = made().image_sums("miou/TT", ["c", "a"])
    assert numerators.tolist() == [[0, 0, 0], [100, 0, 300]]
    with pytest.raises(KeyError):
        made().image_sums("miou/TT", ["b"])  # it failed
    with pytest.raises(KeyError):
        made().image_sums("ap")


def test_looking_a_value_up():
    assert made().value("miou/TT").value == 62.5
    with pytest.raises(KeyError):
        made().value("miou/ST")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(schema="other/1"), "schema"),
        (lambda d: d.pop("images"), "images"),
        (lambda d: d["summary"][0].update(protocol="st"), "st has no metric miou"),
        (lambda d: d["summary"][0].update(metric="mIoU"), "no metric mIoU"),
        (lambda d: d["images"][2].update(name="a"), "same name"),
        (lambda d: d["images"][0]["sums"]["miou/TT"].update(num=[1]), "differ in length"),
        (lambda d: d["images"][0]["sums"]["miou/TT"].update(index=[-1, 2]), "negative"),
    ],
)
def test_another_kind_of_file_is_one_sentence(change, words, tmp_path):
    data = json.loads(made().to_json())
    change(data)
    path = tmp_path / "x.json"
    path.write_text(json.dumps(data))
    with pytest.raises(ZeroguideError, match=words) as caught:
        Results.load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_missing_and_damaged_files(tmp_path):
    with pytest.raises(ZeroguideError, match="can't be read"):
        Results.load(tmp_path / "no.json")
    (tmp_path / "half.json").write_text(made().to_json()[:100])
    with pytest.raises(ZeroguideError, match=r"name its results\.json"):
        Results.load(tmp_path / "half.json")


def test_the_table_of_metrics_holds_together():
    assert {metric.protocol for metric in METRICS.values()} == set(PROTOCOLS)
    for metric in METRICS.values():
        for variant in metric.variants or ("",):
            assert split_key(key(metric.name, variant)) == (metric, variant)
    # Two metrics of one title would be told apart by nothing in a table of one protocol.
    titles = [(metric.protocol, metric.title) for metric in METRICS.values()]
    assert len(set(titles)) == len(titles)


def test_values_take_their_unit_from_the_table():
    value = make_value("mcmr50/TT", 0.25, 0.1, 0.5, 3, scale=100)
    assert (value.protocol, value.unit, value.higher_is_better) == ("semantic", "%", False)
    assert (value.value, value.low, value.high) == (25, 10, 50)
    assert np.isclose(make_value("seconds", 0.25, 0, 1, 3).value, 0.25)
