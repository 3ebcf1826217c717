"""Images in tar archives: the same bytes as were packed, in any order, or one sentence."""

from __future__ import annotations

import gzip
import pickle
import random
import tarfile
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from zeroguide.runs.sources import tars

from .making import failure, items, keys, made, packed, picture, refusal

MODES = [("photos.tar", "w"), ("photos.tar.gz", "w:gz"), ("photos.tgz", "w:gz")]


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def shard(n: int) -> dict[str, bytes]:
    """A WebDataset shard: an image, a text and a mask for each sample."""
    members = {}
    for i in range(n):
        members[f"{i:06d}.cls"] = b"7"
        members[f"{i:06d}.jpg"] = picture(i)
        members[f"{i:06d}.seg.png"] = b"no photo"
    return members


@pytest.mark.parametrize(("name", "mode"), MODES)
def test_a_shard(name: str, mode: str):
    members = shard(30)
    packed(Path("d") / name, members, mode)
    notes: list[str] = []
    found = list(items(f"d/{name}", notes=notes))
    assert [item.key for item in found] == [f"{name}/{i:06d}.jpg" for i in range(30)]
    assert found[17].name == f"d/{name}:000017.jpg"
    assert found[17].path is None
    assert notes == [f"d/{name}: 30 files named like annotations (17.seg.png) are left out"]
    for item in random.Random(0).sample(found, 30):
        copy = pickle.loads(pickle.dumps(item))
        assert copy.read() == members[item.name.partition(":")[2]]
    assert keys("d") == [item.key for item in found]  # a folder of shards


@pytest.mark.parametrize(("name", "mode"), MODES[:2])
def test_threads(name: str, mode: str):
    members = shard(60)
    packed(Path(name), members, mode)
    found = list(items(name)) * 3
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda item: item.read(), found))
    assert read == [members[item.name.partition(":")[2]] for item in found]


def test_a_compressed_tar_is_not_read_again_for_each_image(monkeypatch: pytest.MonkeyPatch):
    packed(Path("p.tar.gz"), shard(50), "w:gz")
    found = list(items("p.tar.gz"))
    opened = []
    original = tars._opened
    monkeypatch.setattr(tars, "_opened", lambda *a, **k: opened.append(1) or original(*a, **k))
    # as threads ask: a little out of order
    order = sorted(range(50), key=lambda i: i + random.Random(i).uniform(0, 8))
    for i in order:
        found[i].read()
    assert len(opened) == 1


def test_a_window_too_small_is_slow_and_right(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("zeroguide.runs.sources.replay._LARGEST", 1)
    members = shard(10)
    packed(Path("q.tar.gz"), members, "w:gz")
    for item in reversed(list(items("q.tar.gz"))):
        assert item.read() == members[item.name.partition(":")[2]]


def test_which_members_are_images():
    members = {
        "./a/x.JPG": b"1",
        "holiday.2020.jpg": b"2",
        "x.depth.png": b"",
        "x.jpg.png": b"",
        "._x.jpg": b"",
        ".thumbs/x.jpg": b"",
        "x.txt": b"",
        "../up.jpg": b"3",
        "/abs.jpg": b"4",
        "caf\udce9.jpg": b"5",
    }
    packed(Path("p.tar"), members)
    with tarfile.open("p.tar", "a") as tar:
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "holiday.2020.jpg"
        tar.addfile(link)
        folder = tarfile.TarInfo("folder.jpg")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    found = {item.key: item.read() for item in items("p.tar")}
    assert found == {
        "p.tar/a/x.JPG": b"1",
        "p.tar/holiday.2020.jpg": b"2",
        "p.tar/\ufffd2E\ufffd2E/up.jpg": b"3",
        "p.tar/abs.jpg": b"4",
        "p.tar/caf\ufffdE9.jpg": b"5",
    }


def test_members_of_one_name():
    with tarfile.open("p.tar", "w") as tar:
        for i, name in enumerate(["x.jpg", "./x.jpg", "x~2.jpg", "x.jpg"]):
            made(Path(), f"source/{i}")
            tar.add(f"source/{i}", name)
    found = {item.key: item.read() for item in items("p.tar")}
    assert found == {
        "p.tar/x.jpg": b"source/0",
        "p.tar/x~2.jpg": b"source/1",
        "p.tar/x~2~2.jpg": b"source/2",
        "p.tar/x~3.jpg": b"source/3",
    }


def test_several_shards():
    for i in range(3):
        packed(Path(f"s/shard-{i:02d}.tar"), {"0.jpg": b"%d" % i})
    expected = [f"shard-{i:02d}.tar/0.jpg" for i in range(3)]
    assert keys("s/shard-{00..02}.tar") == keys("s/*.tar") == keys("s") == expected
    assert [i.read() for i in items("s/shard-{02,00}.tar")] == [b"2", b"0"]
    packed(Path("t/shard-00.tar"), {"0.jpg": b"t"})
    assert keys("s/shard-00.tar", "t") == ["s/shard-00.tar/0.jpg", "t/shard-00.tar/0.jpg"]
    made(Path("s"), "x.jpg")
    assert keys("s") == ["x.jpg"]  # a stray archive among photos is no photo


@pytest.mark.parametrize(("name", "mode"), MODES[:2])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_truncated(name: str, mode: str, share: float):
    members = {f"{i}.jpg": random.Random(i).randbytes(3000) for i in range(20)}
    packed(Path(name), members, mode)
    data = Path(name).read_bytes()
    Path(name).write_bytes(data[: int(share * len(data))])
    found = list(items(name))
    good, last = found[:-1], found[-1]
    assert 1 < len(good) < 20
    for i, item in enumerate(good[:-1]):
        assert item.read() == members[f"{i}.jpg"]
    # of the last one, there may be no more than its header
    assert good[-1].name in failure(good[-1])
    assert last.key == name
    assert f"{name}: is not a tar or is damaged after {len(good)} images" in failure(last)


def test_a_header_damaged_in_the_middle():
    packed(Path("p.tar"), {f"{i}.jpg": bytes([i + 1]) * 512 for i in range(6)})
    data = bytearray(Path("p.tar").read_bytes())
    data[3 * 1024 : 3 * 1024 + 200] = b"\x55" * 200
    Path("p.tar").write_bytes(data)
    found = list(items("p.tar"))
    assert [item.key for item in found] == ["p.tar/0.jpg", "p.tar/1.jpg", "p.tar/2.jpg", "p.tar"]
    assert "damaged after 3 images (invalid header)" in failure(found[-1])


def test_what_is_no_tar():
    Path("p.tar").write_bytes(b"hello " * 1000)
    assert "p.tar: is not a tar or is damaged (" in refusal("p.tar")
    Path("p.tar").write_bytes(gzip.compress(b"hello " * 1000))
    assert "p.tar: is not a tar or is damaged (" in refusal("p.tar")
    Path("p.tar").write_bytes(b"")
    assert "p.tar: is not a tar or is damaged (" in refusal("p.tar")
    packed(Path("p.tar"), {"x.txt": b"", "x.jpg.png": b"1"})
    assert refusal("p.tar") == (
        "p.tar: has no image in it, only files named like results (photo.jpg.png); check what it is"
    )
    assert refusal("gone.tar") == "gone.tar: no such file or folder; check the path"
    assert refusal("p.tar#image") == "p.tar#image: only tables have columns; name a Parquet file"


def test_a_damaged_shard_does_not_stop_the_others():
    for i in range(3):
        packed(Path(f"s/{i}.tar"), {"0.jpg": b"%d" % i})
    Path("s/1.tar").write_bytes(b"nothing")
    found = list(items("s"))
    assert [item.key for item in found] == ["0.tar/0.jpg", "1.tar", "2.tar/0.jpg"]
    assert failure(found[1]).startswith("s/1.tar: is not a tar")


@pytest.mark.parametrize(("name", "mode"), MODES[:2])
def test_an_archive_that_vanishes_or_changes(name: str, mode: str):
    packed(Path(name), {f"{i}.jpg": b"%d" % i * 1000 for i in range(50)}, mode)
    found = list(items(name))
    packed(Path(name), {"0.jpg": b"0", "empty.jpg": b""}, mode)
    assert name in failure(found[-1])
    assert failure(list(items(name))[1]) == (
        f"{name}:empty.jpg: is empty (0 bytes); copy or export it again."
    )
    Path(name).unlink()
    assert failure(found[0]).startswith(f"{name}:0.jpg: can't be read (No such file")


def test_many_members_in_little_memory():
    packed(Path("p.tar"), {f"{i:05d}.jpg": b"x" for i in range(5000)})
    found = items("p.tar")
    tracemalloc.start()
    assert sum(1 for _ in found) == 5000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 500_000
