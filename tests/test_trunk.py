"""One network as DINO and as CLIP's image tower: the same tensors, the same numbers, one pass."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from zeroguide.clip.frame import preprocess
from zeroguide.errors import UsageError, WeightsError
from zeroguide.image import from_array
from zeroguide.labeler import Labeler
from zeroguide.models import load_clip, load_dino
from zeroguide.models.trunk import dinov2_of, tower_tensors
from zeroguide.recipe import Recipe, load_recipe
from zeroguide.segment.features import extract_features
from zeroguide.segment.refine import refine
from zeroguide.segment.segmenters import segment
from zeroguide.segmenter import Segmenter

WIDTH, PATCH, GRID = 32, 14, 8


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP whose image tower is a small random DINOv2, averaging its patches."""
    import open_clip
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(3)
    dino = Dinov2Model(
        Dinov2Config(
            hidden_size=WIDTH,
            num_hidden_layers=3,
            num_attention_heads=2,
            patch_size=PATCH,
            image_size=GRID * PATCH,
        )
    )
    for parameter in dino.parameters():  # biases and LayerScale, too, count
        torch.nn.init.normal_(parameter, std=0.2)
    config = {
        "model_cfg": {
            "embed_dim": 16,
            "vision_cfg": {
                "image_size": GRID * PATCH,
                "patch_size": PATCH,
                "width": WIDTH,
                "layers": 3,
                "head_width": WIDTH // 2,
                "ls_init_value": 1.0,
                "no_ln_pre": True,
                "pool_type": "avg",
                "norm_kwargs": {"eps": 1e-6},
            },
            "text_cfg": {"context_length": 16, "width": 16, "heads": 2, "layers": 1},
        },
        "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
    }
    model = config["model_cfg"]
    network = open_clip.CLIP(16, model["vision_cfg"], model["text_cfg"])  # type: ignore[index]
    state = network.state_dict()
    state |= {f"visual.{key}": value for key, value in tower_tensors(dino.state_dict()).items()}
    folder = tmp_path_factory.mktemp("trunk")
    save_file({k: v.contiguous().clone() for k, v in state.items()},
              folder / "open_clip_model.safetensors")  # fmt: skip
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    dino.config.save_pretrained(folder)
    preprocessing = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    dino.save_pretrained(folder / "dino")
    (folder / "dino" / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    return folder


def recipe(checkpoint: Path, *overrides: str) -> Recipe:
    return load_recipe(
        "tiny",
        [
            f"models.dino={checkpoint}",
            f"models.clip={checkpoint}",
            "features.shorter_side=112",
            "features.stride=none",
            "segmenter.n_segments=5",
            "embedding.mode=pooled",
            "embedding.fit=features",
            "decoder.method=vocabulary",
            *overrides,
        ],
    )


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (6, 8, 3), np.uint8)
    return np.kron(coarse, np.ones((20, 20, 1), np.uint8))


def test_the_tower_is_the_dino(checkpoint: Path, pixels: np.ndarray) -> None:
    ours = load_dino(checkpoint, device="cpu")
    theirs = load_dino(checkpoint / "dino", device="cpu")
    settings = {"shorter_side": GRID * PATCH, "stride": 7}
    for facet in ("token", "key"):
        a, b = (extract_features(d, pixels, facet=facet, **settings) for d in (ours, theirs))
        assert torch.allclose(a, b, atol=1e-5)


def test_nothing_is_copied(checkpoint: Path) -> None:
    visual = load_clip(checkpoint, device="cpu").network.visual
    before = torch.get_rng_state()
    dino = dinov2_of(visual, "it")
    assert torch.equal(before, torch.get_rng_state())  # no weight was drawn first
    kernel = dino.embeddings.patch_embeddings.projection.weight
    assert kernel.data_ptr() == visual.conv1.weight.data_ptr()
    query = dino.encoder.layer[0].attention.q_proj.weight
    assert query.data_ptr() == visual.transformer.resblocks[0].attn.in_proj_weight.data_ptr()


def test_one_pass_gives_what_two_give(checkpoint: Path, pixels: np.ndarray) -> None:
    """On the tower's own grid, where the two libraries' positions are the same."""
    image = from_array(pixels[:, :120], "one")
    one = recipe(checkpoint)
    two = recipe(checkpoint, "embedding.fit=native")
    assert one.one_pass and not two.one_pass
    results = [Labeler(each, device="cpu").label(image) for each in (one, two)]
    assert np.array_equal(results[0].label_map, results[1].label_map)
    a, b = (result.embeddings for result in results)
    assert a is not None and b is not None and np.allclose(a, b, atol=1e-4)


def test_the_network_runs_once(
    checkpoint: Path, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    labeler = Labeler(recipe(checkpoint), device="cpu")
    passes = []
    labeler.embedder.clip.network.visual.conv1.register_forward_hook(
        lambda *_: passes.append("tower")
    )
    assert labeler.segmenter.dino is None  # there is no other network to run
    labeler.label(from_array(pixels, "one"))
    assert passes == ["tower"]


def test_a_tower_read_at_its_class_token_shares_no_pass(
    checkpoint: Path, pixels: np.ndarray, tmp_path: Path
) -> None:
    """Its tokens lack the last block when they are pooled: they aren't DINO's features."""
    for file in checkpoint.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    config = tmp_path / "open_clip_config.json"
    config.write_text(config.read_text().replace('"avg"', '"tok"'))
    image = from_array(pixels[:, :120], "one")
    shared, alone = (
        Labeler(recipe(folder), device="cpu").segmenter for folder in (checkpoint, tmp_path)
    )
    assert shared.embedder is not None and alone.embedder is None
    assert np.array_equal(shared.segment(image).label_map, alone.segment(image).label_map)


def test_a_pooled_segment_is_the_mean_of_its_patches(checkpoint: Path, pixels: np.ndarray) -> None:
    """And the whole picture what open_clip itself gives."""
    labeler = Labeler(recipe(checkpoint, "segmenter.n_segments=1"), device="cpu")
    image = from_array(pixels[:, :120], "one")
    found = labeler.label(image).embeddings
    clip = labeler.embedder.clip
    x = labeler.embedder.encode([image.pixels])[0]
    assert (x.frame.rows, x.frame.columns) == (GRID, GRID)
    own = clip.network.encode_image(preprocess(image.pixels, x.frame, clip.mean, clip.std)[None])
    unit = own[0].numpy() / np.linalg.norm(own[0].numpy())
    assert found is not None and np.allclose(found[0], unit, atol=1e-3)  # kept in 16 bits


def test_segmenting_alone_cuts_alike(checkpoint: Path, pixels: np.ndarray) -> None:
    image = from_array(pixels[:, :120], "one")
    alone = Segmenter(recipe(checkpoint), device="cpu").segment(image)
    labeler = Labeler(recipe(checkpoint), device="cpu")
    assert np.array_equal(alone.label_map, labeler.segmenter.segment(image).label_map)


def test_a_cut_of_embeddings_is_of_what_clip_reads_out(
    checkpoint: Path, pixels: np.ndarray
) -> None:
    image = from_array(pixels[:, :120], "one")
    few = ("features.facet=embedding", "segmenter.n_segments=5", "refine.method=none")
    labeler = Labeler(recipe(checkpoint, *few), device="cpu")
    (encoded,) = labeler.embedder.encode([image.pixels])
    projected = labeler.embedder.features(encoded) @ labeler.embedder.clip.network.visual.proj
    expected = segment(projected, method="agglomerative", n_segments=5, normalize=True).label_map
    found = labeler.segmenter.segment(image).label_map
    assert np.array_equal(found, refine(expected, image.pixels, method="none"))
    assert np.array_equal(
        found, Segmenter(recipe(checkpoint, *few), device="cpu").segment(image).label_map
    )


def test_a_cut_of_embeddings_needs_one_pass_and_a_mean(checkpoint: Path, tmp_path: Path) -> None:
    asked = "features.facet=embedding"
    for other in ("embedding.fit=native", "features.layer=1", "segmenter.method=saliency"):
        with pytest.raises(UsageError, match=r"features\.facet=embedding needs one network"):
            recipe(checkpoint, asked, other)
    for file in checkpoint.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    config = tmp_path / "open_clip_config.json"
    config.write_text(config.read_text().replace('"avg"', '"tok"'))
    with pytest.raises(UsageError, match=r"isn't read out by the mean of its patches"):
        Labeler(recipe(tmp_path, asked), device="cpu")


def test_another_tower_is_no_dino() -> None:
    tiny = load_recipe("tiny").models.clip
    with pytest.raises(WeightsError, match=r"image tower of .*tiny/clip isn't a DINOv2"):
        dinov2_of(load_clip(tiny, device="cpu").network.visual, tiny)
    with pytest.raises(WeightsError, match=r"tiny/clip has no config\.json"):
        Labeler(load_recipe("tiny", [f"models.dino={tiny}"]), device="cpu")


def test_a_size_of_its_own_contradicts_the_features(checkpoint: Path) -> None:
    with pytest.raises(UsageError, match=r"image_size can't be set with embedding\.fit=features"):
        recipe(checkpoint, "embedding.image_size=56")
