"""The whole flow on a device that can't be mixed with the CPU; `test_devices` runs it.

In a process of its own, as a device once registered stays for all other tests, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import far_device
import hub_folders
import numpy as np
import PIL.Image
import pytest
import torch
import writing_folders

import zeroguide
from zeroguide.clip import Region, SegmentedImage, SegmentEmbedder
from zeroguide.image import Image, from_array
from zeroguide.labeler import Labeler
from zeroguide.models import load_clip, load_dino
from zeroguide.recipe import load_recipe
from zeroguide.runs.search import Searcher
from zeroguide.segment.fitted import FeatureStore, fit
from zeroguide.segment.fitted.store import add_image
from zeroguide.segment.segmenters import SEGMENTERS
from zeroguide.segmenter import Segmenter

FEW = ("features.shorter_side=64", "segmenter.n_segments=4", "refine.max_side=64")


@pytest.fixture(autouse=True)
def _far(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device that "auto" finds."""

    def choose(name: str) -> torch.device:
        return far_device.DEVICE if name == "auto" else torch.device(name)

    for module in (
        "labeler", "segmenter", "name.label_lists", "models.catalogue", "runs.search.searcher",
    ):  # fmt: skip
        monkeypatch.setattr(f"zeroguide.{module}.choose_device", choose)


@pytest.fixture(scope="module")
def images() -> list[Image]:
    scenes = Path(zeroguide.__file__).parent / "web" / "scenes"
    pictures = (PIL.Image.open(scenes / f"{name}.png").convert("RGB") for name in ("lion", "tent"))
    sizes = ((96, 64), (64, 80))
    return [
        from_array(np.asarray(picture.resize(size)))
        for picture, size in zip(pictures, sizes, strict=True)
    ]


def label(images: list[Image], *settings: str, device: str = "auto") -> Any:
    labeler = Labeler(load_recipe("tiny", [*FEW, *settings]), device=device, offline=True)
    return labeler, labeler.label_batch(images)


def on_both(images: list[Image], *settings: str) -> None:
    """The labels of a recipe, on the device and on the CPU: the same."""
    _, far = label(images, *settings)
    _, near = label(images, *settings, device="cpu")
    for one, other in zip(far, near, strict=True):
        assert np.array_equal(one.label_map, other.label_map)
        assert [s.label for s in one.segments] == [s.label for s in other.segments]
        for mine, its in zip(one.segments, other.segments, strict=True):
            assert mine.score == pytest.approx(its.score, abs=1e-4)
            assert mine.confidence == pytest.approx(its.confidence, abs=1e-3)


# The device itself: else nothing below would mean anything ----------------------------------------


def test_tensors_of_two_devices_do_not_mix() -> None:
    near = torch.arange(6.0).reshape(2, 3)
    far = near.to(far_device.DEVICE)
    assert far.device.type == "far" and torch.equal((far @ far.T).cpu(), near @ near.T)
    assert torch.equal((far * torch.tensor(2.0)).cpu(), near * 2)  # a number goes anywhere
    assert torch.equal(far[torch.tensor([1])].cpu(), near[1:])  # CUDA takes such indices, too
    mistakes = [
        lambda: far + near,
        lambda: torch.cat([far, near]),
        lambda: near[torch.tensor([0]).to(far_device.DEVICE)],
        lambda: torch.nn.Linear(3, 2)(far),
        lambda: torch.nn.functional.embedding(torch.tensor([1]), far),
    ]
    for mistake in mistakes:
        with pytest.raises(RuntimeError, match="expected all tensors to be on the same device"):
            mistake()
    for convert in (far.numpy, lambda: np.asarray(far)):
        with pytest.raises(TypeError, match=r"use Tensor\.cpu\(\) first"):
            convert()


def test_gradients_stay_on_the_device() -> None:
    layer = torch.nn.Linear(3, 1).to(far_device.DEVICE)
    layer(torch.ones(2, 3, device=far_device.DEVICE)).sum().backward()
    assert layer.weight.grad.device == far_device.DEVICE
    assert layer.weight.grad.tolist() == [[2.0, 2.0, 2.0]]


# Stages -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", sorted(set(SEGMENTERS) - {"fitted"}))
def test_segmenters(method: str, images: list[Image]) -> None:
    recipe = load_recipe("tiny", [*FEW, f"segmenter.method={method}"])
    far = Segmenter(recipe, offline=True).segment_batch(images)
    near = Segmenter(recipe, device="cpu", offline=True).segment_batch(images)
    for one, other in zip(far, near, strict=True):
        assert np.array_equal(one.label_map, other.label_map)


def test_features_of_a_blurred_picture_with_a_stride(images: list[Image]) -> None:
    settings = ["features.stride=3", "features.median_blur=3", "features.facet=key"]
    recipe = load_recipe("tiny", [*FEW, *settings])
    assert Segmenter(recipe, offline=True).segment(images[0]).label_map.shape == (64, 96)


@pytest.mark.parametrize("kind", ["class token", "attention pool"])
@pytest.mark.parametrize("mode", ["exact", "packed", "packed+global", "pooled", "crop"])
@pytest.mark.parametrize("fit", ["squash", "letterbox", "native"])
def test_embeddings(kind: str, mode: str, fit: str, tmp_path: Path) -> None:
    config = hub_folders.TINY_CLIP
    if kind == "attention pool":
        if mode not in ("pooled", "crop"):
            pytest.skip("this mode needs a class token")
        pooled = {"attentional_pool": True, "attn_pooler_queries": 1, "attn_pooler_heads": 2}
        config = {**config, "vision_cfg": {**config["vision_cfg"], **pooled}}
    hub_folders.clip_folder(tmp_path, config)
    rng = np.random.default_rng(0)
    label_map = rng.integers(0, 4, (6, 8), np.int32).repeat(10, 0).repeat(10, 1)
    pixels = rng.integers(0, 255, (60, 80, 3), np.uint8)
    picture = SegmentedImage(pixels, label_map)
    regions = [Region(picture, parts) for parts in ((0,), (1,), (2, 3))]
    found = []
    for device in (far_device.DEVICE, "cpu"):
        embed = SegmentEmbedder(
            load_clip(str(tmp_path), device=device), mode=mode, masked_blocks=2,
            subtraction_sd=5.0, softness=1.0, fit=fit, image_size=None, windows=True, batch_size=2,
        )  # fmt: skip
        found.append(embed.embed(embed.prepare([picture]), regions).cpu())
    torch.testing.assert_close(found[0], found[1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("decoder", ["beam", "zerocap", "vocabulary", "text-memory"])
def test_decoders(decoder: str, images: list[Image]) -> None:
    on_both(images, f"decoder.method={decoder}", "decoder.iterations=1", "decoder.max_tokens=2")


@pytest.mark.parametrize("kind", ["captioner", "chat_model"])
def test_vision_language_models(kind: str, images: list[Image], tmp_path: Path) -> None:
    getattr(writing_folders, f"{kind}_folder")(tmp_path)
    on_both(
        images[:1],
        "decoder.method=vlm",
        f"models.vlm={tmp_path}",
        "decoder.max_tokens=2",
        "decoder.beam_size=2",
        "decoder.n_alternatives=1",
    )


@pytest.mark.parametrize("edges", ["adjacent", "all", "siblings"])
def test_merging(edges: str, images: list[Image]) -> None:
    on_both(
        images,
        f"merge.edges={edges}",
        "merge.threshold=0.3",  # most are joined, embedded and named again
        "segmenter.method=agglomerative",
        "decoder.method=vocabulary",
    )


@pytest.mark.parametrize("windows", ["false", "true"])
def test_modes_in_the_flow(windows: str, images: list[Image]) -> None:
    settings = ["decoder.method=vocabulary", "embedding.fit=native"]
    on_both(images, *settings, f"embedding.windows={windows}", "refine.method=bilinear")


@pytest.fixture
def store(images: list[Image]) -> Iterator[FeatureStore]:
    recipe = load_recipe("tiny", FEW)
    dino = load_dino(recipe.models.dino, device=far_device.DEVICE, offline=True)
    with FeatureStore(recipe.models.dino, recipe.features.model_dump(), recipe.name) as store:
        for i in range(4):
            pixels = np.roll(images[0].pixels, 16 * i, axis=1)
            add_image(store, Path(f"{i}.png"), from_array(pixels), dino, recipe)
        yield store


@pytest.mark.parametrize("method", ["prototypes", "stego", "maskdistill", "multilevel"])
def test_fitted_segmenters(
    method: str, store: FeatureStore, images: list[Image], tmp_path: Path
) -> None:
    params: dict[str, Any] = {"steps": 2, "device": "far:0"} if method == "stego" else {}
    fit(store, method=method, n_classes=3, **params).save(tmp_path)
    fitted = ["segmenter.method=fitted", f"segmenter.model={tmp_path}"]
    recipe = load_recipe("tiny", [*FEW[:1], *FEW[2:], *fitted])
    for found in Segmenter(recipe, offline=True).segment_batch(images):
        assert found.label_map.max() < 3


# Around the flow ----------------------------------------------------------------------------------


def test_regions_that_are_given(images: list[Image]) -> None:
    labeler, _ = label(images[:1])
    label_map = np.zeros(images[0].pixels.shape[:2], np.int32)
    label_map[20:40, 30:60] = 1
    picture = SegmentedImage(images[0].pixels, label_map)
    (named,) = labeler.name([Region(picture, (1,))])
    assert named.labels[0][0]


def test_search(images: list[Image]) -> None:
    far, near = (label(images[:1], device=device)[0] for device in ("auto", "cpu"))
    found = []
    for labeler in (far, near):
        searcher = Searcher.__new__(Searcher)  # its index is numpy's
        searcher.device, searcher._template, searcher._texts = labeler.device, "{}", labeler.texts
        length = labeler.confidence.label_set.shape[1]
        searcher.index = SimpleNamespace(embeddings=np.empty((1, length)))
        found.append(searcher._embed("a red umbrella"))
    assert np.allclose(*found, atol=1e-5)


def test_a_folders_own_classes(images: list[Image], tmp_path: Path) -> None:
    from zeroguide.evaluate.taxonomy import Survey

    labeler, _ = label(images[:1])
    with Survey(labeler) as survey:
        for i, image in enumerate(images):
            PIL.Image.fromarray(image.pixels).save(path := tmp_path / f"{i}.png")
            survey.add(path, image)
        taxonomy, _ = survey.find_classes(3)
    assert 1 <= len(taxonomy.classes) <= 3


def test_the_page(images: list[Image]) -> None:
    from zeroguide.web.naming import Namer

    labeler, _ = label(images[:1])
    namer = Namer(labeler)
    editor = namer.open(images[0])
    namer.name_again(editor, 0)
    assert editor.labeling().segments


@pytest.mark.parametrize("stage", ["full", "true-masks", "true-names"])
def test_scoring(stage: Any, images: list[Image]) -> None:
    from zeroguide.evaluate.predictions.pipeline import Pipeline

    pipeline = Pipeline(lambda: Labeler(load_recipe("tiny", FEW), offline=True), stage)
    pipeline.start()
    label_map = np.zeros(images[0].pixels.shape[:2], np.int32)
    label_map[20:] = 1
    regions = SimpleNamespace(label_map=label_map, classes=np.array([0, 1]))
    classes = [SimpleNamespace(name=name) for name in ("sky", "tent")]
    sample: Any = SimpleNamespace(
        dataset=SimpleNamespace(background=None, classes=classes),
        open_image=lambda value_range: images[0],
        regions=lambda: regions,
    )
    assert pipeline.predict(sample).labels
    assert stage == "true-names" or pipeline.class_embeddings(["dog"]).shape[0] == 1


def test_checking_models(tmp_path: Path) -> None:
    from zeroguide.models import check

    writing_folders.chat_model_folder(tmp_path)
    recipe = load_recipe("tiny", [f"models.vlm={tmp_path}"])
    assert [model.role for model in check(recipe, offline=True)] == [
        "dino", "clip", "language_model", "text_memory", "vlm",
    ]  # fmt: skip


def test_nothing_was_moved_to_the_cpu_by_the_labeler() -> None:
    labeler = Labeler(load_recipe("tiny", FEW), offline=True)
    networks = (labeler.segmenter.dino.network, labeler.embedder.clip.network)
    for network in networks:
        assert {p.device.type for p in [*network.parameters(), *network.buffers()]} == {"far"}
