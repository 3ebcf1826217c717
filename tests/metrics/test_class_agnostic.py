"""COCO's scores on real run-length codes, against a plain second implementation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as codes

from zeroguide.evaluate.metrics.class_agnostic import ClassAgnostic, average_recall, encode

from .scenes import SEGMENTS, photos, scenes, untimed

IOUS = np.arange(50, 100, 5) / 100


@untimed
@given(scenes())
def test_codes_are_pycocotools(scene):
    segments, truth = scene
    for void in (None, truth == -1):
        for i, code in enumerate(encode(segments, SEGMENTS, void=void)):
            mask = segments == i if void is None else (segments == i) & ~void
            assert code == codes.encode(np.asfortranarray(mask.astype(np.uint8)))


def plain_scores(images):
    """AP and AR@100 over IoU 0.5..0.95 from (masks, scores, truths) as arrays of bool."""
    precisions, recalls = [], []
    for threshold in IOUS:
        hits, n_true = [], sum(len(truths) for _, _, truths in images)
        for masks, scores, truths in images:
            free = list(range(len(truths)))
            for s in np.argsort(-np.array(scores), kind="stable")[:100]:
                fit = {t: (masks[s] & truths[t]).sum() / (masks[s] | truths[t]).sum() for t in free}
                best = max(fit, key=lambda t: (fit[t], t), default=None)  # COCO takes the last
                hit = best is not None and fit[best] >= threshold
                if hit:
                    free.remove(best)
                hits.append((scores[s], hit))
        hits.sort(key=lambda pair: -pair[0])
        right = np.cumsum([hit for _, hit in hits])
        recall, precision = right / n_true, right / np.arange(1, len(hits) + 1)
        precisions.append(
            np.mean([max(precision[recall >= r], default=0) for r in np.arange(101) / 100])
        )
        recalls.append(recall[-1])
    return np.mean(precisions), np.mean(recalls)


def moved(mask, by):
    return np.roll(mask, by, axis=1)


def test_agrees_with_a_plain_implementation():
    rng = np.random.default_rng(0)
    scorer, images = ClassAgnostic(), []
    for _ in range(6):
        truth = np.kron(rng.integers(4, size=(3, 4)), np.ones((10, 12))).astype(np.int32)
        truths = [truth == i for i in range(4) if (truth == i).any()]
        masks = [moved(m, int(rng.integers(4))) for m in truths] + [truth > 1]
        scores = rng.random(len(masks)).tolist()
        images.append((masks, scores, truths))
        scorer.add(
            *(
                [codes.encode(np.asfortranarray(m.astype(np.uint8))) for m in group]
                if isinstance(group[0], np.ndarray)
                else group
                for group in images[-1]
            )
        )
    found = scorer.scores()
    ap, ar = plain_scores(images)
    assert 0.2 < ap < 0.95
    assert found["AP"] == pytest.approx(ap)
    assert found["AR100"] == pytest.approx(ar)


@untimed
@given(
    st.lists(arrays(bool, (3, 4)), max_size=5),
    st.lists(arrays(bool, (3, 4)).filter(np.any), min_size=1, max_size=4),
    st.data(),
)
def test_an_images_recall_is_cocos(masks, truths, data):
    """Masks that overlap, equal scores, crowds, masks equally good."""
    masks = [mask for mask in masks if mask.any()]
    scores = data.draw(st.lists(st.sampled_from([0.2, 0.5, 0.8]), min_size=5, max_size=5))
    crowd = data.draw(arrays(bool, len(truths)))
    true, found = (
        [codes.encode(np.asfortranarray(m.astype(np.uint8))) for m in group]
        for group in (truths, masks)
    )
    scorer = ClassAgnostic()
    scorer.add(found, scores[: len(found)], true, crowd=crowd.tolist())
    expected = scorer.scores()["AR100"]
    asked = [code for code, is_crowd in zip(true, crowd, strict=True) if not is_crowd]
    ious = np.zeros((len(found), len(asked)))
    if found and asked:
        ious = codes.iou(found, asked, [0] * len(asked))
    recall = average_recall(ious, np.array(scores[: len(found)]))
    assert recall == pytest.approx(expected, nan_ok=True)


def test_an_images_recall_takes_a_hundred_masks():
    ious = np.zeros((101, 1))
    ious[100] = 1
    assert average_recall(ious, np.linspace(1, 0, 101)) == 0
    assert average_recall(ious, np.linspace(0, 1, 101)) == 1


def test_greedy_by_hand():
    # The better scored mask takes the second truth up to 0.7, which leaves nothing to the other:
    # at 0.5 and 0.55 the other has the first truth, above 0.7 the second.
    ious = np.array([[0.6, 0.7], [0.55, 0.9]])
    # t 0.50, 0.55: two; 0.60 to 0.70: one (0.7 counts); 0.75 to 0.90: one; 0.95: none
    assert average_recall(ious, np.array([0.9, 0.1])) == pytest.approx((2 * 2 + 3 + 4) / 20)


def test_true_masks_of_photographs_are_found(shared):
    scorer = ClassAgnostic()
    for photo in photos(shared / "photos", 6)[0]:
        masks = encode(photo.regions, len(photo.classes))
        scorer.add(masks, [1.0] * len(masks), masks, crowd=photo.crowd.tolist())
    scores = scorer.scores()
    assert scores["AP"] == pytest.approx(1) and scores["AR100"] == 1


def test_moved_square_by_hand():
    truth = np.zeros((40, 60), dtype=np.int32) - 1
    truth[10:30, 10:30] = 0
    scorer = ClassAgnostic()
    # moved by 4 of 20 columns: IoU 16 / 24 = 0.667, found at 0.5, 0.55, 0.6, 0.65
    scorer.add(encode(np.roll(truth, 4, axis=1), 1), [0.3], encode(truth, 1))
    scores = scorer.scores()
    assert scores["AR100"] == pytest.approx(0.4) and scores["AP"] == pytest.approx(0.4)
    assert scores["AP50"] == pytest.approx(1) and scores["AP75"] == 0
    assert scores["AR100 small"] == pytest.approx(0.4)
    assert np.isnan(scores["AR100 large"])


def test_masks_in_a_crowd_are_ignored():
    truth = np.zeros((20, 40), dtype=np.int32)
    truth[:, 10:] = 1
    people = truth.copy()
    people[:, 20:] = 2
    # else one of two is found, as the third: precision 1/3 for the first 51 of 101 recalls
    for crowd, expected in ((True, 1), (False, 51 / 101 / 3)):
        scorer = ClassAgnostic()
        # the crowd's parts, of IoU 1/3 and 2/3 with it, come before the mask that is right
        scorer.add(encode(people, 3), [0.1, 0.9, 0.8], encode(truth, 2), crowd=[False, crowd])
        assert scorer.scores()["AP75"] == pytest.approx(expected)


def test_nothing_predicted_or_nothing_true():
    truth = np.zeros((4, 4), dtype=np.int32)
    scorer = ClassAgnostic()
    scorer.add([], [], encode(truth, 1))
    assert scorer.scores()["AR100"] == 0
    scorer = ClassAgnostic()
    scorer.add(encode(truth, 1), [1.0], [])
    assert np.isnan(scorer.scores()["AR100"])
    with pytest.raises(ValueError, match="1 masks but 2 scores"):
        scorer.add(encode(truth, 1), [1.0, 2.0], [])
