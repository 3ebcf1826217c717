"""Features equal the library's own forward pass, for all four model types."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    DINOv3ViTConfig,
    DINOv3ViTModel,
    ViTConfig,
    ViTModel,
)

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.segment.features import (
    extract_features,
    extract_features_and_attention,
    extract_features_batch,
    grid_shape,
)

SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "patch_size": 8}
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def tiny(kind: str) -> SimpleNamespace:
    """A random model of each supported type, as zeroguide.models.Dino describes one."""
    torch.manual_seed(0)
    if kind == "dino":
        network, prefix = ViTModel(ViTConfig(**SIZES, intermediate_size=64, image_size=48)), 1
    elif kind == "dinov2":
        network, prefix = Dinov2Model(Dinov2Config(**SIZES, mlp_ratio=2, image_size=48)), 1
    elif kind == "dinov2_registers":
        config = Dinov2WithRegistersConfig(**SIZES, image_size=48, num_register_tokens=4)
        network, prefix = Dinov2WithRegistersModel(config), 5
    else:
        config = DINOv3ViTConfig(**SIZES, intermediate_size=64, num_register_tokens=4)
        network, prefix = DINOv3ViTModel(config), 5
    for parameter in network.parameters():  # position embeddings and layer scales that matter
        torch.nn.init.normal_(parameter, std=0.2)
    network.eval()
    return SimpleNamespace(network=network, patch_size=8, n_prefix=prefix, mean=MEAN, std=STD)


def picture(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), dtype=np.uint8)
    return np.array(Image.fromarray(small).resize((width, height), Image.Resampling.BILINEAR))


def normalised(pixels: np.ndarray, height: int, width: int) -> torch.Tensor:
    resized = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
    x = (np.asarray(resized, dtype=np.float32) / 255 - np.float32(MEAN)) / np.float32(STD)
    return torch.from_numpy(x).permute(2, 0, 1)[None]


@torch.no_grad()
def own_forward(dino: SimpleNamespace, x: torch.Tensor, **kwargs: bool):
    if dino.network.config.model_type == "vit":
        kwargs["interpolate_pos_encoding"] = True
    return dino.network(x, **kwargs)


ALL = ["dino", "dinov2", "dinov2_registers", "dinov3"]


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("size", [(48, 48), (60, 97), (130, 70)])
def test_tokens_equal_the_own_forward(kind, size):
    dino, pixels = tiny(kind), picture(*size)
    rows, columns = grid_shape(*size, 48, 8)
    own = own_forward(dino, normalised(pixels, rows * 8, columns * 8), output_hidden_states=True)
    for layer, expected in [(-1, own.last_hidden_state), (0, own.hidden_states[1])]:
        features = extract_features(dino, pixels, shorter_side=48, layer=layer, facet="token")
        assert features.shape == (rows, columns, 32)
        assert features.dtype == torch.float32
        expected = expected[0, dino.n_prefix :].reshape(rows, columns, 32)
        torch.testing.assert_close(features, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ALL)
def test_projections_explain_the_own_attention(kind):
    """softmax(q k) of the captured facets is the attention the library itself reports."""
    dino, pixels = tiny(kind), picture(48, 64)
    dino.network.set_attn_implementation("eager")
    own = own_forward(dino, normalised(pixels, 48, 64), output_attentions=True)
    get = {
        f: extract_features(dino, pixels, shorter_side=48, layer=1, facet=f).reshape(48, 2, 16)
        for f in ("query", "key", "value")
    }
    query, key = get["query"].transpose(0, 1), get["key"].transpose(0, 1)  # (heads, tokens, 16)
    if kind == "dinov3":
        from transformers.models.dinov3_vit.modeling_dinov3_vit import apply_rotary_pos_emb

        query, key = apply_rotary_pos_emb(
            query, key, *dino.network.rope_embeddings(torch.zeros(1, 3, 48, 64))
        )
    attention = (query @ key.transpose(1, 2) / 4).softmax(-1)
    expected = own.attentions[1][0, :, dino.n_prefix :, dino.n_prefix :]
    expected = expected / expected.sum(-1, keepdim=True)  # the prefix tokens take their share
    torch.testing.assert_close(attention, expected, atol=1e-5, rtol=1e-4)
    assert not torch.equal(get["key"], get["value"])


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("stride", [4, 3, 1])
def test_small_stride_equals_the_convolution_run_at_that_stride(kind, stride):
    """Checked where it is visible: the patch embedding, and the model's position grid."""
    dino, pixels = tiny(kind), picture(40, 56)
    rows, columns = grid_shape(40, 56, 40, stride)
    seen = []
    embeddings = dino.network.embeddings
    handle = embeddings.register_forward_hook(lambda m, i, out: seen.append(out))
    features = extract_features(dino, pixels, shorter_side=40, stride=stride)
    handle.remove()
    assert features.shape == (rows, columns, 32)

    x = normalised(pixels, rows * stride, columns * stride)
    before = (8 - stride) // 2
    after = 8 - stride - before
    x = torch.nn.functional.pad(x, (before, after, before, after), mode="reflect")
    convolution = embeddings.patch_embeddings
    convolution = getattr(convolution, "projection", convolution)
    with torch.no_grad():
        expected = torch.nn.functional.conv2d(
            x, convolution.weight, convolution.bias, stride=stride
        )
        assert expected.shape[2:] == (rows, columns)
        expected = expected.flatten(2).transpose(1, 2)
        if kind != "dinov3":
            position = embeddings.position_embeddings[:, 1:].reshape(1, 6, 6, 32)
            expected = expected + torch.nn.functional.interpolate(
                position.permute(0, 3, 1, 2),
                size=(rows, columns),
                mode="bicubic",
                antialias=kind == "dinov2_registers",
            ).flatten(2).transpose(1, 2)
    torch.testing.assert_close(seen[0][:, dino.n_prefix :], expected, atol=1e-4, rtol=1e-4)


def test_cells_stay_over_their_pixels_at_any_stride():
    """A picture dark on its left quarter: the border falls on the same place of every grid."""
    dino = tiny("dino")
    conv = dino.network.embeddings.patch_embeddings.projection
    torch.nn.init.constant_(conv.weight, 1 / 192)  # the embedding is the patch's brightness
    torch.nn.init.zeros_(dino.network.embeddings.position_embeddings)
    pixels = np.full((64, 64, 3), 255, np.uint8)
    pixels[:, :16] = 0
    seen = []
    dino.network.embeddings.register_forward_hook(lambda m, i, out: seen.append(out))
    for stride in (8, 4, 2):
        extract_features(dino, pixels, shorter_side=64, stride=stride)
        values = seen[-1][0, 1:, 0].reshape(64 // stride, -1)[0]
        middle = (values[0] + values[-1]) / 2
        assert int((values < middle).sum()) == 16 // stride


def test_threads_get_features_and_attention_of_their_own_pictures():
    dino = tiny("dinov3_vit")
    pictures = [picture(48, 64), picture(64, 48)[::-1].copy(), picture(48, 48)]
    options = {"shorter_side": 48, "layer": 1, "facet": "key"}
    alone = [extract_features_and_attention(dino, pixels, **options) for pixels in pictures]
    # All are in the model at the same time, and none leaves before all have run.
    barrier = threading.Barrier(len(pictures))

    def wait(*_: object) -> None:
        barrier.wait(60)

    dino.network.register_forward_pre_hook(wait)
    dino.network.register_forward_hook(wait)
    with ThreadPoolExecutor(len(pictures)) as pool:
        found = pool.map(lambda p: extract_features_and_attention(dino, p, **options), pictures)
        for ours, expected in zip(found, alone, strict=True):
            assert all(map(torch.equal, ours, expected))


def test_model_is_left_as_it_was():
    dino, pixels = tiny("dinov2"), picture(48, 64)
    before = own_forward(dino, normalised(pixels, 48, 64)).last_hidden_state
    for _ in range(3):
        extract_features(dino, pixels, shorter_side=48, stride=3, layer=1, facet="value")
    assert sum(len(module._forward_hooks) for module in dino.network.modules()) == 1
    after = own_forward(dino, normalised(pixels, 48, 64)).last_hidden_state
    assert torch.equal(before, after)


def test_half_precision_model_gives_float32():
    dino = tiny("dinov2")
    full = extract_features(dino, picture(48, 64), shorter_side=48)
    dino.network.to(torch.bfloat16)
    half = extract_features(dino, picture(48, 64), shorter_side=48)
    assert half.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(full, half, dim=-1).min() > 0.98


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (300, 2)])
def test_tiny_and_thin_pictures(size):
    features = extract_features(tiny("dino"), picture(*size), shorter_side=8, stride=5)
    assert torch.isfinite(features).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 0}, "features.stride=0 is out of range: choose 1..8"),
        ({"stride": 9}, "features.stride=9 is out of range"),
        ({"facet": "embedding"}, "features.facet=embedding is what a CLIP reads out"),
        ({"facet": "keys"}, "unknown features.facet 'keys': choose one of key, query, value"),
        ({"layer": 3}, "the model has 3 layers, choose -3..2"),
        ({"layer": -4}, "features.layer=-4 is out of range"),
        ({"shorter_side": 7}, "choose at least 8"),
        ({"median_blur": 33}, "must be an odd number from 1 to 31"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(UsageError, match="features") as error:
        extract_features(tiny("dino"), picture(48, 48), **{"shorter_side": 48, **options})
    assert message in str(error.value)


@pytest.mark.parametrize("size", [(48, 48), (1, 500), (500, 3)])
def test_too_many_cells_say_what_fits(size):
    with pytest.raises(ZeroguideError, match=r"set features\.shorter_side to \d+ ") as error:
        grid_shape(*size, 5000, 4)
    fitting = int(str(error.value).split("shorter_side to ")[1].split()[0])
    rows, columns = grid_shape(*size, fitting, 4)
    assert 0.8 * 50_000 < rows * columns <= 50_000 or fitting < 50


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("layer", [-1, 1])
def test_class_attention_equals_the_own(kind, layer):
    dino, pixels = tiny(kind), picture(60, 97)
    for name, parameter in dino.network.named_parameters():
        if "query" in name or "q_proj" in name:  # attention that is not nearly the same everywhere
            parameter.data *= 50
    rows, columns = grid_shape(60, 97, 48, 8)
    features, attention = extract_features_and_attention(
        dino, pixels, shorter_side=48, layer=layer, facet="token"
    )
    plain = extract_features(dino, pixels, shorter_side=48, layer=layer, facet="token")
    assert torch.equal(features, plain)
    dino.network.set_attn_implementation("eager")
    own = own_forward(dino, normalised(pixels, rows * 8, columns * 8), output_attentions=True)
    expected = own.attentions[layer][0, :, 0].mean(0)[dino.n_prefix :].reshape(rows, columns)
    assert expected.std() > 0.1 * expected.mean()
    torch.testing.assert_close(attention, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ALL)
def test_images_of_equal_grids_go_through_the_model_together(kind):
    dino = tiny(kind)
    images = [picture(60, 97), picture(48, 48), picture(120, 194), picture(97, 60), picture(48, 50)]
    sizes = []
    dino.network.register_forward_hook(lambda m, i, out: sizes.append(len(out.last_hidden_state)))
    found = extract_features_batch(dino, images, shorter_side=48, stride=5, attention=True)
    assert sorted(sizes) == [1, 2, 2]
    for pixels, (features, attention) in zip(images, found, strict=True):
        own = extract_features_and_attention(dino, pixels, shorter_side=48, stride=5)
        torch.testing.assert_close(features, own[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(attention, own[1], atol=1e-5, rtol=1e-4)
    plain = extract_features_batch(dino, images[:1], shorter_side=48, stride=5)
    assert torch.equal(plain[0][0], extract_features(dino, images[0], shorter_side=48, stride=5))
    assert plain[0][1] is None
    assert extract_features_batch(dino, [], shorter_side=48) == []


def test_median_blur_removes_specks():
    dino, clean = tiny("dino"), picture(48, 48)
    clean[:] = 120
    speckled = clean.copy()
    speckled[::7, ::5] = 255
    expected = extract_features(dino, clean, shorter_side=48)
    blurred = extract_features(dino, speckled, shorter_side=48, median_blur=3)
    torch.testing.assert_close(blurred, expected)
    with pytest.raises(UsageError, match="must be an odd number from 1 to 31"):
        extract_features(dino, clean, shorter_side=48, median_blur=4)
