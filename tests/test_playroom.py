import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroguide.playroom import NAMES, STUFF, THINGS, caption, phrase, render
from zeroguide.playroom.glyphs import draw_glyph, glyph
from zeroguide.playroom.textures import TEXTURES


def test_names():
    counts = (len(THINGS), len(STUFF), len(set(NAMES)))
    assert counts == (96, 8, 104)
    assert TEXTURES.keys() == set(STUFF)


def test_names_are_those_of_the_plan(shared):
    import json

    plan = json.loads((shared / "playroom.json").read_text())
    assert tuple(t["name"] for t in plan["things"]) == THINGS and tuple(plan["stuff"]) == STUFF


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 5), st.integers(0, 10_000), st.tuples(st.integers(16, 130), st.integers(16, 130))
)
def test_scene_is_consistent(seed, index, size):
    scene = render(seed, index, size=size)
    assert scene.pixels.shape == (*size, 3) and scene.pixels.dtype == np.uint8
    assert scene.label_map.shape == size
    assert set(np.unique(scene.label_map)) == set(range(len(scene.names)))
    assert len(set(scene.names)) == len(scene.names) and set(scene.names) <= set(NAMES)
    stuff = [name for name in scene.names if name in STUFF]
    assert 1 <= len(stuff) <= 3 and len(scene.names) - len(stuff) <= 5


def test_same_seed_same_scene_other_seed_other_scene():
    a, b = render(4, 7), render(4, 7)
    assert (
        (a.pixels == b.pixels).all() and (a.label_map == b.label_map).all() and a.names == b.names
    )
    assert not (a.pixels == render(5, 7).pixels).all()
    assert not (a.pixels == render(4, 8).pixels).all()


def test_numbers_of_things_and_stuff_are_kept():
    for index in range(20):
        scene = render(0, index, n_things=(0, 0), n_stuff=(2, 2))
        assert len(scene.names) == 2 and set(scene.names) <= set(STUFF)
        assert len(set(render(0, index, n_things=(5, 5)).names) & set(THINGS)) <= 5


def test_no_thing_is_mostly_hidden():
    """A thing in the label map shows at least half of what is drawn of it."""
    for index in range(30):
        scene = render(9, index, size=224)
        areas = np.bincount(scene.label_map.ravel()) / scene.label_map.size
        assert areas.min() > 0.001


@pytest.mark.parametrize("name", THINGS)
def test_every_thing_has_a_glyph(name):
    bitmap = draw_glyph(name, length=40, angle=0.3, flip=True, squeeze=1.0)
    assert bitmap.shape[2] == 4 and (bitmap[..., 3] > 0.5).mean() > 0.08
    assert (bitmap[..., :3] <= bitmap[..., 3:] + 0.02).all()  # premultiplied


def test_glyphs_are_those_of_the_font():
    """Bit for bit what Noto Color Emoji 2.042 draws: other glyphs would change every figure."""
    digest = hashlib.sha256()
    for bitmap in (glyph(name)[0] for name in THINGS):
        digest.update(repr(bitmap.size).encode() + bitmap.tobytes())
    assert digest.hexdigest() == "2d1ec95aefcf734021d0c2bfc90307dbdbdea2afc4ac411e7a89e8c6e998494b"


@pytest.mark.parametrize("name", STUFF)
def test_textures_vary_and_keep_their_range(name):
    pictures = [TEXTURES[name](np.random.default_rng(i), 64, 80) for i in range(6)]
    assert all(p.shape == (64, 80, 3) and np.isfinite(p).all() for p in pictures)
    means = np.array([p.mean((0, 1)) for p in pictures])
    assert means.std(0).max() > 0.01
    assert all(p.min() > -0.6 and p.max() < 1.8 for p in pictures)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("dog", "a dog"),
        ("owl", "an owl"),
        ("grapes", "grapes"),
        ("sky", "the sky"),
        ("grass", "grass"),
    ],
)
def test_phrase(name, text):
    assert phrase(name) == text


@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=6, unique=True), st.integers(0, 99))
def test_caption_names_each_once(names, seed):
    text = caption(names, np.random.default_rng(seed))
    for name in names:
        assert phrase(name) in text
    assert len(text) < 200
