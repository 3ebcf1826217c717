"""Numbers of small scenes, calculated by hand."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as codes

from zeroguide.evaluate.datasets import ClassName
from zeroguide.evaluate.metrics.class_agnostic import ClassAgnostic, encode
from zeroguide.evaluate.metrics.lac import same_text
from zeroguide.evaluate.scoring.image import Classes, score
from zeroguide.evaluate.scoring.masks import add_masks
from zeroguide.evaluate.scoring.protocols import Available, functions, impossible
from zeroguide.evaluate.scoring.results import Source

from .maps import Given, Maps, Objects, Words, of_truth, prediction, run, values

HALVES = np.array([[0, 0, 1, 1]] * 2)  # dog | cat
ONE = np.zeros((2, 4), int)


def numbers(truth, label_map, labels, tmp_path, classes=("dog", "cat"), background=None, **more):
    """The summary of one image."""
    dataset = Objects({"image": np.asarray(truth)}, classes, background)
    given = Given({"image": prediction(np.asarray(label_map), labels)})
    return values(run(dataset, given, tmp_path, **more))


def check(found, expected):
    got = {name: found[name] for name in expected}
    assert got == pytest.approx(expected, nan_ok=True)


def test_one_label_for_everything(tmp_path):
    found = numbers(HALVES, ONE, ["dog"], tmp_path)
    # The one segment has IoU 1/2 with each half; the dog is found up to t = 0.50, which are 51 of
    # the 101 thresholds of AR and one of the ten of AR@100. IoU 1/2 is no match for PQ.
    check(
        found,
        {
            "iou_tt/union, all names": 25,
            "iou_tt/argmax, own names": 25,
            "recall50_tt/all names": 50,
            "ar_tt/all names": 100 * 51 / 202,
            "ar_released_tt/all names": 100 * 51 / 202,
            "miou/TT": 25,
            "accuracy/TT": 50,
            "soft_iou/TT": 25,
            "s_iou/TT": 25,
            "mcmr50/TT": 50,
            "lac_miou/exact": 25,
            "lac_accuracy/meronym": 50,
            "cluster_miou/Hungarian on pixels": 25,
            "cluster_miou/Hungarian on IoU": 25,
            "cluster_accuracy/many-to-one": 50,
            "image_miou/left over: missed": 25,
            "image_accuracy/released code": 50,
            "ar1": 5,
            "ar10": 5,
            "ar100": 5,
            "ap": 100 * 51 / 101 / 10,
            "best_overlap": 50,
            "mask_pq": 0,
            "pq/TT": 0,
            "coverage": 100,
            "segments": 1,
            "distinct_labels": 1,
        },
    )


def test_shifted_masks(tmp_path):
    found = numbers(HALVES, [[0, 0, 0, 1]] * 2, ["dog", "cat"], tmp_path)
    # Dog 4 of 6 pixels, cat 2 of 4: 67 and 51 of AR's thresholds, 4 and 1 of AR@100's.
    check(
        found,
        {
            "iou_tt/union, all names": 100 * (4 / 6 + 1 / 2) / 2,
            "ar_tt/all names": 100 * (67 + 51) / 202,
            "recall50_tt/own names": 100,
            "miou/TT": 100 * (4 / 6 + 1 / 2) / 2,
            "accuracy/TT": 75,
            "mcmr50/TT": 0,
            "image_miou/left over: missed": 100 * (4 / 6 + 1 / 2) / 2,
            "ar1": 20,  # the dog alone
            "ar10": 25,
            "ar100": 25,
            "best_overlap": 100 * (4 / 6 + 1 / 2) / 2,
            "mask_pq": 100 * (4 / 6) / 2,
            "pq/TT": 100 * (4 / 6) / 2,
            "sq/TT": 100 * (4 / 6) / 2,
            "rq/TT": 50,
        },
    )


def test_two_segments_of_one_class(tmp_path):
    """The union of both halves of the dog, or the larger one alone."""
    truth = np.zeros((1, 4), int)
    found = numbers(truth, [[0, 0, 0, 1]], ["dog", "dog"], tmp_path)
    check(
        found,
        {
            "iou_tt/union, all names": 100,
            "iou_tt/argmax, all names": 75,
            "ar_tt/all names": 100 * 76 / 101,
            "mask_pq": 100 * 0.75 / 1.5,
            # As things two segments are two dogs, one of them wrong.
            "pq/TT": 100 * 0.75 / 1.5,
        },
    )


def test_stuff_is_one_segment_whatever_its_parts(tmp_path):
    grass = [ClassName("grass", kind="stuff"), ClassName("dog", kind="thing")]
    found = numbers(np.zeros((1, 4)), [[0, 0, 1, 1]], ["grass", "grass"], tmp_path, grass)
    check(found, {"pq/TT": 100, "mask_pq": 0})


def test_what_is_only_predicted_counts_in_iou_and_in_the_released_recall(tmp_path):
    found = numbers(np.zeros((1, 4)), [[0, 0, 1, 1]], ["dog", "cat"], tmp_path)
    check(
        found,
        {
            "iou_tt/union, all names": 25,
            "iou_tt/union, own names": 50,
            "ar_tt/all names": 100 * 51 / 101,
            "ar_released_tt/all names": 100 * (51 + 1) / 202,  # the cat is found at t = 0
            "miou/TT": 25,
        },
    )


class Embedding(Given):
    """Texts' embeddings are those of the encoder."""

    def class_embeddings(self, texts):
        return Words().encode(texts)


def test_clip_scores_are_plain_numbers(tmp_path):
    """A segment whose embedding is its label's, which is the true name: the top of both ranges."""
    texts = Words().encode(["dog", "cat"])
    found = dataclasses.replace(
        prediction(HALVES, ["dog", "cat"]), embeddings=texts, text_embeddings=texts
    )
    dataset, source = Objects({"image": HALVES}, ("dog", "cat")), Source("pipeline", "true-masks")
    results = run(
        dataset, Embedding({"image": found}), tmp_path, protocols=["naming"], source=source
    )
    top = 2 * 2.5 * 1 / (2.5 + 1)
    check(values(results), {"clip_score": 2.5, "ref_clip_score": top, "name_top1": 100})


class Near(Words):
    """ "black dog" is like "dog" with a cosine of 0.8, "thing" like nothing."""

    def encode(self, texts):
        angle = {"dog": (1, 0, 0), "black dog": (0.8, 0.6, 0), "cat": (0, 0, 1)}
        return np.array([angle.get(text, (0, 1, 0)) for text in texts], dtype=np.float32)


def test_a_label_that_is_only_like_the_class(tmp_path):
    labels = ["black dog", "cat"]
    found = numbers(HALVES, HALVES, labels, tmp_path, encoder=Near())
    check(
        found,
        {
            "iou_tt/union, all names": 100,
            "miou/TT": 100,
            "soft_iou/TT": 90,  # dog 0.8, cat 1
            "s_iou/TT": 75,  # dog: one of two words
            "lac_miou/exact": 50,
        },
    )


def test_synonyms_are_another_variant_and_a_step_of_the_ladder(tmp_path):
    classes = [ClassName("dog", ("hound",)), ClassName("cat")]
    found = numbers(HALVES, HALVES, ["hound", "cat"], tmp_path, classes)
    check(
        found,
        {"miou/TT": 50, "miou/TT, synonyms": 100, "lac_miou/exact": 50, "lac_miou/synonym": 100},
    )


BACK = ("background", "dog", "cat")


def test_background_forgives_classes_that_are_not_in_the_image(tmp_path):
    truth = [[1, 1, 0, 0]]
    found = numbers(truth, [[0, 0, 1, 1]], ["dog", "cat"], tmp_path, BACK, 0)
    # IoU_TT: the cat on the background is ignored. mIoU of 21 classes: it is wrong, and so is the
    # background that nobody predicted.
    check(found, {"iou_tt/union, all names": 100, "miou/TT": 100 / 3, "accuracy/TT": 50})


def test_what_has_no_class_is_background(tmp_path):
    for number, labels in enumerate((["dog", "xylophone"], ["dog", ""], ["dog", "background"])):
        folder = tmp_path / str(number)
        folder.mkdir()
        found = numbers([[1, 1, 0, 0]], [[0, 0, 1, 1]], labels, folder, BACK, 0)
        check(
            found,
            {
                "iou_tt/union, all names": 100,
                "miou/TT": 100,
                "accuracy/TT": 100,
                "mcmr50/TT": 0,
                "pq/TT": 100,
            },
        )


def test_true_segments_without_the_background_match_their_image(tmp_path):
    found = numbers([[1, 1, 0, 2]], [[0, 0, -1, 1]], ["dog", "cat"], tmp_path, BACK, 0)
    for variant in ("left over: missed", "released code"):
        check(found, {f"image_miou/{variant}": 100, f"image_accuracy/{variant}": 100})


def test_background_counts_in_a_regions_overlap(tmp_path):
    """A segment over dog and background fits the dog half, though the background is no region."""
    found = numbers([[1, 1, 0, 0]], [[0, 0, 0, 0]], ["dog"], tmp_path, BACK, 0)
    check(found, {"best_overlap": 50, "ar100": 10, "mcmr50/TT": 0, "iou_tt/union, all names": 50})


def test_nothing_predicted(tmp_path):
    found = numbers(HALVES, np.full((2, 4), -1), [], tmp_path)
    check(
        found,
        {
            "iou_tt/union, all names": 0,
            "ar_tt/all names": 0,
            "miou/TT": 0,
            "mcmr50/TT": float("nan"),
            "ar100": 0,
            "ap": 0,
            "best_overlap": 0,
            "boundary_iou": 0,
            "coverage": 0,
            "segments": 0,
        },
    )


def test_segments_without_a_name_label_nothing(tmp_path):
    found = numbers(np.zeros((1, 4)), [[0, 1, 1, 2]], ["dog", "", "unnamed"], tmp_path)
    check(found, {"coverage": 25, "segments": 3})


class Unknown(Objects):
    """The second region's class isn't known."""

    def read_annotations(self, entry):
        (regions,) = super().read_annotations(entry)
        label_map = np.array([[0, 0, 1, 1]], np.int32)
        return (
            dataclasses.replace(
                regions,
                label_map=label_map,
                classes=np.array([0, -1]),
                crowd=np.array([False, False]),
            ),
        )


def test_a_region_without_a_class_is_left_out(tmp_path):
    dataset = Unknown({"image": np.array([[0, 0, -1, -1]])}, ("dog", "cat"))
    given = Given({"image": prediction(np.array([[0, 0, 1, 1]]), ["dog", "xylophone"])})
    check(values(run(dataset, given, tmp_path)), {"mcmr50/TT": 0, "pq/TT": 100})
    given = Given({"image": prediction(np.array([[0, 0, 1, 1]]), ["cat", "cat"])})
    check(values(run(dataset, given, tmp_path / "b")), {"mcmr50/TT": 100, "pq/TT": 0})


def test_masks_that_overlap_go_to_recall_without_their_void(tmp_path):
    """The dog's mask covers all, void too, and the cat lies on it."""
    whole, right = (
        codes.encode(np.asfortranarray(mask, dtype=np.uint8))
        for mask in ([[1, 1, 1, 1]], [[0, 1, 0, 0]])
    )
    truth = np.array([[0, 0, -1, -1]])
    found = prediction(np.array([[0, 1, 0, 0]]), ["dog", "cat"])
    flat = values(run(Maps({"image": truth}, NAMES), Given({"image": found}), tmp_path / "flat"))
    found = dataclasses.replace(found, masks=[whole, right])
    deep = values(run(Maps({"image": truth}, NAMES), Given({"image": found}), tmp_path / "deep"))
    check(flat, {"ar100": 10, "accuracy/TT": 50})
    check(deep, {"ar100": 100, "ap": 100, "accuracy/TT": 50})


def test_foreground(tmp_path):
    truth = np.zeros((4, 6), int)
    truth[1:3, 1:5] = 1  # 8 pixels
    found = np.zeros((4, 6), int)
    found[1:3, 1:4] = 1  # 6 of them; the other segment has the border
    saliency = Maps({"image": truth}, ("background", "object"), 0)
    given = Given({"image": prediction(found, ["sky", "bird"])})
    results = run(saliency, given, tmp_path)
    f = 1.3 * 1 * 0.75 / (0.3 * 1 + 0.75)
    check(values(results), {"foreground_iou": 75, "corloc": 100, "max_f": 100 * f})


def test_foreground_of_many_classes(tmp_path):
    """As of Pascal VOC: whatever isn't the background, in whichever class."""
    truth = np.array([[0, 0, 1, 1, 2, -1]] * 2)
    found = np.array([[0, 0, 0, 1, 1, 1]] * 2)
    results = numbers(truth, found, ["background", "tree"], tmp_path, BACK, 0)
    # 4 of 6 pixels found, nothing else; boxes are those of objects, and none is the whole.
    f = 1.3 * 1 * (4 / 6) / (0.3 * 1 + 4 / 6)
    check(results, {"foreground_iou": 100 * 4 / 6, "max_f": 100 * f, "corloc": 0})


def test_no_foreground_without_a_background(tmp_path):
    found = numbers(HALVES, HALVES, ["dog", "cat"], tmp_path)
    assert not any(name in found for name in ("foreground_iou", "max_f", "corloc"))


def test_the_ladder_of_true_masks_names(tmp_path):
    """Shares of regions, whatever their size; a listed synonym is one."""
    truth = np.array([[0, 0, 0, 1, 2, 2]])
    classes = [ClassName("dog", ("hound",)), ClassName("cat"), ClassName("road")]
    found = prediction(truth, ["hound", "cat", "xylophone"])
    dataset, source = Objects({"image": truth}, classes), Source("pipeline", "true-masks")
    results = run(dataset, Given({"image": found}), tmp_path, protocols=["naming"], source=source)
    steps = {"exact": 1 / 3, "synonym": 2 / 3, "hyponym": 2 / 3, "meronym": 2 / 3}
    check(values(results), {f"name_lac/{name}": 100 * share for name, share in steps.items()})


def test_names_need_one_judge():
    nothing = Available(False, False, False, "true-masks")
    dataset = Objects({}, ("dog", "cat"))
    assert "no embeddings and no WordNet" in impossible(dataset, nothing)["naming"]
    for one in ("encoder", "embeddings", "relation"):
        assert "naming" not in impossible(dataset, dataclasses.replace(nothing, **{one: True}))


def test_segments_without_clusters_have_no_matching_for_the_data_set():
    have = Available(False, False, False, "segments", names=False, clusters=False)
    reasons = impossible(Objects({}, BACK, 0), have)
    assert "zeroguide fit" in reasons["unsupervised"]
    assert reasons["tt"] == "the predictions have no names"
    assert not {"per-image", "class-agnostic", "foreground", "cost"} & set(reasons)


def test_random_labels(tmp_path):
    """Accuracy is the share of lucky draws, IoU of a class that of a confusion matrix."""
    names = ["a", "b", "c", "d"]
    rng = np.random.default_rng(0)
    true, drawn = np.arange(60) % 4, rng.integers(4, size=60)
    truths = {f"{i:02d}": np.full((2, 2), c) for i, c in enumerate(true)}
    predictions = {f"{i:02d}": prediction(ONE[:, :2], [names[c]]) for i, c in enumerate(drawn)}
    found = values(run(Maps(truths, names), Given(predictions), tmp_path))
    both = np.array([((true == c) & (drawn == c)).sum() for c in range(4)])
    either = np.array([((true == c) | (drawn == c)).sum() for c in range(4)])
    check(
        found,
        {
            "accuracy/TT": 100 * (true == drawn).mean(),
            "miou/TT": 100 * (both / either).mean(),
            "iou_tt/union, all names": 100 * (true == drawn).mean(),
            "image_miou/left over: missed": 100,
            "distinct_labels": 4,
        },
    )


# Hypothesis

NAMES = ("dog", "cat", "road")
LABELS = (*NAMES, "xylophone", "")
LOOSE = ("argmax", "image_miou", "released code", "boundary_iou")
"""Numbers in which equally good segments are told apart by their order."""


@st.composite
def scenes(draw):
    """Truth, segments 0..3 or none, and their labels."""
    shape = draw(st.tuples(st.integers(2, 4), st.integers(2, 4)))
    truth = draw(arrays(np.int32, shape, elements=st.integers(-1, 2)))
    found = draw(arrays(np.int32, shape, elements=st.integers(-1, 3)))
    labels = draw(st.lists(st.sampled_from(LABELS), min_size=4, max_size=4))
    return truth, found, labels


def row_numbers(truth, predicted):
    """An image's own numbers by key, sums as they are."""
    dataset = Objects({"image": truth}, NAMES)
    classes = Classes(dataset, Words(), None, same_text)
    families = ("tt", "semantic", "lac", "per-image", "class-agnostic", "panoptic", "cost")
    row, _ = score(dataset[0], predicted, classes, functions(families, classes))
    return row.image.values | {name: (s.index, s.num, s.den) for name, s in row.image.sums.items()}


def assert_same(a, b, loose=()):
    assert a.keys() == b.keys()
    for name, value in a.items():
        if not any(word in name for word in loose):
            for x, y in zip(np.atleast_1d(value), np.atleast_1d(b[name]), strict=True):
                np.testing.assert_allclose(x, y, err_msg=name)


@settings(deadline=None, max_examples=40)
@given(scenes(), st.permutations(range(4)))
def test_the_order_of_segments_changes_nothing(scene, order):
    truth, found, labels = scene
    scores = np.linspace(0.9, 0.6, 4)
    one = prediction(found, labels)
    new_id = np.append(np.argsort(order), -1).astype(np.int32)
    other = type(one)(new_id[found], [labels[i] for i in order], scores[list(order)])
    one = type(one)(found, labels, scores)
    assert_same(row_numbers(truth, one), row_numbers(truth, other), LOOSE)


@settings(deadline=None, max_examples=40)
@given(scenes(), st.booleans())
def test_an_images_recall_is_that_of_cocos_evaluation(scene, as_masks):
    truth, found, labels = scene
    predicted = prediction(found, labels)
    if as_masks:
        predicted = dataclasses.replace(predicted, masks=encode(found, 4))
    dataset = Objects({"image": truth}, NAMES)
    classes = Classes(dataset, Words(), None, same_text)
    row, _ = score(dataset[0], predicted, classes, functions(["class-agnostic"], classes))
    alone = ClassAgnostic()
    add_masks(alone, row.masks)
    sums = row.image.sums.get("ar100")
    recall = sums.num[0] / sums.den[0] if sums else float("nan")
    assert recall == pytest.approx(alone.scores()["AR100"], nan_ok=True)


@settings(deadline=None, max_examples=40)
@given(scenes(), st.integers(-1, 3))
def test_void_never_counts(scene, instead):
    truth, found, labels = scene
    changed = np.where(truth == -1, instead, found).astype(np.int32)
    before = row_numbers(truth, prediction(found, labels))
    after = row_numbers(truth, prediction(changed, labels))
    # COCO's panoptic rule alone forgives a wrong segment that lies mostly on void.
    for name in ("pq/TT", "rq/TT", "mask_pq"):
        before.pop(name), after.pop(name)
    assert_same(before, after)


@settings(deadline=None, max_examples=40)
@given(scenes())
def test_shares_are_shares(scene):
    for name, value in row_numbers(scene[0], prediction(scene[1], scene[2])).items():
        if isinstance(value, tuple):
            _, above, below = value
            assert all(0 <= a <= b + 1e-9 for a, b in zip(above, below, strict=True)), name
        elif name != "segments":
            assert np.isnan(value) or -1e-9 <= value <= 100 + 1e-9, name


@settings(deadline=None, max_examples=30)
@given(arrays(np.int32, (3, 4), elements=st.integers(-1, 2)))
def test_the_truth_is_right(truth):
    dataset = Objects({"image": truth}, NAMES)
    found = row_numbers(truth, of_truth(dataset[0]))
    for name, value in found.items():
        if isinstance(value, tuple):
            if name == "ar1":  # one mask can't be all regions
                assert sum(value[1]) <= sum(value[2])
            elif "mcmr" not in name:
                np.testing.assert_allclose(value[1], value[2], err_msg=name)
            else:
                assert sum(value[1]) == 0
        elif name != "segments":
            assert np.isnan(value) or value == pytest.approx(100), name
