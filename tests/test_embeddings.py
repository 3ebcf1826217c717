"""Segment embeddings against the released research code's numbers and open_clip itself."""

import json
from functools import partial

import hub_folders
import numpy as np
import open_clip
import pytest
import timm
import torch

from zeroguide.clip import Region, SegmentedImage, SegmentEmbedder
from zeroguide.clip.exact import embed_exact
from zeroguide.clip.frame import make_frame, preprocess, soft_masks
from zeroguide.clip.packed import embed_packed
from zeroguide.clip.packed_global import embed_packed_global
from zeroguide.clip.pooled import embed_pooled, encode_pooled
from zeroguide.clip.towers import encode_early, patch_size, positions
from zeroguide.errors import UsageError, WeightsError
from zeroguide.models import Clip, load_clip

MODES = ["exact", "packed", "packed+global", "pooled", "crop"]
FITS = ["squash", "letterbox", "native"]


def embedder(clip: Clip, **changes) -> SegmentEmbedder:
    plain = {"mode": "packed", "masked_blocks": 2, "subtraction_sd": 5.0, "softness": 1.0}
    plain |= {"fit": "squash", "image_size": None, "windows": False, "batch_size": 16}
    return SegmentEmbedder(clip, **(plain | changes))


def clip_of(visual: torch.nn.Module, size: int) -> Clip:
    network = torch.nn.Module()
    network.visual, network.encode_image = visual.eval(), visual
    return Clip(network, open_clip.tokenize, size, (0.5,) * 3, (0.25,) * 3)


def tower(name: str, **changes) -> Clip:
    """One of open_clip's own towers with random weights."""
    config = json.loads(json.dumps(open_clip.get_model_config(name)))
    vision = config["vision_cfg"] | changes
    if "timm_model_name" in vision:
        vision["timm_model_pretrained"] = False
    torch.manual_seed(0)
    quick = config.get("quick_gelu", False)
    visual = open_clip.model._build_vision_tower(config["embed_dim"], vision, quick)
    return clip_of(visual.requires_grad_(False), vision.get("image_size", 224))


@pytest.fixture(scope="module")
def tiny_clip(tmp_path_factory) -> Clip:
    folder = tmp_path_factory.mktemp("clip")
    hub_folders.clip_folder(folder)
    return load_clip(str(folder), device="cpu")


def picture(height: int, width: int, n: int, seed: int = 0) -> SegmentedImage:
    rng = np.random.default_rng(seed)
    label_map = (np.arange(width) * n // width) * np.ones((height, 1), np.int32)
    label_map[: height // 3] = 0
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return SegmentedImage(pixels, label_map.astype(np.int32))


def parts_of(picture: SegmentedImage) -> list[Region]:
    return [Region(picture, (i,)) for i in range(int(picture.label_map.max()) + 1)]


@pytest.mark.parametrize(("key", "sd"), [("masked", None), ("sd5", 5.0), ("sd2", 2.0)])
def test_equals_the_released_code(shared, key, sd):
    clip = load_clip(str(shared / "reference" / "masked_clip"), device="cpu")
    expected = np.load(shared / "reference" / "masked_clip" / "expected.npz")
    visual = clip.network.visual
    frame = make_frame(70, 70, fit="squash", side=clip.image_size, patch=patch_size(visual))
    masks = soft_masks(expected["label_map"], frame, 5)
    np.testing.assert_allclose(masks.reshape(5, 5, 5), expected["soft_masks"], atol=1e-6)
    attend = partial(embed_packed, visual) if sd is None else partial(embed_exact, visual, sd=sd)
    with torch.no_grad():
        tokens = encode_early(visual, torch.from_numpy(expected["image"])[None], 4)
        ours = attend(tokens, masks, torch.zeros(5, dtype=torch.int64), masked_blocks=4)
    np.testing.assert_allclose(ours, expected[key], atol=1e-5)


LARGE = pytest.param("ViT-L-14-336-quickgelu", marks=pytest.mark.slow)
ARCHITECTURES = ["ViT-B-16", "ViT-B-32-quickgelu", LARGE, "tiny"]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_all_ones_mask_is_encode_image(name, request):
    """A mask of ones without subtraction is the model's own forward pass, whatever the mode."""
    if name == "tiny":
        weights = request.path.parents[1] / "zeroguide" / "models" / "weights" / "tiny" / "clip"
        clip = load_clip(str(weights), device="cpu")
    else:
        clip = tower(name, layers=4)
    visual, size, n_masked = clip.network.visual, clip.image_size, 3
    image = torch.randn(1, 3, size, size)
    one = torch.zeros(1, dtype=torch.int64)
    with torch.no_grad():
        tokens = encode_early(visual, image, n_masked)
        ones = torch.ones(1, tokens.shape[1] - 1)
        rest = {"masked_blocks": n_masked, "sd": 0.01}  # a spread that takes nothing away
        ours = [
            embed_packed(visual, tokens, ones, one, masked_blocks=n_masked),
            embed_packed_global(visual, tokens, ones, one, **rest),
            embed_exact(visual, tokens, ones, one, **rest),
        ]
        for block in visual.transformer.resblocks[-n_masked:-1]:
            tokens = block(tokens)
        ours.append(embed_pooled(visual, tokens, ones, one))
        expected = visual(image)
    for embedding in ours:
        assert (embedding - expected).abs().max() < 1e-5 * max(1, expected.abs().max())


SIGLIP = pytest.param("ViT-B-32-SigLIP2-256", marks=pytest.mark.slow)
PERCEPTION = ["PE-Core-S-16-384", "PE-Core-B-16", "PE-Core-L-14-336"]  # of the presets
POOLS = ["coca_ViT-B-32", SIGLIP, *(pytest.param(n, marks=pytest.mark.slow) for n in PERCEPTION)]


@pytest.mark.parametrize("name", POOLS)
def test_all_ones_mask_is_encode_image_where_an_attention_pools(name, monkeypatch):
    """Perception Encoders with two blocks; scripts/check/architectures.py has all of them."""
    if name.startswith("PE"):
        monkeypatch.setattr(timm, "create_model", partial(timm.create_model, depth=2))
    visual = tower(name).network.visual
    size = json.loads(json.dumps(open_clip.get_model_config(name)))["vision_cfg"]["image_size"]
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        tokens = encode_pooled(visual, images)
        ones = torch.ones(2, (size // patch_size(visual)) ** 2)
        ours = embed_pooled(visual, tokens, ones, torch.tensor([1, 0]))
        expected = visual(images)
        expected = expected[0] if isinstance(expected, tuple) else expected  # CoCa: and tokens
    torch.testing.assert_close(ours, expected.flip(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("mode", MODES)
def test_pictures_together_are_pictures_one_by_one(tiny_clip, mode, fit):
    pictures = [picture(60, 90, 4), picture(90, 60, 2), picture(50, 50, 3), picture(50, 50, 5)]
    ours = embedder(tiny_clip, mode=mode, fit=fit, batch_size=3, windows=True)
    regions = [region for p in pictures for region in parts_of(p)][::-1]
    together = ours.embed(ours.prepare(pictures), regions)
    alone = [ours.embed(ours.prepare([region.image]), [region]) for region in regions]
    assert together.dtype == torch.float32
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("mode", MODES)
def test_batch_size_changes_nothing(tiny_clip, mode):
    pictures = [picture(60, 90, 4), picture(60, 90, 3)]
    regions = parts_of(pictures[1]) + parts_of(pictures[0])
    one, many = (embedder(tiny_clip, mode=mode, batch_size=size) for size in (1, 16))
    torch.testing.assert_close(
        one.embed(one.prepare(pictures), regions),
        many.embed(many.prepare(pictures), regions),
        rtol=1e-4,
        atol=2e-6,
    )


@pytest.mark.parametrize("mode", MODES)
def test_no_regions_and_no_pictures(tiny_clip, mode):
    ours = embedder(tiny_clip, mode=mode)
    for pictures in ([], [picture(20, 30, 2)]):
        assert ours.embed(ours.prepare(pictures), []).shape == (0, 32)


@pytest.mark.parametrize("mode", MODES)
def test_bfloat16_stays_near(tiny_clip, mode):
    ours = embedder(tiny_clip, mode=mode)
    pictures = [picture(60, 90, 4)]
    full = ours.embed(ours.prepare(pictures), parts_of(pictures[0]))
    with torch.autocast("cpu", torch.bfloat16):
        half = ours.embed(ours.prepare(pictures), parts_of(pictures[0]))
    assert half.dtype == torch.float32 and not torch.equal(half, full)
    assert torch.cosine_similarity(full, half).min() > 0.999


def test_exact_without_subtraction_is_packed(tiny_clip):
    plain = embedder(tiny_clip, mode="exact", subtraction_sd=None)
    packed = embedder(tiny_clip, mode="packed")
    pictures = [picture(60, 90, 4)]
    ours = [e.embed(e.prepare(pictures), parts_of(pictures[0])) for e in (plain, packed)]
    torch.testing.assert_close(*ours)


def test_packed_global_is_exact_with_one_masked_block(tiny_clip):
    pictures = [picture(60, 90, 4)]
    ours = [
        e.embed(e.prepare(pictures), parts_of(pictures[0]))
        for mode in ("packed+global", "exact", "packed")
        for e in [embedder(tiny_clip, mode=mode, masked_blocks=1, subtraction_sd=5.0)]
    ]
    torch.testing.assert_close(ours[0], ours[1], rtol=1e-4, atol=2e-6)
    assert (ours[0] - ours[2]).abs().max() > 1e-3


@pytest.mark.parametrize("mode", MODES)
def test_more_masked_blocks_than_there_are_masks_all(tiny_clip, mode):
    pictures = [picture(60, 90, 3)]
    every, more = (embedder(tiny_clip, mode=mode, masked_blocks=n) for n in (3, 99))
    torch.testing.assert_close(
        *(e.embed(e.prepare(pictures), parts_of(pictures[0])) for e in (every, more))
    )


def test_pixels_outside_the_segment_reach_packed_only_before_the_mask(tiny_clip):
    """With every block masked, a segment of whole tokens sees nothing but itself."""
    a = picture(48, 48, 2)
    inside = a.label_map == 1
    b = SegmentedImage(np.where(inside[..., None], a.pixels, 255 - a.pixels), a.label_map)
    every, last = (embedder(tiny_clip, masked_blocks=n) for n in (3, 1))
    same, other = ([e.embed(e.prepare([p]), parts_of(p))[1] for p in (a, b)] for e in (every, last))
    torch.testing.assert_close(*same)
    assert (other[0] - other[1]).abs().max() > 1e-3


def test_interpolated_positions_are_open_clips(tiny_clip):
    visual = tiny_clip.network.visual
    assert positions(visual, 6, 6) is visual.positional_embedding
    other = torch.nn.Module()
    other.visual = torch.nn.Module()
    other.visual.grid_size = (4, 8)
    state = {"visual.positional_embedding": visual.positional_embedding}
    open_clip.model.resize_pos_embed(state, other)
    torch.testing.assert_close(positions(visual, 4, 8), state["visual.positional_embedding"])


def test_image_size_and_native_choose_the_number_of_tokens(tiny_clip):
    wide = picture(30, 120, 2)
    tokens = {
        (fit, size): next(
            iter(embedder(tiny_clip, fit=fit, image_size=size).prepare([wide]).views.values())
        ).tokens
        for fit in FITS
        for size in (None, 100)
    }
    lengths = {key: len(value) - 1 for key, value in tokens.items()}
    assert lengths["squash", None] == lengths["letterbox", None] == 36
    assert lengths["native", None] == 3 * 12
    assert lengths["squash", 100] == 12 * 12 and lengths["native", 100] == 6 * 24


def test_windows_are_encoded_only_for_small_segments_and_once(tiny_clip):
    label_map = np.zeros((100, 100), np.int32)
    label_map[5:15, 5:15], label_map[48:55, 48:55], label_map[:50, 60:] = 1, 2, 3
    pixels = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    scene = SegmentedImage(pixels, label_map)
    ours, plain = embedder(tiny_clip, windows=True), embedder(tiny_clip)
    prepared = ours.prepare([scene])
    large = [Region(scene, (0,)), Region(scene, (3,)), Region(scene, (1, 2, 3))]
    torch.testing.assert_close(
        ours.embed(prepared, large), plain.embed(plain.prepare([scene]), large)
    )
    assert len(prepared.views) == 1
    corner = SegmentedImage(pixels[:50, :50], np.ascontiguousarray(label_map[:50, :50]))
    torch.testing.assert_close(
        ours.embed(prepared, [Region(scene, (1,))]),
        plain.embed(plain.prepare([corner]), [Region(corner, (1,))]),
    )
    assert len(prepared.views) == 2
    first = dict(prepared.views)
    ours.embed(prepared, parts_of(scene))
    assert len(prepared.views) == 3 and all(prepared.views[key] is first[key] for key in first)


@pytest.mark.parametrize("mode", ["exact", "packed", "packed+global"])
@pytest.mark.parametrize(
    ("name", "others"),
    [("RN50", '"crop"'), ("PE-Core-T-16-384", '"pooled"'), ("coca_ViT-B-32", '"pooled"')],
)
def test_towers_without_a_class_token_are_refused(mode, name, others):
    with pytest.raises(WeightsError, match=f"choose {others}"):
        embedder(tower(name), mode=mode)


@pytest.mark.parametrize("name", ["RN50", "convnext_tiny"])
def test_towers_without_attention_only_embed_crops(name):
    clip = tower(name, **({"layers": [1, 1, 1, 1]} if name == "RN50" else {}))
    with pytest.raises(WeightsError, match="crop"):
        embedder(clip, mode="pooled")
    scene = picture(40, 60, 2)
    ours = embedder(clip, mode="crop")
    embeddings = ours.embed(ours.prepare([scene]), parts_of(scene))
    assert len(embeddings) == 2 and embeddings.isfinite().all()
    assert ours.embed(ours.prepare([scene]), []).shape == (0, embeddings.shape[1])


@pytest.mark.parametrize("change", [{"fit": "native"}, {"image_size": 512}])
def test_towers_with_fixed_positions_refuse_other_sizes(change):
    with pytest.raises(UsageError, match="positions"):
        embedder(tower("PE-Core-T-16-384"), mode="pooled", **change)


def test_image_size_below_a_patch_is_refused(tiny_clip):
    with pytest.raises(UsageError, match="at least 8"):
        embedder(tiny_clip, image_size=7)


def test_own_size_is_kept_with_a_rest_below_a_patch():
    """A tower of 30 pixels and patches of 8 has 3 x 3 tokens: the picture is put into those."""
    torch.manual_seed(0)
    vision = hub_folders.TINY_CLIP["vision_cfg"] | {"image_size": 30}
    visual = open_clip.model._build_vision_tower(32, vision)
    ours = embedder(clip_of(visual.requires_grad_(False), 30))
    scene = picture(40, 40, 2)
    (view,) = ours.prepare([scene]).views.values()
    torch.testing.assert_close(view.masks.sum(0), torch.ones(9))
    frame = make_frame(40, 40, fit="squash", side=30, patch=8)
    assert preprocess(scene.pixels, frame, (0.5,) * 3, (1,) * 3)[:, 24:].eq(0).all()
    assert ours.embed(ours.prepare([scene]), parts_of(scene)).isfinite().all()


@pytest.mark.parametrize("mode", ["exact", "packed", "packed+global", "pooled"])
@pytest.mark.parametrize(
    "changes", [{}, {"softness": 0.0}, {"fit": "letterbox"}, {"windows": True}]
)
def test_token_weights_are_those_that_count(tiny_clip, monkeypatch, mode, changes):
    ours = embedder(tiny_clip, mode=mode, **changes)
    image = picture(60, 90, 4)
    image.label_map[50:, 80:] = 4  # small: it has a window
    regions = [Region(image, parts) for parts in [(0,), (1, 2), (0, 1, 2, 3, 4), (4,)]]
    with monkeypatch.context() as patch:
        patch.setattr(ours, "_encode", None)  # no network runs
        seen = [ours.token_weights(region) for region in regions]
    counted, attend = [], ours._attend

    def listen(tokens, masks, image_of):
        counted.append(masks)
        return attend(tokens, masks, image_of)

    monkeypatch.setattr(ours, "_attend", listen)
    for region, own in zip(regions, seen, strict=True):
        counted.clear()
        ours.embed(ours.prepare([image]), [region])
        np.testing.assert_array_equal(counted[0][0].numpy(), own.weights.ravel())
        assert own.weights.shape == (own.frame.rows, own.frame.columns)
    assert (seen[3].box.bottom - seen[3].box.top < 60) == ("windows" in changes)
    if changes.get("fit") != "letterbox":
        assert seen[2].weights.min() == 1  # the whole picture
