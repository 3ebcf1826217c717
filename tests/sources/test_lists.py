"""Paths in a file or on standard input."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroguide.errors import UsageError

from .making import failure, items, keys, made, refusal


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def given_on_stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))


def test_a_list_is_relative_to_its_folder(tmp_path: Path):
    made(Path(), "l/a/x.jpg", "away/y.jpg")
    Path("l/list.txt").write_text(f"a/x.jpg\n\n../away/y.jpg\n{tmp_path}/l/a/x.jpg\ngone.jpg\n")
    found = list(items("l/list.txt"))
    away = str(tmp_path / "away/y.jpg")[1:]
    assert [item.key for item in found] == ["a/x.jpg", away, "gone.jpg"]
    assert [item.name for item in found] == ["l/a/x.jpg", "l/../away/y.jpg", "l/gone.jpg"]
    assert found[1].read() == b"away/y.jpg"
    assert failure(found[2]) == "l/gone.jpg: no such file; check the path."
    roots = items("l/list.txt").roots
    assert roots == [tmp_path / "l", Path("/")]
    assert (roots[1] / away).read_bytes() == b"away/y.jpg"


def test_a_list_next_to_a_folder():
    made(Path(), "l/a/x.jpg", "l/a/y.jpg", "q/z.jpg")
    Path("l/list.lst").write_text("a/x.jpg\n../q/z.jpg")
    assert keys("l/list.lst", "l/a", "q") == ["l/a/x.jpg", "q/z.jpg", "l/a/y.jpg"]


def test_lines_are_taken_as_they_are():
    Path("list.txt").write_bytes(b"\xef\xbb\xbf#1 .jpg\r\n  \n caf\xe9 \xc3\xa4.jpg\n\nx.jpg ")
    assert keys("list.txt") == ["#1 .jpg", " caf\ufffdE9 ä.jpg", "x.jpg "]


def test_lists_that_are_none():
    Path("empty.txt").write_text("\n\n")
    assert refusal("empty.txt") == "empty.txt: has no image in it; check what it is"
    assert refusal("gone.txt") == "gone.txt: no such file or folder; check the path"
    Path("wide.txt").write_text("x.jpg", encoding="utf-16")
    assert refusal("wide.txt") == "wide.txt: is in UTF-16; save it as UTF-8"


def test_stdin(monkeypatch: pytest.MonkeyPatch):
    made(Path(), "a/x.jpg", "a/y.jpg")
    given_on_stdin(monkeypatch, b"a/x.jpg\na/y.jpg\na/x.jpg\n")
    found = items("-")
    assert [(item.key, item.name) for item in found] == [("a/x.jpg",) * 2, ("a/y.jpg",) * 2]
    with pytest.raises(ValueError, match="only once"):
        iter(found)
    assert refusal("-", "-") == "standard input can be named only once; drop one -"
    given_on_stdin(monkeypatch, b"")
    with pytest.raises(UsageError, match="standard input: is empty; write one path a line"):
        list(items("-"))


@given(
    st.lists(
        st.text(st.sampled_from("a b\n#é.\r"), min_size=1).filter(lambda t: t.strip(" \n\r.")),
        min_size=2,
    )
)
@settings(max_examples=50, deadline=None)
def test_paths_ended_by_nul_may_hold_anything(names: list[str]):
    with pytest.MonkeyPatch.context() as patch:
        given_on_stdin(patch, "".join(f"{name}.jpg\0" for name in names).encode())
        found = [item.path for item in items("-")]
    assert found == [Path(f"{name}.jpg").absolute() for name in dict.fromkeys(names)]


def test_stdin_is_read_as_it_comes():
    """A program that writes a path and waits for its result gets it."""
    code = (
        "import sys; from pathlib import Path; from zeroguide.runs.sources import find_items\n"
        "for item in find_items(['-'], Path('out'), print): print(item.key, flush=True)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        for path in (b"a.jpg", b"b.jpg"):
            process.stdin.write(path + b"\n")
            process.stdin.flush()
            assert process.stdout.readline().strip() == path
        process.stdin.close()
        assert process.wait() == 0
