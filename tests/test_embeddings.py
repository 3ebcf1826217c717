"""Masked CLIP against the released research code's numbers, open_clip itself and a plain loop."""

import json

import hub_folders
import numpy as np
import open_clip
import pytest
import torch

from zeroguide.embeddings import MaskedClip
from zeroguide.errors import WeightsError
from zeroguide.models import Clip, load_clip

TINY = hub_folders.TINY_CLIP


@pytest.fixture(scope="module")
def tiny_clip(tmp_path_factory) -> Clip:
    folder = tmp_path_factory.mktemp("clip")
    hub_folders.clip_folder(folder)
    return load_clip(str(folder), device="cpu")


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)


def stripes(height: int, width: int, n: int) -> np.ndarray:
    return np.broadcast_to(np.arange(width) * n // width, (height, width)).astype(np.int32)


@pytest.mark.parametrize(("key", "sd"), [("masked", None), ("sd5", 5.0), ("sd2", 2.0)])
def test_equals_the_released_code(shared, key, sd):
    clip = load_clip(str(shared / "reference" / "masked_clip"), device="cpu")
    expected = np.load(shared / "reference" / "masked_clip" / "expected.npz")
    tower = MaskedClip(clip, masked_blocks=4, subtraction_sd=sd, batch_size=2)
    masks = tower.masks(expected["label_map"])
    np.testing.assert_allclose(masks.reshape(5, 5, 5), expected["soft_masks"], atol=1e-5)
    tokens = tower.unmasked_tokens(torch.from_numpy(expected["image"])[None])
    np.testing.assert_allclose(tower.embed(tokens, masks), expected[key], atol=1e-5)


ARCHITECTURES = ["ViT-B-16", "ViT-B-32-quickgelu", "ViT-L-14-336-quickgelu", "tiny"]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_all_ones_mask_is_encode_image(name, request):
    """A mask of ones without subtraction is the model's own forward pass."""
    if name == "tiny":
        weights = request.path.parents[1] / "zeroguide" / "weights" / "tiny" / "clip"
        clip = load_clip(str(weights), device="cpu")
    else:
        torch.manual_seed(0)
        config = open_clip.get_model_config(name)
        config["text_cfg"] |= {"layers": 1, "width": 64, "heads": 1}  # not what is tested here
        network = open_clip.model.CLIP(**config).eval().requires_grad_(False)
        size = config["vision_cfg"]["image_size"]
        clip = Clip(network, open_clip.tokenize, size, (0.5,) * 3, (0.25,) * 3)
    tower = MaskedClip(clip, masked_blocks=4)
    image = torch.randn(1, 3, clip.image_size, clip.image_size)
    tokens = tower.unmasked_tokens(image)
    ours = tower.embed(tokens, torch.ones(1, tokens.shape[1] - 1))
    with torch.inference_mode():
        assert (ours - clip.network.encode_image(image)).abs().max() < 1e-5


def by_the_definition(visual, tokens, mask, sd, n_masked):
    """One segment, one head, one row at a time, in float64: METHOD straight from its formula."""
    x = tokens[0].double()
    m = torch.cat([torch.ones(1), mask]).double()
    for block in visual.transformer.resblocks[-n_masked:]:
        attn = block.attn
        y = torch.nn.functional.layer_norm(
            x, x.shape[-1:], block.ln_1.weight.double(), block.ln_1.bias.double()
        )
        q, k, v = (y @ attn.in_proj_weight.double().T + attn.in_proj_bias.double()).chunk(3, dim=1)
        size = q.shape[1] // attn.num_heads
        heads, cosines = [], []
        for h in range(attn.num_heads):
            part = slice(h * size, (h + 1) * size)
            plain, rows = [], []
            for i in range(len(x)):
                scores = torch.stack([q[i, part] @ k[j, part] / size**0.5 for j in range(len(x))])
                a = scores.exp() / scores.exp().sum()
                row = a * m / (a * m).sum()
                cosines.append(row @ a / (row.norm() * a.norm()))
                plain.append(a)
                rows.append(row)
            heads.append((torch.stack(rows), plain[0], v[:, part]))
        weight = 0.0
        if sd is not None:
            weight = torch.exp(-((torch.stack(cosines).mean() + 1) ** 2) / sd)
        out = torch.cat([(rows - weight * cls) @ values for rows, cls, values in heads], dim=1)
        x = x + out @ attn.out_proj.weight.double().T + attn.out_proj.bias.double()
        z = torch.nn.functional.layer_norm(
            x, x.shape[-1:], block.ln_2.weight.double(), block.ln_2.bias.double()
        )
        hidden = z @ block.mlp.c_fc.weight.double().T + block.mlp.c_fc.bias.double()
        hidden = torch.nn.functional.gelu(hidden)
        x = x + hidden @ block.mlp.c_proj.weight.double().T + block.mlp.c_proj.bias.double()
    cls = torch.nn.functional.layer_norm(
        x[0], x.shape[-1:], visual.ln_post.weight.double(), visual.ln_post.bias.double()
    )
    return cls @ visual.proj.double()


@pytest.mark.parametrize("sd", [None, 5.0])
def test_batches_equal_a_plain_loop_over_the_definition(tiny_clip, pixels, sd):
    tower = MaskedClip(tiny_clip, masked_blocks=2, subtraction_sd=sd, batch_size=2)
    tokens, masks = tower.tokens(pixels), tower.masks(stripes(60, 90, 5))
    visual = tiny_clip.network.visual
    expected = [by_the_definition(visual, tokens, mask, sd, 2) for mask in masks]
    torch.testing.assert_close(
        tower.embed(tokens, masks).double(), torch.stack(expected), rtol=1e-5, atol=1e-5
    )


def test_permuting_segments_permutes_embeddings(tiny_clip, pixels):
    tower = MaskedClip(tiny_clip, masked_blocks=2, subtraction_sd=5.0)
    tokens, masks = tower.tokens(pixels), tower.masks(stripes(60, 90, 5))
    order = [3, 0, 4, 1, 2]
    torch.testing.assert_close(tower.embed(tokens, masks)[order], tower.embed(tokens, masks[order]))


@pytest.mark.parametrize("shape", [(60, 90), (90, 60), (7, 131), (1, 1), (48, 48), (500, 333)])
def test_squashed_masks_share_out_every_token(tiny_clip, shape):
    tower = MaskedClip(tiny_clip, masked_blocks=1)
    masks = tower.masks(stripes(*shape, n=min(3, shape[1])))
    torch.testing.assert_close(masks.sum(0), torch.ones(36))


def test_masks_average_over_the_area_of_a_token(tiny_clip):
    tower = MaskedClip(tiny_clip, masked_blocks=1)
    label_map = np.random.default_rng(1).integers(0, 4, (96, 48))
    # A token of the 6 x 6 grid covers 16 x 8 of these pixels.
    expected = np.stack([(label_map == i).reshape(6, 16, 6, 8).mean((1, 3)) for i in range(4)])
    np.testing.assert_allclose(tower.masks(label_map).reshape(4, 6, 6), expected, atol=1e-6)


def test_letterbox_keeps_proportions_and_leaves_the_border_to_nobody(tiny_clip):
    tower = MaskedClip(tiny_clip, masked_blocks=1, fit="letterbox")
    masks = tower.masks(np.zeros((20, 40), np.int64)).reshape(6, 6)
    # 20 x 40 becomes 24 x 48: rows 12 to 36 of 48, half of token rows 1 and 4.
    np.testing.assert_allclose(masks[:, 0], [0, 0.5, 1, 1, 0.5, 0], atol=1e-6)
    white = tower._preprocess(np.full((20, 40, 3), 255, np.uint8))
    assert (white[:, :12] == 0).all() and (white[:, 12:36] > 1).all() and (white[:, 36:] == 0).all()


def test_picture_is_resized_as_open_clip_does(tiny_clip, pixels):
    from PIL import Image

    tower = MaskedClip(tiny_clip, masked_blocks=1)
    transform = open_clip.image_transform(
        48, is_train=False, mean=tiny_clip.mean, std=tiny_clip.std, resize_mode="squash"
    )
    torch.testing.assert_close(tower._preprocess(pixels), transform(Image.fromarray(pixels)))


def test_more_masked_blocks_than_there_are_masks_all(tiny_clip, pixels):
    every, more = (MaskedClip(tiny_clip, masked_blocks=n) for n in (3, 99))
    masks = every.masks(stripes(60, 90, 2))
    ours = [tower.embed(tower.tokens(pixels), masks) for tower in (every, more)]
    torch.testing.assert_close(*ours)


@pytest.mark.parametrize("name", ["RN50", "ViT-B-16-SigLIP", "coca_ViT-B-32"])
def test_towers_that_cannot_be_masked_are_refused(name):
    config = json.loads(json.dumps(open_clip.get_model_config(name)))
    vision = config["vision_cfg"]
    if "timm_model_name" in vision:
        vision["timm_model_pretrained"] = False
    visual = open_clip.model._build_vision_tower(config["embed_dim"], vision)
    clip = Clip(
        torch.nn.ModuleDict({"visual": visual}), open_clip.tokenize, 224, (0,) * 3, (1,) * 3
    )
    clip.network.visual = visual
    with pytest.raises(WeightsError, match="can't be masked"):
        MaskedClip(clip, masked_blocks=1)
