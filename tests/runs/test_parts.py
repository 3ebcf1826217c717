"""Parquet parts: sorted, each key once, the latest counts; what is known of them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.recipe import load_recipe
from zeroguide.result.provenance import provenance
from zeroguide.runs.layout import PARTS
from zeroguide.runs.opening import check_engine
from zeroguide.runs.parts import (
    ROWS,
    Known,
    Row,
    next_number,
    read_keys,
    read_parts,
    write_part,
)

pa = pytest.importorskip("pyarrow")

RECIPE = provenance(load_recipe("tiny"))
OTHER = provenance(load_recipe("tiny", ["seed=1"]))


def row(key: str, content: int = 1, recipe: object = RECIPE) -> Row:
    return Row(key, f"{content:064x}"[::-1], json.dumps({"recipe": recipe, "content": content}))


def parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet"))


def contents(folder: Path) -> list[tuple[str, int]]:
    return [(key, json.loads(text)["content"]) for key, text in read_parts(parts(folder))]


def test_rows_come_sorted_from_parts_that_were_written_in_any_order(tmp_path: Path) -> None:
    keys = [f"{i % 7}/é {i}.jpg" for i in range(3 * ROWS)]
    for start in range(0, len(keys), 50):
        write_part(tmp_path, [row(key) for key in keys[start : start + 50]], 1)
    assert list(read_keys(parts(tmp_path))) == sorted(keys)
    assert [key for key, _ in contents(tmp_path)] == sorted(keys)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abcdefghij"), st.integers(1, 9)), max_size=5))
def test_of_equal_keys_the_latest_run_counts(
    tmp_path_factory: pytest.TempPathFactory, runs: list[dict[str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("parts")
    expected: dict[str, int] = {}
    for number, results in enumerate(runs, start=1):
        if results:
            write_part(folder, [row(key, content) for key, content in results.items()], number)
            expected |= results
    assert contents(folder) == sorted(expected.items())
    known = Known(parts(folder), RECIPE)
    for key in "abcdefghij":
        full = row(key, expected[key]).sha256 if key in expected else ""
        assert known.sha256(key) == full[:16]


def test_numbers_are_compared_as_numbers(tmp_path: Path) -> None:
    write_part(tmp_path, [row("a", 1)], 99_999)
    assert next_number(parts(tmp_path)) == 100_000
    write_part(tmp_path, [row("a", 2)], 100_000)
    assert contents(tmp_path) == [("a", 2)]
    assert Known(parts(tmp_path), RECIPE).sha256("a") == row("a", 2).sha256[:16]
    assert next_number([]) == 1


def test_a_task_that_is_done_twice_replaces_its_part(tmp_path: Path) -> None:
    first = write_part(tmp_path, [row("b"), row("a")], 1)
    assert write_part(tmp_path, [row("a"), row("b")], 1) == first
    assert parts(tmp_path) == [first]
    assert write_part(tmp_path, [row("a"), row("c")], 1) != first
    assert write_part(tmp_path, [row("a"), row("b")], 2) != first
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]


def test_results_of_another_recipe_do_not_count_and_hide_older_ones(tmp_path: Path) -> None:
    write_part(tmp_path, [row("a"), row("b")], 1)
    assert not Known(parts(tmp_path), RECIPE).has_others
    write_part(tmp_path, [row("b", recipe=OTHER), row("c", recipe=OTHER)], 2)
    known = Known(parts(tmp_path), RECIPE)
    assert known.has_others
    assert [bool(known.sha256(key)) for key in "abc"] == [True, False, False]
    library = json.loads(json.dumps(RECIPE))
    library["versions"]["torch"] = "0"
    assert Known(parts(tmp_path)[:1], library).sha256("a")


def test_spark_writes_other_names_and_empty_parts(tmp_path: Path) -> None:
    write_part(tmp_path, [row("a", 1), row("b", 1)], 1).rename(tmp_path / "part-00000-1f.parquet")
    write_part(tmp_path, [], 1).rename(tmp_path / "part-00001-1f.parquet")
    assert next_number(parts(tmp_path)) == 1
    write_part(tmp_path, [row("b", 2)], 1)
    assert contents(tmp_path) == [("a", 1), ("b", 2)]
    assert Known(parts(tmp_path), RECIPE).sha256("b") == row("b", 2).sha256[:16]


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    path = write_part(tmp_path, [row("a")], 1)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ZeroguideError, match=rf"{path}: is damaged .*; delete it"):
        list(read_keys([path]))
    with pytest.raises(ZeroguideError, match=rf"{path}: is damaged"):
        Known([path], RECIPE)


def test_an_unsorted_part_is_named(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"key": ["b", "a"], "sha256": ["0", "0"], "json": ["", ""]}), path)
    with pytest.raises(ZeroguideError, match="isn't sorted"):
        list(read_keys([path]))


def test_engines_do_not_mix(tmp_path: Path) -> None:
    for engine in ("local", "ray"):
        check_engine(tmp_path, engine)
    (tmp_path / "x.jpg.json").write_text(json.dumps({"schema": "zeroguide/1"}))
    check_engine(tmp_path, "local")
    with pytest.raises(UsageError, match="--engine local"):
        check_engine(tmp_path, "ray")
    (tmp_path / "x.jpg.json").unlink()
    write_part(tmp_path / PARTS, [row("a")], 1)
    check_engine(tmp_path, "ray")
    with pytest.raises(UsageError, match="--engine ray"):
        check_engine(tmp_path, "local")
