"""The small model for photographs that comes with the package, on photographs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from zeroguide.image import open_image
from zeroguide.labeler import Labeler
from zeroguide.name.hypernyms import Hypernyms
from zeroguide.recipe import load_recipe
from zeroguide.result import Labeling

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(scope="module")
def labeler() -> Iterator[Labeler]:
    threads = torch.get_num_threads()
    yield Labeler(load_recipe("photo"), device="cpu", offline=True)
    torch.set_num_threads(threads)


def kinds(labeling: Labeling) -> dict[str, float]:
    """Everything that the labels are a kind of, with its share of the picture."""
    hypernyms = Hypernyms.load()
    shares: dict[str, float] = {}
    for segment in labeling.segments:
        node = hypernyms.node_of(segment.label)
        assert node is not None
        for up in hypernyms.ancestors(node):
            name = hypernyms.name(up)
            shares[name] = shares.get(name, 0) + segment.area / labeling.label_map.size
    return shares


@pytest.mark.parametrize(
    ("photo", "expected"),
    [("bus", "bus"), ("giraffes", "giraffe"), ("pizza", "food"), ("snow", "snow")],
)
def test_the_examples_are_named(labeler: Labeler, photo: str, expected: str) -> None:
    found = kinds(labeler.label(EXAMPLES / f"{photo}.jpg"))
    assert found.get(expected, 0) > 0.1, found


def test_one_pass_of_the_image_network(labeler: Labeler) -> None:
    assert labeler.segmenter.dino is None  # there is no other network to run
    passes = []
    block = labeler.embedder.clip.network.visual.transformer.resblocks[0]
    hook = block.register_forward_hook(lambda *_: passes.append(1))
    try:
        labeler.label(EXAMPLES / "bus.jpg")
    finally:
        hook.remove()
    assert len(passes) == 1


def test_both_networks_share_their_tensors() -> None:
    labeler = Labeler(load_recipe("photo", ["features.facet=key"]), device="cpu", offline=True)
    visual, dino = labeler.embedder.clip.network.visual, labeler.segmenter.dino
    assert dino is not None
    ours = visual.transformer.resblocks[0].mlp.c_fc.weight
    assert ours.data_ptr() == dino.network.encoder.layer[0].mlp.fc1.weight.data_ptr()


def test_labels_are_the_same_again(labeler: Labeler) -> None:
    image = open_image(EXAMPLES / "cake.jpg")
    one, two = labeler.label(image.pixels), labeler.label(image.pixels)
    assert [s.label for s in one.segments] == [s.label for s in two.segments]
    assert np.array_equal(one.label_map, two.label_map)
