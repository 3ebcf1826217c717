"""One labeler for everything: what it says of a picture depends on nothing else, to the last bit.

Neither on what was labelled before, nor on what other threads label at the same time.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import REPOSITORY

from zeroguide.clip import Region, SegmentedImage
from zeroguide.image import Image, from_array, open_image
from zeroguide.labeler import Labeler
from zeroguide.name.beam import BeamDecoder
from zeroguide.recipe import load_recipe
from zeroguide.result import Labeling

pytestmark = pytest.mark.slow

QUICK = [
    "features.stride=8",
    "segmenter.n_segments=8",
    "refine.max_side=64",
    "decoder.max_tokens=3",
    "decoder.beam_size=4",
    "decoder.n_candidates=24",
]
DECODERS = {
    "beam": ["decoder.method=beam"],
    "vocabulary": ["decoder.method=vocabulary"],
    "zerocap": ["decoder.method=zerocap", "decoder.iterations=1"],
    "text-memory": ["decoder.method=text-memory"],
}
SEGMENTERS = {
    "beam": ["segmenter.method=saliency"],  # hooks for the attention, too
    "vocabulary": ["segmenter.method=kmeans"],
    "zerocap": ["segmenter.method=spectral"],
    "text-memory": ["segmenter.method=kway", "precision=bfloat16"],
}


@pytest.fixture(scope="module")
def images() -> list[Image]:
    whole = open_image(REPOSITORY / "examples" / "playroom.png").pixels
    height, width = whole.shape[0] // 2, whole.shape[1] // 2
    corners = [(0, 0), (0, width), (height, 0), (height, width)]
    parts = [whole[top : top + height, left : left + width] for top, left in corners]
    parts[3] = parts[3][: height // 2]
    return [from_array(np.ascontiguousarray(part), f"{i}.png") for i, part in enumerate(parts)]


@pytest.fixture(scope="module")
def make() -> Callable[..., Labeler]:
    def labeler(*overrides: str) -> Labeler:
        return Labeler(load_recipe("tiny", [*QUICK, *overrides]), device="cpu", offline=True)

    return labeler


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Threads take turns a hundred times as often as usual."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-5)
    yield
    sys.setswitchinterval(before)


def bits(labeling: Labeling) -> tuple[Any, ...]:
    """All that a result holds."""
    assert labeling.embeddings is not None
    return labeling.segments, labeling.label_map.tobytes(), labeling.embeddings.tobytes()


@pytest.mark.usefixtures("eager_threads")
@pytest.mark.parametrize("decoder", DECODERS)
def test_threads_label_like_one_thread(make, images, decoder) -> None:
    labeler = make(*DECODERS[decoder], *SEGMENTERS[decoder])
    alone = [bits(labeler.label(image)) for image in images]
    n = len(images)

    def work(start: int) -> list[int]:
        order = [(start + i) % n for i in range(n)]
        return [i for i in order if bits(labeler.label(images[i])) != alone[i]]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [[]] * 4


@pytest.mark.usefixtures("eager_threads")
def test_all_doors_may_be_used_at_once(make, images) -> None:
    labeler = make()

    def region(image: Image) -> list[Region]:
        halves = np.zeros(image.pixels.shape[:2], np.int32)
        halves[:, halves.shape[1] // 2 :] = 1
        picture = SegmentedImage(image.pixels, halves)
        return [Region(picture, (0,)), Region(picture, (1,))]

    def named(segments: list[Any]) -> list[Any]:
        return [(s.region.parts, s.embedding.tolist(), s.labels) for s in segments]

    doors: list[Callable[[], Any]] = [
        lambda: [bits(one) for one in labeler.label_many(images)],
        lambda: [bits(one) for one in labeler.label_batch(images[:3])],
        lambda: [named(own) for own in labeler.describe(images[2:4])],
        lambda: [named(labeler.name(region(image))) for image in images],
        lambda: [labeler.segmenter.segment(image).label_map.tobytes() for image in images],
        lambda: [labeler.texts.embed([f"a photo of {i} {x}" for i in range(9)]).tolist()
                 for x in "abcdef"],
    ]  # fmt: skip
    alone = [door() for door in doors]
    with ThreadPoolExecutor(len(doors)) as pool:
        assert list(pool.map(lambda door: door(), doors)) == alone


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_picture_s_labels_depend_on_nothing_labelled_before(make, images, decoder) -> None:
    labeler = make(*DECODERS[decoder])
    asked: list[Any] = []
    listen(labeler, asked)
    first = bits(labeler.label(images[0]))
    alone = list(asked)
    for image in images[1:]:
        labeler.label(image)
        labeler.describe([image])
    asked.clear()
    assert bits(labeler.label(images[0])) == first
    # The networks read the same in the same batches: rounding has nothing to differ by.
    assert len(asked) == len(alone)
    assert all(a == b for a, b in zip(asked, alone, strict=True))


def listen(labeler: Labeler, asked: list[Any]) -> None:
    """Note what language model and text tower read, batch by batch."""
    decode: Any = labeler.decode
    if isinstance(decode, BeamDecoder):
        assert decode.proposals.start  # the prompt, which is read once and by itself
    clip = labeler.texts.clip
    plain = clip.tokenize
    object.__setattr__(
        clip, "tokenize", lambda texts: (asked.append(tuple(texts)), plain(texts))[1]
    )
    for model in (getattr(decode, "lm", None), getattr(decode, "model", None)):
        if model is not None:
            model.network.register_forward_pre_hook(
                lambda _network, inputs, kwargs: asked.append(
                    [x.tolist() for x in (*inputs, *kwargs.values()) if torch.is_tensor(x)]
                ),
                with_kwargs=True,
            )


def test_labels_of_a_batch_depend_on_nothing_labelled_before(make, images) -> None:
    labeler = make()
    first = [bits(one) for one in labeler.label_batch(images[:2])]
    for image in images:
        labeler.label(image)
    assert [bits(one) for one in labeler.label_batch(images[:2])] == first


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_process_forked_after_use_is_told_so(tmp_path: Path) -> None:
    """It would hang: torch waits for the threads that the fork has left behind."""
    code = """if True:
    import os, sys
    import torch
    from zeroguide import Labeler
    from zeroguide.errors import ZeroguideError
    from zeroguide.recipe import load_recipe

    def child(work):
        pid = os.fork()
        if not pid:
            try:
                print(work(), flush=True)
            except ZeroguideError as error:
                print(error, flush=True)
            os._exit(0)
        os.waitpid(pid, 0)

    def limited():
        torch.set_num_threads(1)
        return labeler.label(picture)

    torch.set_num_threads(2)
    recipe, picture = load_recipe("tiny"), sys.argv[1]
    labeler = Labeler(recipe, device="cpu", offline=True)
    labeler.label(picture)
    child(lambda: labeler.label(picture))
    child(lambda: labeler.texts.embed(["dog"]))
    child(lambda: labeler.segmenter.segment_batch([]))
    child(lambda: Labeler(recipe, device="cpu", offline=True))
    child(limited)
    """
    picture = REPOSITORY / "examples" / "playroom.png"
    done = subprocess.run(
        [sys.executable, "-c", code, str(picture)],
        capture_output=True,
        text=True,
        timeout=600,  # a hanging child is an error, not a test without end
        env=os.environ | {"OMP_NUM_THREADS": "2"},
        start_new_session=True,
    )
    *refused, labelled = done.stdout.splitlines()
    assert len(refused) == 4
    for sentence in refused:
        assert sentence.startswith("this process was forked after models had been used")
        assert 'multiprocessing.get_context("spawn")' in sentence
    assert labelled.startswith("<Labeling of playroom.png")
