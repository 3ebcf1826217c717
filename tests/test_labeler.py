"""The whole flow: on random models for its mechanics, on the shipped ones for its results."""

import importlib.metadata

import hub_folders
import numpy as np
import pytest
import torch
from conftest import REPOSITORY
from PIL import Image

from zeroguide.clip import Region, SegmentedImage
from zeroguide.errors import UsageError
from zeroguide.image import from_array, open_image
from zeroguide.labeler import Labeler, NamedSegment, Watcher
from zeroguide.name.name import UNNAMED
from zeroguide.recipe import load_recipe
from zeroguide.segmenter import Segmenter
from zeroguide.system.memo import Memo


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    hub_folders.dino_folder(folder / "dino")
    hub_folders.clip_folder(folder / "clip")
    hub_folders.language_model_folder(folder / "lm")
    path = folder / "random.toml"
    path.write_text(
        f"""
        [models]
        dino = '{folder / "dino"}'
        clip = '{folder / "clip"}'
        language_model = '{folder / "lm"}'
        [features]
        shorter_side = 64
        [segmenter]
        n_segments = 6
        [embedding]
        masked_blocks = 2
        subtraction_sd = 5.0
        [decoder]
        method = "beam"
        vocabulary = "everyday"
        templates = "templates_photo"
        beam_size = 2
        n_candidates = 4
        max_tokens = 2
        """
    )
    return path


@pytest.fixture(scope="module")
def image():
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)
    pixels = np.asarray(Image.fromarray(blocks).resize((120, 90), Image.Resampling.NEAREST))
    return from_array(pixels, "blocks.png")


def labeler(recipe_file, *overrides):
    return Labeler(load_recipe(recipe_file, overrides), device="cpu", offline=True)


def named_alone(ours, image, over_segments, segment):
    """The label of a segment of a result when nothing else is asked."""
    picture = SegmentedImage(image.pixels, over_segments)
    region = Region(picture, tuple(part - 1 for part in segment.merged_from))
    embedding = ours.embedder.embed(ours.embedder.prepare([picture]), [region])
    return ours.decode(embedding, [region])[0][0][0]


def test_without_merging_every_over_segment_is_a_segment(recipe_file, image):
    ours = labeler(recipe_file, "merge.threshold=1.1")
    over = ours.segmenter.segment(image).label_map
    result = ours.label(image)
    assert len(result.segments) == over.max() + 1 == 6
    for segment in result.segments:
        (part,) = segment.merged_from
        assert (result.mask(segment.id) == (over == part - 1)).all()
        # Named as it is when named alone.
        assert named_alone(ours, image, over, segment) == segment.label


def test_threshold_of_zero_merges_what_is_not_opposed(recipe_file, image):
    ours = labeler(recipe_file, "merge.threshold=0", "merge.edges=all")
    over = ours.segmenter.segment(image).label_map
    result = ours.label(image)
    parts = sorted(part for segment in result.segments for part in segment.merged_from)
    assert parts == list(range(1, over.max() + 2))  # each over-segment is in one segment
    assert len(result.segments) < over.max() + 1
    for segment in result.segments:
        union = np.isin(over + 1, segment.merged_from)
        assert (result.mask(segment.id) == union).all()
        assert named_alone(ours, image, over, segment) == segment.label


def test_segments_that_do_not_touch_stay_apart_unless_all_may_merge(recipe_file, image):
    stripes = np.zeros((90, 120), np.int32)
    stripes[:, 40:80] = 1
    stripes[:, 80:] = 2
    picture = SegmentedImage(image.pixels, stripes)
    twin = (torch.eye(32)[0], [("dog", 0.5)])  # 0 and 2 are alike, 1 lies between them
    other = (torch.eye(32)[1], [("cat", 0.4)])
    for edges, expected in (("adjacent", 3), ("all", 2)):
        ours = labeler(recipe_file, "merge.threshold=0.99", f"merge.edges={edges}")
        segments = [
            NamedSegment(Region(picture, (i,)), *known)
            for i, known in enumerate((twin, other, twin))
        ]
        (merged,) = ours._merge(ours.embedder.prepare([picture]), [segments], Watcher(), Memo())
        assert len(merged) == expected, edges


def test_only_siblings_merge(recipe_file, image):
    stripes = np.zeros((90, 120), np.int32)
    stripes[:, 40:80] = 1
    stripes[:, 80:] = 2
    twin = (torch.eye(32)[0], [("dog", 0.5)])
    other = (torch.eye(32)[1], [("cat", 0.4)])
    ours = labeler(recipe_file, "merge.threshold=0.99", "merge.edges=siblings")
    for tree, expected in (([[0, 2], [1, 3]], 2), ([[0, 1], [2, 3]], 3)):
        picture = SegmentedImage(image.pixels, stripes, np.array(tree))
        segments = [
            NamedSegment(Region(picture, (i,)), *known)
            for i, known in enumerate((twin, other, twin))
        ]
        (merged,) = ours._merge(ours.embedder.prepare([picture]), [segments], Watcher(), Memo())
        assert len(merged) == expected, tree


def test_siblings_merge_upwards(recipe_file, image):
    ours = labeler(recipe_file, "merge.threshold=0", "merge.edges=siblings")
    over = ours.segmenter.segment(image)
    nodes = [{i + 1} for i in range(len(over.tree) + 1)]
    for a, b in over.tree:
        nodes.append(nodes[a] | nodes[b])
    result = ours.label(image)
    assert len(result.segments) < over.label_map.max() + 1
    assert all(set(segment.merged_from) in nodes for segment in result.segments)


def test_siblings_need_a_tree(recipe_file):
    with pytest.raises(UsageError, match="needs a segmenter that keeps its merge tree"):
        load_recipe(recipe_file, ["merge.edges=siblings", "segmenter.method=kmeans"])


def test_segments_without_a_name_have_nothing_in_common(recipe_file, image):
    halves = np.zeros((90, 120), np.int32)
    halves[:, 60:] = 1
    picture = SegmentedImage(image.pixels, halves)
    alike = torch.ones(2, 32) + 0.5 * torch.eye(2, 32)
    ours = labeler(recipe_file, "merge.threshold=0.8")
    for label, expected in ((UNNAMED, 2), ("dog", 1)):
        segments = [NamedSegment(Region(picture, (i,)), alike[i], [(label, 0.0)]) for i in range(2)]
        (merged,) = ours._merge(ours.embedder.prepare([picture]), [segments], Watcher(), Memo())
        assert len(merged) == expected


def test_texts_longer_than_the_language_model_are_refused(recipe_file):
    with pytest.raises(UsageError, match=r"decoder\.max_tokens=100 .* has 64"):
        labeler(recipe_file, "decoder.max_tokens=100")


def test_templates_without_a_place_for_the_phrase_are_refused(recipe_file, tmp_path):
    (tmp_path / "t.txt").write_text("a photo of")
    overrides = ("decoder.method=vocabulary", f"decoder.templates={tmp_path / 't.txt'}")
    with pytest.raises(UsageError, match=r"'a photo of' of decoder\.templates has no"):
        labeler(recipe_file, *overrides)


def test_a_batch_is_labelled_as_one_by_one(recipe_file, image):
    other = from_array(np.ascontiguousarray(image.pixels[::-1, 10:]), "other.png")
    ours = labeler(recipe_file, "merge.threshold=0.5")
    together = ours.label_batch([image, other, image])
    for result, alone in zip(together, map(ours.label, (image, other, image)), strict=True):
        assert result.file_name == alone.file_name
        assert (result.label_map == alone.label_map).all()
        assert [s.label for s in result.segments] == [s.label for s in alone.segments]
    assert ours.label_batch([]) == []


def test_bfloat16_changes_scores_little(recipe_file, image):
    settings = ("merge.threshold=1.1", "decoder.method=vocabulary")
    exact = labeler(recipe_file, *settings).label(image)
    ours = labeler(recipe_file, *settings, "precision=bfloat16")
    ours.segmenter = labeler(recipe_file).segmenter  # the same over-segments
    rough = ours.label(image)
    assert rough.to_dict()["segments"] != exact.to_dict()["segments"]
    for a, b in zip(exact.segments, rough.segments, strict=True):
        assert a.bbox == b.bbox and a.score == pytest.approx(b.score, abs=0.05)


def test_confidence_is_that_of_the_label_and_its_embedding(recipe_file, image):
    ours = labeler(recipe_file, "merge.threshold=1.1")
    picture = SegmentedImage(image.pixels, ours.segmenter.segment(image).label_map)
    prepared = ours.embedder.prepare([picture])
    for segment in ours.label(image).segments:
        parts = tuple(part - 1 for part in segment.merged_from)
        embedding = ours.embedder.embed(prepared, [Region(picture, parts)])
        (expected,) = ours.confidence(embedding, [segment.label])
        assert segment.confidence == pytest.approx(expected, abs=1e-4)
        assert 0 <= segment.confidence <= 1


def test_same_seed_same_result(recipe_file, image):
    first, again = (labeler(recipe_file).label(image).to_dict() for _ in range(2))
    assert first == again


def test_segmenter_is_the_labelers_first_half(recipe_file, image):
    alone = Segmenter(load_recipe(recipe_file), device="cpu", offline=True).segment(image).label_map
    assert (alone == labeler(recipe_file).segmenter.segment(image).label_map).all()
    assert alone.dtype == np.int32 and set(np.unique(alone)) == set(range(alone.max() + 1))


def test_vocabulary_needs_no_language_model(recipe_file, image, monkeypatch):
    settings = ("decoder.method=vocabulary", "models.language_model=./nowhere")
    result = labeler(recipe_file, *settings).label(image)
    words = (REPOSITORY / "prompts" / "everyday.txt").read_text().splitlines()
    assert all(segment.label in words for segment in result.segments)


@pytest.mark.parametrize("shape", [(40, 300), (300, 40), (9, 9)])
def test_any_aspect_ratio(recipe_file, shape):
    pixels = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert labeler(recipe_file).label(from_array(pixels)).label_map.shape == shape


def test_provenance_names_recipe_seed_and_versions(recipe_file, image):
    import open_clip

    record = labeler(recipe_file, "seed=3").label(image).recipe
    assert (record["name"], record["seed"]) == ("random", 3)
    assert record["versions"]["torch"] == importlib.metadata.version("torch")
    assert record["versions"]["open_clip_torch"] == open_clip.__version__


def test_shipped_models_name_the_example():
    """The demo of the README: most of its picture gets the right name."""
    truth = np.asarray(Image.open(REPOSITORY / "examples" / "playroom.regions.png"))
    names = (REPOSITORY / "examples" / "playroom.names.txt").read_text().splitlines()
    result = Labeler(load_recipe("tiny"), device="cpu", offline=True).label(
        open_image(REPOSITORY / "examples" / "playroom.png")
    )
    right = np.zeros(truth.shape, bool)
    for segment in result.segments:
        if segment.label in names:
            right |= result.mask(segment.id) & (truth == names.index(segment.label))
    assert right.mean() > 0.7
