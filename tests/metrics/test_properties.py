"""What holds for all metrics: truth scores 100 %, void never counts, ids and order don't matter."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroguide.evaluate.metrics.assignment import assign, keep_best
from zeroguide.evaluate.metrics.bootstrap import of_ratio
from zeroguide.evaluate.metrics.boundary import boundary_counts, boundary_iou
from zeroguide.evaluate.metrics.open_vocabulary import class_ious, image_iou, misnamed, soft_ious
from zeroguide.evaluate.metrics.overlap import intersections
from zeroguide.evaluate.metrics.panoptic import panoptic_counts
from zeroguide.evaluate.metrics.recall import best_overlap, segment_recall
from zeroguide.evaluate.metrics.semantic import class_counts, nan_mean
from zeroguide.evaluate.metrics.unsupervised import (
    hungarian_counts,
    hungarian_iou,
    image_matching,
    majority_vote,
)
from zeroguide.playroom import render

from .scenes import CLASSES, SEGMENTS, photos, scenes, similarities, untimed

SHARED = Path(__file__).resolve().parents[3] / "shared"


def score(segments, truth, similarity, n_classes):
    """Every metric of one image, with the segments' classes chosen by similarity."""
    overlap = intersections(segments, truth, len(similarity), n_classes)
    classes = assign(similarity, threshold=0.3)
    best = keep_best(classes, similarity, overlap.areas)
    recall = segment_recall(overlap, classes)
    counts = class_counts(overlap, classes)
    named = misnamed(overlap, classes, np.arange(n_classes))
    border = boundary_iou(segments, truth, len(similarity), n_classes)
    matchings = (hungarian_counts, hungarian_iou, majority_vote, image_matching)
    return {
        "IoU": image_iou(class_ious(overlap, classes)),
        "IoU, background": image_iou(class_ious(overlap, classes, background=0)),
        "IoU, argmax": image_iou(class_ious(overlap, best)),
        "soft IoU": image_iou(soft_ious(overlap, classes, similarity)),
        "AR": recall.average[0],
        "AR, predicted too": recall.average[1],
        "best overlap": best_overlap(overlap),
        "mIoU": counts.miou,
        "accuracy": counts.accuracy,
        "coverage": overlap.coverage,
        "named": named.named / named.localised if named.localised else np.nan,
        "boundary F": boundary_counts(segments, [truth]).f,
        "boundary IoU": nan_mean(border.max(axis=0)[np.unique(truth[truth >= 0])]),
        **{m.__name__: class_counts(overlap, m(overlap)).accuracy for m in matchings},
    }


@untimed
@given(scenes(), similarities())
def test_all_stay_within_0_and_1(scene, similarity):
    for name, value in score(*scene, similarity, CLASSES).items():
        assert np.isnan(value) or 0 <= value <= 1 + 1e-12, name


@untimed
@given(scenes(), similarities(), st.integers(0, 2**32 - 1))
def test_what_is_predicted_on_void_changes_nothing(scene, similarity, seed):
    segments, truth = scene
    noise = np.random.default_rng(seed).integers(-1, SEGMENTS, size=truth.shape).astype(np.int32)
    other = np.where(truth == -1, noise, segments)
    before, after = (score(s, truth, similarity, CLASSES) for s in (segments, other))
    assert before == pytest.approx(after, nan_ok=True)


@untimed
@given(
    scenes(),
    st.integers(0, 2**32 - 1),
    st.permutations(range(SEGMENTS)),
    st.permutations(range(1, CLASSES)),
)
def test_ids_do_not_matter(scene, seed, order, class_order):
    segments, truth = scene
    # Without ties, which no rule could break alike under all ids.
    similarity = np.random.default_rng(seed).random((SEGMENTS, CLASSES))
    order, class_order = np.array(order), np.array([0, *class_order])
    other = np.empty_like(similarity)
    other[np.ix_(order, class_order)] = similarity
    before = score(segments, truth, similarity, CLASSES)
    renumbered = np.append(order, -1)[segments], np.append(class_order, -1)[truth]
    after = score(*renumbered, other, CLASSES)
    # What is matched by IoU, or left over, isn't unique where two matchings are equally good.
    for name in ("hungarian_iou",):
        del before[name], after[name]
    assert before == pytest.approx(after, nan_ok=True)


@untimed
@given(st.lists(scenes(), min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_order_of_images_does_not_matter(images, random):
    classes = np.arange(SEGMENTS) % CLASSES

    def total(images):
        counts = [
            class_counts(intersections(*image, SEGMENTS, CLASSES), classes) for image in images
        ]
        return sum(counts[1:], start=counts[0]).miou

    shuffled = images.copy()
    random.shuffle(shuffled)
    assert total(shuffled) == pytest.approx(total(images), nan_ok=True)


def check_oracle(truth, regions, region_classes, n_classes, crowd=None):
    """Ground truth as its own prediction: all is perfect that can be."""
    present = np.unique(region_classes)
    similarity = np.eye(n_classes)
    for name, value in score(truth, truth, similarity, n_classes).items():
        assert value == pytest.approx(1), name
    overlap = intersections(regions, regions, len(region_classes), len(region_classes))
    quality = panoptic_counts(overlap, region_classes, region_classes, n_classes, crowd=crowd)
    seen = present if crowd is None else np.unique(region_classes[~crowd])
    assert quality.pq[seen] == pytest.approx(1)
    # Single regions with true names, as a segmenter makes them: their unions are the classes.
    parts = intersections(regions, truth, len(region_classes), n_classes)
    assert image_iou(class_ious(parts, region_classes)) == 1
    assert class_counts(parts, majority_vote(parts)).miou == 1
    assert misnamed(overlap, region_classes, region_classes).mcmr == 0
    return class_counts(parts, region_classes)


@pytest.mark.parametrize("index", range(3))
def test_truth_of_playroom_is_perfect(index):
    scene = render(0, index, size=112)
    truth = np.asarray(scene.label_map).astype(np.int32)
    present = np.unique(truth[truth >= 0])
    n_classes = int(present.max()) + 2
    regions = np.searchsorted(present, truth).astype(np.int32)
    check_oracle(truth, regions, present, n_classes)


@pytest.mark.skipif(not SHARED.is_dir(), reason="no reference photographs")
def test_truth_of_photographs_is_perfect():
    images, n_classes = photos(SHARED / "photos", 8)
    counts = [
        check_oracle(photo.semantic, photo.regions, photo.classes, n_classes, photo.crowd)
        for photo in images
    ]
    interval = of_ratio(np.stack([c.tp for c in counts]), np.stack([c.union for c in counts]))
    assert (interval.value, interval.low, interval.high) == (1, 1, 1)


@pytest.mark.skipif(not SHARED.is_dir(), reason="no reference photographs")
def test_one_label_for_everything_scores_its_share():
    (photo,), n_classes = photos(SHARED / "photos", 1)
    truth = photo.semantic
    areas = np.bincount(truth[truth >= 0], minlength=n_classes)
    largest = int(areas.argmax())
    overlap = intersections(np.zeros_like(truth), truth, 1, n_classes)
    share = areas[largest] / areas.sum()
    n_present = (areas > 0).sum()
    assert image_iou(class_ious(overlap, np.array([largest]))) == pytest.approx(share / n_present)
    assert class_counts(overlap, np.array([largest])).accuracy == pytest.approx(share)
    absent = int(areas.argmin())
    assert image_iou(class_ious(overlap, np.array([absent]))) == 0
    recall = segment_recall(overlap, np.array([largest])).truth
    assert recall.sum() * n_present == pytest.approx(np.floor(100 * share) + 1)
    assert best_overlap(overlap) == pytest.approx((areas / areas.sum()).sum() / n_present)
    assert boundary_counts(np.zeros_like(truth), [truth]).f == 0


def test_shifted_masks_score_what_remains():
    truth = np.kron([[0, 1], [2, 3]], np.ones((50, 50))).astype(np.int32)
    segments = np.roll(truth, 10, axis=1)
    overlap = intersections(segments, truth, 4, 4)
    # every square keeps 40 of 50 columns and takes 10 of its neighbour's
    assert class_counts(overlap, np.arange(4)).iou == pytest.approx([40 / 60] * 4)
    assert segment_recall(overlap, np.arange(4)).average[0] == pytest.approx(67 / 101)
    quality = panoptic_counts(overlap, np.arange(4), np.arange(4), 4)
    assert quality.means() == pytest.approx((2 / 3, 2 / 3, 1))


def test_random_labels_score_what_chance_gives():
    rng = np.random.default_rng(0)
    truth = rng.integers(4, size=(200, 200))
    overlap = intersections(rng.integers(20, size=(200, 200)), truth, 20, 4)
    counts = class_counts(overlap, rng.permutation(np.arange(20) % 4))
    assert counts.accuracy == pytest.approx(1 / 4, abs=0.01)
    assert counts.iou == pytest.approx([1 / 7] * 4, abs=0.01)  # (1/16) / (1/4 + 1/4 - 1/16)
