"""Every mode against a plain loop over its definition, on a tiny tower and on a real one."""

import hub_folders
import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer

from parity import reference_clip as reference
from zeroguide.clip import Region, SegmentedImage, SegmentEmbedder
from zeroguide.clip.exact import embed_exact
from zeroguide.clip.frame import make_frame, soft_masks
from zeroguide.clip.packed import embed_packed
from zeroguide.clip.packed_global import embed_packed_global
from zeroguide.clip.pooled import embed_pooled, encode_pooled
from zeroguide.clip.towers import encode_early
from zeroguide.models import Clip

N_MASKED = 3  # a first, a last, and one between
SD = 5.0
MODES = {
    "exact": (
        lambda *args: embed_exact(*args, masked_blocks=N_MASKED, sd=SD, batch_size=2),
        lambda *args: reference.exact(*args, N_MASKED, SD),
    ),
    "packed": (
        lambda *args: embed_packed(*args, masked_blocks=N_MASKED),
        lambda *args: reference.exact(*args, N_MASKED, None),
    ),
    "packed+global": (
        lambda *args: embed_packed_global(*args, masked_blocks=N_MASKED, sd=SD),
        lambda *args: reference.packed_global(*args, N_MASKED, SD),
    ),
}


def random_tower(config: dict) -> torch.nn.Module:
    torch.manual_seed(0)
    visual = open_clip.model._build_vision_tower(
        config["embed_dim"], config["vision_cfg"], config.get("quick_gelu", False)
    )
    with torch.no_grad():
        for name, parameter in visual.named_parameters():
            if "bias" in name or "ln" in name or "gamma" in name:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return visual.eval().requires_grad_(False)


@pytest.fixture(scope="module", params=["tiny", "tiny with layer scale", "ViT-B-32-quickgelu"])
def visual(request):
    if request.param == "ViT-B-32-quickgelu":
        config = open_clip.get_model_config(request.param)
        config["vision_cfg"]["layers"] = N_MASKED + 1
        return random_tower(config)
    vision = hub_folders.TINY_CLIP["vision_cfg"] | {"layers": N_MASKED + 1}
    if request.param == "tiny with layer scale":
        vision["ls_init_value"] = 0.5
    return random_tower(hub_folders.TINY_CLIP | {"vision_cfg": vision})


def overlapping_masks(n: int, size: int) -> torch.Tensor:
    """Masks with zeros, ones and shares between; some tokens in none, some in several."""
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(n, size, generator=generator) * 3 - 1.5).clamp(0, 1)


def assert_close(ours: torch.Tensor, expected: list[torch.Tensor]) -> None:
    expected = torch.stack(expected)
    error = (ours.double() - expected).norm(dim=1) / expected.norm(dim=1)
    assert error.max() < 1e-5, error


@pytest.mark.parametrize("mode", MODES)
def test_mode_is_its_definition(visual, mode):
    side = visual.image_size[0]
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(2))
    masks = overlapping_masks(3, (side // visual.patch_size[0]) ** 2)
    owner = torch.tensor([1, 0, 1])
    ours, definition = MODES[mode]
    plain = reference.in_float64(visual)
    with torch.no_grad():
        embeddings = ours(visual, encode_early(visual, images, N_MASKED), masks, owner)
        tokens = reference.tokens(plain, images, N_MASKED)
        assert_close(
            embeddings,
            [definition(plain, tokens[i], m) for i, m in zip(owner, masks, strict=True)],
        )


def test_pooled_is_one_masked_block(visual):
    side = visual.image_size[0]
    images = torch.randn(2, 3, side, side)
    masks = overlapping_masks(3, (side // visual.patch_size[0]) ** 2)
    owner = torch.tensor([1, 0, 1])
    plain = reference.in_float64(visual)
    with torch.no_grad():
        embeddings = embed_pooled(visual, encode_pooled(visual, images), masks, owner)
        tokens = reference.tokens(plain, images, 1)
        assert_close(
            embeddings,
            [
                reference.exact(plain, tokens[i], m, 1, None)
                for i, m in zip(owner, masks, strict=True)
            ],
        )


def test_pooled_coca():
    vision = hub_folders.TINY_CLIP["vision_cfg"] | {"attentional_pool": True}
    vision |= {"attn_pooler_heads": 2, "attn_pooler_queries": 3}
    visual = random_tower({"embed_dim": 24, "vision_cfg": vision})
    images, masks, owner = torch.randn(2, 3, 48, 48), overlapping_masks(3, 36), [1, 0, 1]
    plain = reference.in_float64(visual)
    with torch.no_grad():
        tokens = encode_pooled(visual, images)
        embeddings = embed_pooled(visual, tokens, masks, torch.tensor(owner))
        whole = reference.tokens(plain, images, 0)
        expected = [
            reference.pooled_coca(plain, whole[i], m) for i, m in zip(owner, masks, strict=True)
        ]
    assert_close(embeddings, expected)


class TimmTower(torch.nn.Module):
    """What open_clip wraps around a timm network."""

    def __init__(self, trunk: torch.nn.Module) -> None:
        super().__init__()
        self.trunk, self.head = trunk, torch.nn.Linear(trunk.embed_dim, 24)


@pytest.mark.parametrize("kind", ["like SigLIP", "like Perception Encoder"])
def test_pooled_timm(kind):
    torch.manual_seed(0)
    shape = {"img_size": 48, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
    shape |= {"num_classes": 0, "global_pool": "map"}
    if kind == "like SigLIP":
        trunk = VisionTransformer(**shape, class_token=False)
    else:
        trunk = Eva(**shape, use_rot_pos_emb=True, use_pre_transformer_norm=True)
    visual = TimmTower(trunk).eval()
    images, masks, owner = torch.randn(2, 3, 48, 48), overlapping_masks(3, 36), [1, 0, 1]
    plain = reference.in_float64(visual)
    with torch.no_grad():
        tokens = encode_pooled(visual, images)
        embeddings = embed_pooled(visual, tokens, masks, torch.tensor(owner))
        whole = plain.trunk.forward_features(images.double())
        expected = [
            reference.pooled_timm(plain, whole[i], m) for i, m in zip(owner, masks, strict=True)
        ]
    assert_close(embeddings, expected)


def test_crop():
    torch.manual_seed(0)
    network = open_clip.model.CLIP(**hub_folders.TINY_CLIP).eval()
    clip = Clip(network, open_clip.tokenize, 48, (0.5, 0.4, 0.3), (0.25,) * 3)
    rng = np.random.default_rng(0)
    label_map = rng.integers(0, 3, (6, 9)).repeat(7, 0).repeat(5, 1)
    picture = SegmentedImage(rng.integers(0, 256, (*label_map.shape, 3), dtype=np.uint8), label_map)
    regions = [Region(picture, parts) for parts in [(0,), (2,), (0, 1)]]
    embedder = SegmentEmbedder(
        clip,
        mode="crop",
        masked_blocks=1,
        subtraction_sd=None,
        softness=1.0,
        fit="squash",
        image_size=None,
        windows=False,
        batch_size=2,
    )
    ours = embedder.embed(embedder.prepare([picture]), regions)
    transform = open_clip.image_transform(
        48, is_train=False, mean=clip.mean, std=clip.std, resize_mode="squash"
    )
    plain = reference.in_float64(network.visual)
    squares = [reference.crop(picture.pixels, region.mask, clip.mean) for region in regions]
    with torch.no_grad():
        images = [transform(Image.fromarray(square)) for square in squares]
        expected = [plain(image[None].double())[0] for image in images]
    assert_close(ours, expected)


@pytest.mark.parametrize("shape", [(7, 13), (20, 6), (3, 2)])
@pytest.mark.parametrize("fit", ["squash", "letterbox"])
def test_shares_are_covered_areas(shape, fit):
    label_map = np.random.default_rng(0).integers(0, 3, shape)
    frame = make_frame(*shape, fit=fit, side=24, patch=6)
    box = (frame.top, frame.left, frame.inner_height, frame.inner_width)
    expected = [
        reference.token_share(label_map, part, tuple(x / 6 for x in box), 4) for part in range(3)
    ]
    np.testing.assert_allclose(soft_masks(label_map, frame, 3), expected, atol=1e-6)
