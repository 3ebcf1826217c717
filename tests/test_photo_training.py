"""What the photo model was taught by, and how its training reads pictures."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.train.photo.features import LEAVES, nodes, without_frame
from scripts.train.photo.regions import named_points
from zeroguide.name.hypernyms import Hypernyms


def test_regions_named_by_hand_have_names_that_one_would_write() -> None:
    hypernyms = Hypernyms.load()
    points = named_points(hypernyms)
    assert len(points) > 9000
    assert {point.set for point in points} == {"coco_256px", "corel5k", "flickr8k"}
    for point in points:
        assert 0 <= point.x < 1 and 0 <= point.y < 1
        assert hypernyms.is_label(point.node), point
    assert len({(p.set, p.stem, p.x, p.y) for p in points}) == len(points)


@pytest.mark.parametrize("frame", [(0, 0, 0, 0), (3, 2, 5, 4), (0, 3, 0, 0)])
def test_a_dark_frame_is_cut_off(frame: tuple[int, int, int, int]) -> None:
    top, bottom, left, right = frame
    picture = np.random.default_rng(0).integers(60, 200, (100, 140, 3), dtype=np.uint8)
    framed = np.pad(picture, ((top, bottom), (left, right), (0, 0)))
    assert np.array_equal(without_frame(framed), picture)


def test_a_night_keeps_its_dark() -> None:
    night = np.full((64, 96, 3), 5, np.uint8)
    assert without_frame(night).shape == night.shape


def test_cells_know_their_leaf_and_joins_add_up() -> None:
    features = np.random.default_rng(1).normal(size=(9, 14, 8)).astype(np.float32)
    found = nodes(features)
    h, w = found["grid"]
    cells = found["cells"][: h * w]
    assert (h, w) == (9, 14) and (found["cells"][h * w :] == -1).all()
    assert set(cells.tolist()) == set(range(LEAVES))
    flat = features.reshape(-1, 8)
    for leaf in range(LEAVES):
        inside = flat[cells == leaf]
        assert np.allclose(found["means"][leaf], inside.mean(0), atol=2e-3)
        assert np.isclose(found["sizes"][leaf], len(inside) / len(flat))
    assert np.allclose(found["means"][-1], flat.mean(0), atol=2e-3)
    assert found["sizes"][-1] == pytest.approx(1)
