"""Parts of a list on disk: made once, taken over from another process, never half there."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from zeroguide.clip.phrase_cache import embed_in_parts

SIZES = [3, 3, 2]


def rows_of(part: int) -> np.ndarray:
    """What a part holds: numbers that half precision rounds."""
    return np.full((SIZES[part], 4), part + 0.1, np.float32)


def test_parts_are_made_once_and_rounded_alike(tmp_path: Path) -> None:
    made: list[int] = []

    def make(part: int) -> np.ndarray:
        made.append(part)
        return rows_of(part)

    told: list[int] = []
    first = np.concatenate(
        embed_in_parts(tmp_path / "list", SIZES, make, about_to_make=told.append)
    )
    assert sorted(made) == [0, 1, 2] and told == [3]
    assert first.dtype == np.float16
    np.testing.assert_array_equal(first[:, 0], np.float16([0.1] * 3 + [1.1] * 3 + [2.1] * 2))
    again = np.concatenate(
        embed_in_parts(tmp_path / "list", SIZES, make, about_to_make=told.append)
    )
    np.testing.assert_array_equal(again, first)
    assert len(made) == 3 and told == [3]


def test_a_part_of_another_size_is_made_anew(tmp_path: Path) -> None:
    np.save(tmp_path / "000.npy", np.zeros((1, 4), np.float16))
    (rows,) = embed_in_parts(tmp_path, [2], lambda _: np.ones((2, 4), np.float32))
    np.testing.assert_array_equal(rows, np.ones((2, 4)))
    assert np.load(tmp_path / "000.npy").shape == (2, 4)


def test_parts_of_another_process_are_taken_over(tmp_path: Path) -> None:
    def make(part: int) -> np.ndarray:
        # Meanwhile another process makes all the rest.
        for other in {0, 1, 2} - {part}:
            np.save(tmp_path / f"{other:03}.npy", np.zeros((SIZES[other], 4), np.float16))
        return rows_of(part)

    rows = np.concatenate(embed_in_parts(tmp_path, SIZES, make))
    assert np.count_nonzero(rows[:, 0]) in SIZES


def _make_all(folder: Path) -> np.ndarray:
    return np.concatenate(embed_in_parts(folder, SIZES, rows_of))


def test_several_processes_at_once(tmp_path: Path) -> None:
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
        results = list(pool.map(_make_all, [tmp_path] * 6))
    for rows in results:
        np.testing.assert_array_equal(rows, results[0])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["000.npy", "001.npy", "002.npy"]


def test_a_folder_that_cant_be_written_only_costs_time() -> None:
    (rows,) = embed_in_parts(Path("/proc/nowhere/list"), [3], rows_of)
    assert rows.shape == (3, 4)
