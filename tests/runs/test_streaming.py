"""Reading ahead, batches of like size, and a batch size that learns."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroguide.errors import DeviceError, ImageError, UsageError
from zeroguide.image import Image, from_array
from zeroguide.recipe import load_recipe
from zeroguide.result import Labeling
from zeroguide.streaming import BatchLabeler, batches
from zeroguide.system.device_errors import is_out_of_memory
from zeroguide.system.prefetch import Background, prefetch

from .stand_ins import StandIn


def image(name: str, height: int = 16, width: int = 24) -> Image:
    return from_array(np.zeros((height, width, 3), np.uint8), name)


@pytest.fixture
def labeler(tmp_path: Path) -> StandIn:
    return StandIn(load_recipe("tiny", []), tmp_path)


# prefetch -----------------------------------------------------------------------------------------


@given(
    n=st.integers(0, 40),
    threads=st.integers(1, 4),
    ahead=st.integers(1, 5),
    window=st.integers(1, 7),
)
def test_everything_comes_once_and_in_order(n: int, threads: int, ahead: int, window: int) -> None:
    lists = list(prefetch(range(n), lambda i: -i, threads=threads, ahead=ahead, window=window))
    assert [pair for found in lists for pair in found] == [(i, -i) for i in range(n)]
    assert all(1 <= len(found) <= window for found in lists)


def test_a_failing_load_stands_in_its_place() -> None:
    def load(i: int) -> int:
        if i == 1:
            raise ImageError("no")
        return i

    found = [pair for pairs in prefetch(range(3), load, threads=2, ahead=2) for pair in pairs]
    assert [type(result) for _, result in found] == [int, ImageError, int]


def test_a_failing_source_is_raised_after_what_came_before() -> None:
    def source() -> Iterator[int]:
        yield 7
        raise UsageError("two images of one name")

    lists = prefetch(source(), lambda i: i, threads=1, ahead=3, window=5)
    assert next(lists) == [(7, 7)]
    with pytest.raises(UsageError, match="two images"):
        next(lists)


def test_no_more_is_loaded_than_asked_for() -> None:
    loaded: list[int] = []
    lists = prefetch(range(1000), lambda i: loaded.append(i), threads=1, ahead=4, window=1)
    next(lists)
    time.sleep(0.3)
    assert len(loaded) <= 1 + 4 + 2
    lists.close()
    n = len(loaded)
    time.sleep(0.2)
    assert len(loaded) == n


def test_a_source_that_stalls_does_not_hold_up_what_is_there() -> None:
    go_on = threading.Event()

    def source() -> Iterator[int]:
        yield 1
        go_on.wait(20)
        yield 2

    lists = prefetch(source(), lambda i: i, threads=1, ahead=4, window=4)
    assert next(lists) == [(1, 1)]
    go_on.set()
    assert next(lists) == [(2, 2)]


# Background ---------------------------------------------------------------------------------------


def test_results_are_told_one_at_a_time() -> None:
    told: list[int] = []
    inside = threading.Lock()

    def done(i: int) -> None:
        assert inside.acquire(blocking=False)
        told.append(i)
        inside.release()

    with Background(4, ahead=3, done=done) as background:
        for i in range(50):
            background.submit(lambda i=i: i)  # type: ignore[misc]
    assert sorted(told) == list(range(50))


def test_the_first_error_is_raised_and_ends_the_rest() -> None:
    told: list[int] = []

    def fail() -> int:
        raise ImageError("full")

    with pytest.raises(ImageError, match="full"), Background(1, ahead=1, done=told.append) as b:
        b.submit(lambda: 1)
        b.submit(fail)
        for _ in range(5):
            b.submit(lambda: 2)
    assert told == [1]


# batches ------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=30), st.integers(1, 8))
def test_batches_hold_every_image_once(shapes: list[tuple[int, int]], size: int) -> None:
    made = batches([image(str(i), *shape) for i, shape in enumerate(shapes)], size)
    assert sorted(i for batch in made for i in batch) == list(range(len(shapes)))
    assert all(1 <= len(batch) <= size for batch in made)


def test_images_of_one_shape_share_a_batch() -> None:
    images = [image(str(i), *((16, 24) if i % 2 else (24, 16))) for i in range(8)]
    for batch in batches(images, 4):
        assert len({images[i].pixels.shape for i in batch}) == 1


# BatchLabeler -------------------------------------------------------------------------------------


def run(labeler: StandIn, names: list[str], size: int, notes: list[str]) -> dict[str, Any]:
    images = [image(name) for name in names]
    found = BatchLabeler(lambda: labeler, size, notes.append)(images)  # type: ignore[arg-type]
    return {names[i]: result for i, result in found}


def test_a_batch_that_does_not_fit_is_halved_for_good(labeler: StandIn) -> None:
    notes: list[str] = []
    names = ["a", "b", "large", *(f"n{i}" for i in range(9))]
    results = run(labeler, names, 4, notes)
    assert all(isinstance(result, Labeling) for result in results.values())
    assert [len(batch) for batch in labeler.batches[:3]] == [4, 2, 2]
    assert max(map(len, labeler.batches[3:])) == 1
    assert notes == [
        "out of memory with 4 images at a time: now 2",
        "out of memory with 2 images at a time: now 1",
    ]


def test_an_image_too_large_for_the_memory_is_one_sentence(labeler: StandIn) -> None:
    results = run(labeler, ["a", "huge", "b"], 2, [])
    assert isinstance(results["a"], Labeling) and isinstance(results["b"], Labeling)
    assert isinstance(results["huge"], ImageError)
    assert str(results["huge"]).startswith("huge: 24 x 16 px need more memory than cpu has free")


def test_a_failing_image_costs_no_other_of_its_batch(labeler: StandIn) -> None:
    results = run(labeler, ["a", "fail", "b", "c"], 4, [])
    assert {name for name, r in results.items() if isinstance(r, Exception)} == {"fail"}


def test_wrong_settings_end_the_run(labeler: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(images: object) -> None:
        raise UsageError("features.layer=99 is out of range")

    monkeypatch.setattr(labeler, "label_batch", wrong)
    with pytest.raises(UsageError, match="layer=99"):
        run(labeler, ["a", "b"], 2, [])


def test_a_failed_device_is_no_images_fault(labeler: StandIn) -> None:
    with pytest.raises(DeviceError) as caught:
        run(labeler, ["break", "a", "b", "c", "d", "e"], 4, [])
    assert labeler.batches == [["break", "a", "b", "c"]]  # nothing is tried again
    assert str(caught.value) == (
        "break and 3 more: the device cpu has failed (an illegal memory access was encountered) "
        "and computes nothing more in this process: start again, or use the device cpu"
    )


def test_memory_errors_of_torch_are_known() -> None:
    import torch

    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("shapes differ"))
