"""The Playroom as a data set: the same scenes as `render`, with class indices."""

import numpy as np
import pytest

from zeroguide.errors import UsageError
from zeroguide.evaluate.datasets import load_dataset
from zeroguide.playroom import NAMES, render


@pytest.fixture(scope="module")
def data():
    return load_dataset("playroom", limit=3, seed=5, size=64)


def test_is_what_render_draws(data):
    data.check()
    assert len(data) == 3
    for index, sample in enumerate(data):
        scene = render(5, index, size=64)
        image, regions = sample.open_image(), sample.regions()
        assert sample.name == f"playroom-5-{index:05d}"
        assert sample.image is None
        assert np.array_equal(image.pixels, scene.pixels)
        assert image.file_name == f"{sample.name}.png"
        assert np.array_equal(regions.label_map, scene.label_map)
        assert [NAMES[i] for i in regions.classes] == list(scene.names)
        named = np.array(NAMES)[sample.semantic()]
        assert np.array_equal(named, np.array(scene.names)[scene.label_map])


def test_classes(data):
    assert [each.name for each in data.classes] == list(NAMES)
    assert sum(each.kind == "thing" for each in data.classes) == 96
    assert data.background is None


def test_the_usual_world_is_the_one_for_tests():
    data = load_dataset("playroom")
    assert len(data) == 200
    assert data[0].name == "playroom-3-00000"
    assert data[0].semantic().shape == (112, 112)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"split": "val"}, "no folder and no split"),
        ({"size": 4}, "at size 4; give >= 16"),
        ({"seed": -1}, "seed is -1; give 0 or more"),
        ({"limit": 0}, "the limit is 0; give at least 1"),
    ],
)
def test_wrong_arguments(arguments, words):
    with pytest.raises(UsageError, match=words):
        load_dataset("playroom", **arguments)


def test_needs_no_folder(tmp_path):
    with pytest.raises(UsageError, match="no folder and no split"):
        load_dataset("playroom", tmp_path)
