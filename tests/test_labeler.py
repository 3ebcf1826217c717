"""The whole flow: on random models for its mechanics, on the shipped ones for its results."""

import importlib.metadata

import hub_folders
import numpy as np
import pytest
import torch
from conftest import REPOSITORY
from PIL import Image

from zeroguide.image import from_array, open_image
from zeroguide.labeler import Labeler, Segmenter
from zeroguide.recipe import load_recipe


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


def test_without_merging_every_over_segment_is_a_segment(recipe_file, image):
    ours = labeler(recipe_file, "merge.threshold=1.1")
    over = ours.segmenter.segment(image)
    result = ours.label(image)
    assert len(result.segments) == over.max() + 1 == 6
    for segment in result.segments:
        (part,) = segment.merged_from
        assert (result.mask(segment.id) == (over == part - 1)).all()
        # Named as it is when named alone.
        masks = ours.clip.masks(over)
        embedding = ours.clip.embed(ours.clip.tokens(image.pixels), masks[[part - 1]])
        assert ours.decode(embedding)[0][0][0] == segment.label


def test_threshold_of_zero_merges_what_is_not_opposed(recipe_file, image):
    ours = labeler(recipe_file, "merge.threshold=0", "merge.edges=all")
    over = ours.segmenter.segment(image)
    result = ours.label(image)
    parts = sorted(part for segment in result.segments for part in segment.merged_from)
    assert parts == list(range(1, over.max() + 2))  # each over-segment is in one segment
    assert len(result.segments) < over.max() + 1
    for segment in result.segments:
        union = np.isin(over + 1, segment.merged_from)
        assert (result.mask(segment.id) == union).all()
        masks = torch.stack([ours.clip.masks(over)[[p - 1 for p in segment.merged_from]].sum(0)])
        embedding = ours.clip.embed(ours.clip.tokens(image.pixels), masks)
        label, score = ours.decode(embedding)[0][0]
        assert (label, pytest.approx(score, abs=1e-5)) == (segment.label, segment.score)


def test_segments_that_do_not_touch_stay_apart_unless_all_may_merge(recipe_file, image):
    stripes = np.zeros((90, 120), np.int32)
    stripes[:, 40:80] = 1
    stripes[:, 80:] = 2
    twins = [("dog", 0.5)]
    for edges, expected in (("adjacent", 3), ("all", 2)):
        ours = labeler(recipe_file, "merge.threshold=0.99", f"merge.edges={edges}")
        vectors = torch.eye(32)[[0, 1, 0]]  # 0 and 2 are alike, 1 lies between them
        labels = [twins, [("cat", 0.4)], twins]
        from zeroguide.labeler import _Draft

        draft = _Draft([[0], [1], [2]], ours.clip.masks(stripes), vectors, labels)
        merged = ours._merge(draft, ours.clip.tokens(image.pixels), stripes)
        assert len(merged.members) == expected, edges


def test_same_seed_same_result(recipe_file, image):
    first, again = (labeler(recipe_file).label(image).to_dict() for _ in range(2))
    assert first == again


def test_segmenter_is_the_labelers_first_half(recipe_file, image):
    alone = Segmenter(load_recipe(recipe_file), device="cpu", offline=True).segment(image)
    assert (alone == labeler(recipe_file).segmenter.segment(image)).all()
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
