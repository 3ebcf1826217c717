"""Our pipeline as a predictor, and the truth in place of its stages, with the tiny models."""

import numpy as np
import pytest

from zeroguide.errors import UsageError
from zeroguide.evaluate.datasets import load_dataset
from zeroguide.evaluate.metrics.overlap import intersections
from zeroguide.evaluate.metrics.semantic import class_counts
from zeroguide.evaluate.metrics.unsupervised import hungarian_counts
from zeroguide.evaluate.predictions.pipeline import (
    Pipeline,
    check_stage,
    process_memory,
    true_names,
)
from zeroguide.evaluate.predictions.segments import Segments
from zeroguide.recipe import load_recipe

from .maps import Maps, run, values


def named(truth, found, classes=("dog", "cat"), background=None):
    dataset = Maps({"image": np.asarray(truth)}, classes, background)
    label_map = np.asarray(found, dtype=np.int32)
    return true_names(label_map, int(label_map.max()) + 1, dataset[0])


def test_segments_take_the_name_of_the_best_region():
    # Segment 1 has two pixels of each; of the cat's three that is more by IoU.
    truth = [[0, 0, 0, 0, 0, 1, 1, 1]]
    assert named(truth, [[0, 0, 0, 1, 1, 1, 1, 2]]) == ["dog", "cat", "cat"]


def test_void_has_no_name_and_background_has_its_own():
    assert named([[0, 0, -1, -1]], [[0, 0, 1, 1]]) == ["dog", ""]
    names = ("background", "dog")
    assert named([[1, 1, 0, 0]], [[0, 0, 1, 1]], names, 0) == ["dog", "background"]


def test_stages_need_class_names():
    check_stage("full", Maps({}, ()))
    with pytest.raises(UsageError, match="no class names"):
        check_stage("true-masks", Maps({}, ()))


@pytest.fixture(scope="module")
def labeler():
    from zeroguide.labeler import Labeler

    return Labeler(load_recipe("tiny"), device="cpu", offline=True)


@pytest.fixture(scope="module")
def sample():
    return load_dataset("playroom", limit=1)[0]


def test_the_whole_pipeline(labeler, sample):
    pipeline = Pipeline(lambda: labeler, "full", "cpu")
    pipeline.start()
    found = pipeline.predict(sample)
    labeling = labeler.label(sample.open_image())
    # The same segments and labels as `zeroguide label`, which numbers them by size.
    ours = {(found.labels[i], (found.label_map == i).sum()) for i in range(len(found.labels))}
    assert ours == {(each.label, each.area) for each in labeling.segments}
    n = len(found.labels)
    assert found.embeddings is not None and found.text_embeddings is not None
    assert found.embeddings.shape == found.text_embeddings.shape
    # A decoder's score is the cosine of segment and label; the tiny preset's label is in templates.
    a, b = (
        x / np.linalg.norm(x, axis=1)[:, None] for x in (found.embeddings, found.text_embeddings)
    )
    np.testing.assert_allclose((a * b).sum(axis=1), found.scores, atol=0.02)
    assert found.scores.shape == (n,) and found.seconds > 0
    assert pipeline.class_embeddings(["dog"]).shape == (1, found.embeddings.shape[1])


def test_true_masks(labeler, sample):
    pipeline = Pipeline(lambda: labeler, "true-masks")
    pipeline.start()
    found = pipeline.predict(sample)
    assert np.array_equal(found.label_map, sample.regions().label_map)
    assert len(found.labels) == len(sample.regions().classes) == len(found.embeddings)


def test_true_masks_of_an_image_with_holes(labeler):
    """What is no region is no segment, and an image without regions has none."""
    truth = np.full((48, 48), -1)
    truth[8:40, 8:24] = 1
    dataset = Maps({"some": truth, "none": np.full((48, 48), -1)}, ("dog", "cat"))
    pipeline = Pipeline(lambda: labeler, "true-masks")
    pipeline.start()
    found = pipeline.predict(dataset[0])
    assert np.array_equal(found.label_map, np.where(truth == 1, 0, -1)) and len(found.labels) == 1
    assert list(pipeline.predict(dataset[1]).labels) == []


def test_true_names(labeler, sample):
    pipeline = Pipeline(lambda: labeler, "true-names")
    pipeline.start()
    found = pipeline.predict(sample)
    whole = Pipeline(lambda: labeler)
    whole.start()
    assert np.array_equal(found.label_map, whole.predict(sample).label_map)
    names = {sample.dataset.classes[i].name for i in sample.regions().classes}
    assert set(found.labels) <= names
    assert found.embeddings is None and pipeline.class_embeddings(["dog"]) is None


def test_memory_is_in_mib():
    assert 20 < process_memory() < 100_000


@pytest.fixture(scope="module")
def clustered(tmp_path_factory):
    """A recipe with a model of 6 classes, fitted to four scenes of another world."""
    from zeroguide.models import load_dino
    from zeroguide.segment.fitted import FeatureStore, fit
    from zeroguide.segment.fitted.store import add_image

    folder = tmp_path_factory.mktemp("model")
    recipe = load_recipe("tiny")
    with FeatureStore(recipe.models.dino, recipe.features.model_dump()) as store:
        dino = load_dino(recipe.models.dino, device="cpu", offline=True)
        for scene in load_dataset("playroom", limit=4, seed=1):
            add_image(store, folder / scene.name, scene.open_image(), dino, recipe)
        fit(store, method="prototypes", n_classes=6).save(folder)
    return load_recipe("tiny", ["segmenter.method=fitted", f"segmenter.model={folder}"])


def segmenter(recipe):
    from zeroguide.segmenter import Segmenter

    return Segmenter(recipe, device="cpu", offline=True)


def test_classes_of_a_fitted_model_are_clusters_of_the_whole_data_set(clustered, tmp_path):
    """On crops: what is segmented is the square."""
    dataset = load_dataset("playroom", limit=3, crop=64)
    predictor = Segments(lambda: segmenter(clustered), "cpu")
    results = run(dataset, predictor, tmp_path, protocols=["unsupervised", "cost"])
    found = values(results)
    assert results.dataset.name == "playroom, crop 64"
    total = None
    for sample in dataset:
        predicted = predictor.predict(sample)
        assert predicted.label_map.shape == (64, 64)
        over = segmenter(clustered).segment(sample.open_image())
        assert list(predicted.labels) == [f"class {c}" for c in over.classes]
        clusters = np.array([int(label.split()[1]) for label in predicted.labels])
        own = intersections(
            clusters[predicted.label_map].astype(np.int32), sample.semantic(), 6, 104
        )
        total = own if total is None else total + own
    counts = class_counts(total, hungarian_counts(total))
    assert found["cluster_accuracy/Hungarian on pixels"] == pytest.approx(100 * counts.accuracy)
    assert 1 < found["distinct_labels"] <= 6 and found["coverage"] == 100
    assert predictor.peak_memory() > 20 and predictor.class_embeddings(["dog"]) is None


def test_other_segments_have_no_label(sample):
    predictor = Segments(lambda: segmenter(load_recipe("tiny")), "cpu")
    predictor.start()
    found = predictor.predict(sample)
    assert set(found.labels) == {""} and len(found.labels) > 1 and found.seconds > 0
    assert np.array_equal(
        found.label_map, segmenter(load_recipe("tiny")).segment(sample.open_image()).label_map
    )
