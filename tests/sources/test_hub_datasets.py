"""Data sets from a hub that runs on this machine: only what is needed, cached, offline, refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hub_server
import pytest

from .making import packed, picture, refusal

ROOT = Path(__file__).parents[2]
CODE = """
import json, sys
from pathlib import Path
from zeroguide.errors import UsageError
from zeroguide.runs.sources import find_items
notes = []
offline = sys.argv[1] == "offline"
try:
    found = find_items(sys.argv[2:], Path("out"), notes.append, offline=offline)
    items = [(item.key, item.name, len(item.read())) for item in found]
    for item in found:
        if item.path and len(found.roots) == 1 and len(sys.argv) == 3:
            assert (found.roots[0] / item.key).samefile(item.path)
except UsageError as e:
    sys.exit(str(e))
assert "torch" not in sys.modules
print(json.dumps([items, notes]))
"""


class Client:
    """Runs the code in a process of its own, as the hub's address is read at import."""

    def __init__(self, url: str, folder: Path) -> None:
        self.environment = os.environ | {"HF_ENDPOINT": url, "HF_HOME": str(folder / "cache")}
        self.environment |= {"NO_PROXY": "*"}
        path = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        self.environment["PYTHONPATH"] = os.pathsep.join(path)
        for name in ("HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_TOKEN"):
            self.environment.pop(name, None)
        self.folder = folder

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", CODE, *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, env=self.environment, cwd=self.folder
        )

    def find(self, *arguments: str) -> Any:
        done = self._run(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    def fail(self, *arguments: str) -> str:
        done = self._run(*arguments)
        assert done.returncode == 1 and done.stdout == ""
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        assert len(lines) == 1, done.stderr
        return lines[0]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[hub_server.Hub]:
    photos, shards = tmp_path / "hub/photos", tmp_path / "hub/shards"
    names = ("train/a/x.jpg", "train/b/x.JPG", "test/y 1.png", "README.md", "train/w.bin")
    for i, name in enumerate(names):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        (photos / name).write_bytes(picture(i))
    for i in range(2):
        packed(shards / f"data/{i}.tar", {"0.jpg": picture(i)})
    (shards / "preview.png").write_bytes(picture(3))
    with hub_server.serve({"some/photos": photos, "some/shards": shards}) as hub:
        yield hub


@pytest.fixture
def client(hub: hub_server.Hub, tmp_path: Path) -> Client:
    return Client(hub.url, tmp_path)


def test_images_and_the_cache(hub: hub_server.Hub, client: Client):
    address = "hf://datasets/some/photos"
    found, notes = client.find("online", address)
    size = len(picture(2))
    assert [key for key, _, _ in found] == ["test/y 1.png", "train/a/x.jpg", "train/b/x.JPG"]
    assert found[0][1:] == [f"{address}/test/y 1.png", size]
    assert notes == []
    assert "w.bin" not in hub.files_sent() and "README.md" not in hub.files_sent()
    hub.requests.clear()
    assert client.find("online", address) == [found, notes]
    assert hub.files_sent() == set()
    hub.requests.clear()
    assert client.find("offline", address) == [found, notes]
    assert hub.requests == []


def test_a_part_and_a_revision(hub: hub_server.Hub, client: Client):
    address = "hf://datasets/some/photos@main/train"
    found, _ = client.find("online", address)
    assert [item[:2] for item in found] == [
        ["a/x.jpg", f"{address}/a/x.jpg"],
        ["b/x.JPG", f"{address}/b/x.JPG"],
    ]
    assert hub.files_sent() == {"x.jpg", "x.JPG"}
    found, _ = client.find("online", "hf://datasets/some/photos/train/a/x.jpg")
    assert found[0][0] == "x.jpg"
    assert client.find("offline", address)[0][0][0] == "a/x.jpg"
    # a part is not the whole
    assert "or not all of it" in client.fail("offline", "hf://datasets/some/photos")


def test_tars_go_before_previews(hub: hub_server.Hub, client: Client):
    found, _ = client.find("online", "hf://datasets/some/shards")
    assert [key for key, _, _ in found] == ["data/0.tar/0.jpg", "data/1.tar/0.jpg"]
    assert hub.files_sent() == {"0.tar", "1.tar"}
    assert client.find("offline", "hf://datasets/some/shards")[0] == found


def test_several_data_sets_stay_apart(client: Client):
    found, _ = client.find(
        "online", "hf://datasets/some/photos/train", "hf://datasets/some/shards/data/1.tar"
    )
    assert [key for key, _, _ in found] == [
        "some/photos/train/a/x.jpg",
        "some/photos/train/b/x.JPG",
        "some/shards/data/1.tar/0.jpg",
    ]


def test_tables(hub: hub_server.Hub, client: Client):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    folder = hub.repositories["some/photos"]
    table = pa.table({"left": [picture(1)], "right": [picture(2)]})
    pq.write_table(table, folder / "table.parquet")
    assert "images in the columns left, right" in client.fail("online", "hf://datasets/some/photos")
    found, _ = client.find("online", "hf://datasets/some/photos#right")
    assert [key for key, _, _ in found] == ["table.parquet/000000.jpg"]


@pytest.mark.slow
def test_what_is_refused(hub: hub_server.Hub, client: Client):
    assert client.fail("online", "hf://datasets/some/fotos") == (
        "hf://datasets/some/fotos: there is no public data set some/fotos on the hub; check the "
        "spelling, or run `hf auth login` if it is private"
    )
    assert client.fail("online", "hf://datasets/some/photos@v9") == (
        "hf://datasets/some/photos@v9: the data set has no revision v9; check the spelling"
    )
    assert client.fail("online", "hf://datasets/some/photos/none") == (
        "hf://datasets/some/photos/none: the data set has no none; check the path"
    )
    assert client.fail("online", "hf://datasets/some/photos/README.md").endswith(
        "has no images, tar or Parquet files; name another part of the data set"
    )
    hub.gated.add("some/photos")
    assert "is gated; accept its licence" in client.fail("online", "hf://datasets/some/photos")
    hub.refuse = 503
    assert "can't be downloaded (" in client.fail("online", "hf://datasets/some/shards")
    assert client.fail("offline", "hf://datasets/some/photos") == (
        "hf://datasets/some/photos: isn't on this machine, or not all of it, and offline is set; "
        "run it once with network access"
    )
    nobody = Client("http://127.0.0.1:9", client.folder)
    assert "check the network and run it again" in nobody.fail("online", "hf://datasets/a/b")


@pytest.mark.parametrize(
    "address", ["hf://some/photos", "hf://datasets/photos", "hf://datasets/a/b/../c", "hf://"]
)
def test_what_is_no_address(address: str):
    assert refusal(address).startswith(f"{address}: isn't the address of a data set; write hf://")
