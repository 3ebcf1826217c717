"""Keys: valid, unique, the same as the path wherever that is possible."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroguide.runs.sources.keys import Root, apart, component, joined, of_member

# What a file system may call a file: any bytes but "/" and NUL.
file_names = st.binary(min_size=1, max_size=255).map(
    lambda data: os.fsdecode(data.replace(b"/", b"_").replace(b"\0", b"_"))
)
odd_names = st.text(st.sampled_from("a.%\ufffdE9u\udce9\udcff\ud800\0/é"), max_size=8)


def is_valid(key: str) -> bool:
    parts = key.split("/")
    fine = all(part not in ("", ".", "..") and len(part.encode()) <= 240 for part in parts)
    return fine and "\0" not in key and not key.startswith("/")


@given(st.one_of(file_names, odd_names))
def test_any_name_becomes_a_component(name: str):
    key = component(name) if name else "-"
    assert is_valid(key) and "/" not in key


@given(odd_names, odd_names)
def test_different_names_stay_different(one: str, other: str):
    assert (component(one) == component(other)) == (one == other)


def test_what_can_stay_stays():
    for name in (
        "x.jpg",
        "ein Bild.jpg",
        "Ünïcode 日本.png",
        "a%20b.jpg",
        "a\nb.jpg",
        "...",
        "x" * 240,
    ):
        assert component(name) == name
    assert component(os.fsdecode(b"caf\xe9.jpg")) == "caf\ufffdE9.jpg"
    assert component("..") == "\ufffd2E\ufffd2E"


def test_long_names_are_cut_and_keep_their_suffix():
    one, other = component("é" * 130 + "1.jpg"), component("é" * 130 + "2.jpg")
    assert one != other
    assert one.endswith(".jpg") and len(one.encode()) <= 240
    assert one.startswith("é" * 100)


@given(st.text(st.sampled_from("a./\0\udce9"), max_size=12))
def test_members_of_archives_stay_below_them(member: str):
    assert is_valid(of_member("photos.tar", member))
    assert of_member("photos.tar", member).split("/")[0] == "photos.tar"


def test_members_paths():
    assert of_member("a.tar", "./x/./y.jpg") == "a.tar/x/y.jpg"
    assert of_member("a.tar", "/etc/y.jpg") == "a.tar/etc/y.jpg"
    assert of_member("a.tar", "../y.jpg") == "a.tar/\ufffd2E\ufffd2E/y.jpg"


def test_a_root():
    root = Root("/data")
    assert root.key("/data/a/x.jpg") == "a/x.jpg"
    assert root.key("/data") == ""
    assert root.key("/database/x.jpg") == "database/x.jpg"  # not inside
    assert root.key("/other/x.jpg") == "other/x.jpg"
    assert Root("/").key("/other/x.jpg") == "other/x.jpg"
    assert Root("/cache/1", "owner/name").key("/cache/1/x.jpg") == "owner/name/x.jpg"
    assert joined("", "a") == "a"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([], True),
        (["a"], True),
        ([""], True),
        (["a", "b", "ab", "a.b"], True),
        (["a", "a"], False),
        (["a", "b", "a/b"], False),
        (["", "b"], False),
        (["a/b", "a-b", "a"], False),  # "a-b" sorts between them as a text
    ],
)
def test_which_keys_are_apart(keys: list[str], expected: bool):
    assert apart(keys) == expected
