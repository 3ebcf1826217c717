"""Reading forward with a window, and keys on disk, against a list and a dict."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroguide.runs.sources import replay
from zeroguide.runs.sources.replay import Replay, Value
from zeroguide.runs.sources.seen import Seen

VALUES: list[Value] = [(bytes([i]) * (i % 4), None) for i in range(30)]


@given(
    numbers=st.lists(st.integers(0, 29)),
    block=st.sampled_from([1, 7, 30]),
    largest=st.integers(0, 9),
)
def test_any_order_gives_the_values(numbers: list[int], block: int, largest: int):
    starts = []

    def read_from(first: int) -> Iterator[tuple[int, Value]]:
        starts.append(first)
        return iter(list(enumerate(VALUES))[first:])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replay, "_LARGEST", largest)
        values = Replay(read_from, lambda number: number - number % block)
        assert [values.get(number) for number in numbers] == [VALUES[i] for i in numbers]
        kept = sum(len(value[0] or b"") for value in values._window.values())
        assert kept == values._size
        assert kept <= largest or len(values._window) == 1
    assert all(start % block == 0 for start in starts)
    if numbers == sorted(numbers) and block == 30:
        assert len(starts) <= 1


def test_past_the_end_and_after_a_failure():
    broken = [True]

    def read_from(first: int) -> Iterator[tuple[int, Value]]:
        for number in range(first, 3):
            if broken[0] and number == 1:
                raise OSError("damage")
            yield number, VALUES[number]

    values = Replay(read_from, lambda number: 0)
    with pytest.raises(OSError, match="damage"):
        values.get(2)
    assert values.get(0) == VALUES[0]
    broken[0] = False
    assert values.get(2) == VALUES[2]
    with pytest.raises(IndexError):
        values.get(3)


@given(st.lists(st.tuples(st.text(max_size=2), st.text(max_size=2))))
def test_seen_is_a_dict(pairs: list[tuple[str, str]]):
    seen, expected = Seen(), {}
    for key, value in pairs:
        before = expected.get(key)
        assert seen.add(key, value) == before
        expected.setdefault(key, value)
    assert seen.add("caf\udce9", "\udce9") is None
    assert seen.add("caf\udce9", "") == "\udce9"
