"""What holds for any picture and any segments, whatever the mode."""

import hub_folders
import numpy as np
import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroguide.clip import Region, SegmentedImage, SegmentEmbedder
from zeroguide.models import Clip

MODES = ["exact", "packed", "packed+global", "pooled", "crop"]
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
few = settings(max_examples=30, deadline=None)


def tiny_clip() -> Clip:
    torch.manual_seed(0)
    network = open_clip.model.CLIP(**hub_folders.TINY_CLIP).eval().requires_grad_(False)
    return Clip(network, open_clip.tokenize, 48, (0.5,) * 3, (0.25,) * 3)


CLIP = tiny_clip()


def embed(mode: str, regions: list[Region]) -> torch.Tensor:
    embedder = SegmentEmbedder(
        CLIP,
        mode=mode,
        masked_blocks=2,
        subtraction_sd=5.0,
        softness=0.7,
        fit="native",
        image_size=None,
        windows=False,
        batch_size=3,
    )
    pictures = list(dict.fromkeys(region.image for region in regions))
    return embedder.embed(embedder.prepare(pictures), regions)


@st.composite
def pictures(draw: st.DrawFn) -> SegmentedImage:
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    n = draw(st.integers(1, min(5, height * width)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    label_map = rng.integers(0, n, (height, width))
    label_map.ravel()[rng.permutation(height * width)[:n]] = np.arange(n)  # every value present
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return SegmentedImage(pixels, label_map)


def parts_of(picture: SegmentedImage) -> list[Region]:
    return [Region(picture, (i,)) for i in range(int(picture.label_map.max()) + 1)]


@pytest.mark.parametrize("mode", MODES)
@few
@given(data=st.data())
def test_permuting_regions_permutes_embeddings(mode, data):
    regions = [
        r for p in data.draw(st.lists(pictures(), min_size=1, max_size=3)) for r in parts_of(p)
    ]
    order = data.draw(st.permutations(range(len(regions))))
    shuffled = embed(mode, [regions[i] for i in order])
    torch.testing.assert_close(shuffled, embed(mode, regions)[list(order)], **CLOSE)


@pytest.mark.parametrize("mode", MODES)
@few
@given(picture=pictures(), seed=st.integers(0, 99))
def test_a_segment_split_and_joined_is_itself(mode, picture, seed):
    half = np.random.default_rng(seed).random(picture.label_map.shape) < 0.5
    _, split = np.unique(picture.label_map * 2 + half, return_inverse=True)
    split = split.reshape(picture.label_map.shape)
    pieces = SegmentedImage(picture.pixels, split)
    joined = [
        Region(pieces, tuple(np.unique(split[picture.label_map == i]).tolist()))
        for i in range(int(picture.label_map.max()) + 1)
    ]
    torch.testing.assert_close(embed(mode, joined), embed(mode, parts_of(picture)), **CLOSE)


@pytest.mark.parametrize("mode", MODES)
@few
@given(picture=pictures(), data=st.data())
def test_an_embedding_does_not_depend_on_the_other_segments(mode, picture, data):
    regions = parts_of(picture)
    some = data.draw(st.lists(st.sampled_from(range(len(regions))), min_size=1, unique=True))
    torch.testing.assert_close(
        embed(mode, [regions[i] for i in some]), embed(mode, regions)[some], **CLOSE
    )
