"""What the hub, the network and the disk can do to a download: mended, or one sentence."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import hub_server
import pytest
from hub_client import Client, write_repositories

MODEL = "some/model-dino"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[hub_server.Hub]:
    with hub_server.serve(write_repositories(tmp_path / "repositories")) as hub:
        weights = hub.repositories[MODEL] / "model.safetensors"
        weights.write_bytes(os.urandom(3_000_000))
        yield hub


@pytest.fixture
def client(hub: hub_server.Hub, tmp_path: Path) -> Client:
    return Client(hub.url, tmp_path / "cache")


def weights(folder: str | Path) -> bytes:
    return (Path(folder) / "model.safetensors").read_bytes()


# The connection -----------------------------------------------------------------------------------


def test_a_connection_that_breaks_off(hub: hub_server.Hub, client: Client) -> None:
    """The rest is asked for, not the whole file again."""
    (hub.repositories[MODEL] / "model.safetensors").write_bytes(os.urandom(25_000_000))
    hub.cut_after = 15_000_000  # the client writes 10 MiB at once
    folder = client.run("online", MODEL)
    assert weights(folder) == weights(hub.repositories[MODEL])
    ranges = [r for method, path, r in hub.requests if path.endswith("model.safetensors") and r]
    assert len(ranges) == 1
    assert 10_000_000 < int(ranges[0].removeprefix("bytes=").partition("-")[0]) <= 15_000_000


def test_a_hub_that_goes_down(hub: hub_server.Hub, client: Client) -> None:
    """Half a file is no model, and what was finished isn't fetched again."""
    hub.cut_after, hub.then_down = 1_500_000, True
    message = client.fail("online", MODEL)
    assert message.startswith(f"the download of {MODEL} (dino) failed (")
    assert message.endswith("): run it again, finished files are kept")
    assert "aren't on this machine (offline)" in client.fail("offline", MODEL)
    hub.refuse = None
    hub.requests.clear()
    assert weights(client.run("online", MODEL)) == weights(hub.repositories[MODEL])
    assert hub.files_sent() == {"model.safetensors"}


def test_python_shows_one_traceback(hub: hub_server.Hub, client: Client) -> None:
    """What the client of the hub has to say lies under the sentence, not above it."""
    hub.refuse = 503
    shown = client.traceback(MODEL)
    assert shown.count("Traceback (most recent call last)") == 1
    assert shown.splitlines()[-1].startswith("zeroguide.errors.WeightsError: the hub can't be")


# The hub's answers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "the hub denies access to {} (HTTP 401): check its name, ask for access on its page"),
        (403, "the hub denies access to {} (HTTP 403): check its name, ask for access on its page"),
        (429, "the hub takes no more requests for now, {} isn't complete (HTTP 429): run it again"),
        (503, "the hub can't be reached (HTTP 503) and the weights of {} aren't on this machine"),
    ],
)
def test_refusals(status: int, message: str, hub: hub_server.Hub, client: Client) -> None:
    hub.refuse = status
    assert message.format(f"{MODEL} (dino)") in client.fail("online", MODEL)


def test_what_is_cached_works_while_the_hub_refuses(hub: hub_server.Hub, client: Client) -> None:
    folder = client.run("online", MODEL)
    hub.refuse = 429
    assert client.run("online", MODEL) == folder


def test_a_hub_that_is_busy_for_a_moment(hub: hub_server.Hub, client: Client) -> None:
    hub.busy = 1
    assert weights(client.run("online", MODEL)) == weights(hub.repositories[MODEL])


def test_no_such_model_and_a_gated_one(hub: hub_server.Hub, client: Client) -> None:
    assert client.fail("online", "some/modle") == (
        "some/modle (dino) is neither a folder nor a public model on the hub: check the spelling, "
        "or run `hf auth login` if it is private"
    )
    hub.gated.add(MODEL)
    assert client.fail("online", MODEL) == (
        f"{MODEL} (dino) is gated: accept its licence on its page on the hub, then run "
        "`hf auth login`"
    )


# What arrives -------------------------------------------------------------------------------------


def test_a_file_of_the_wrong_size(hub: hub_server.Hub, client: Client) -> None:
    hub.short = True
    assert "failed (OSError: Consistency check failed" in client.fail("online", MODEL)
    hub.short = False
    assert weights(client.run("online", MODEL)) == weights(hub.repositories[MODEL])


def test_a_bit_that_flips_on_the_way(hub: hub_server.Hub, client: Client) -> None:
    hub.flips = 1
    assert weights(client.run("online", MODEL)) == weights(hub.repositories[MODEL])
    sent = [path for method, path, _ in hub.requests if method == "GET" and "/resolve/" in path]
    assert [path.rpartition("/")[2] for path in sent].count("model.safetensors") == 2
    assert len(sent) == 4  # sound files aren't fetched again


def test_a_file_that_always_arrives_damaged(hub: hub_server.Hub, client: Client) -> None:
    hub.flips = 99
    assert client.fail("online", MODEL) == (
        f"model.safetensors of {MODEL} (dino) arrives damaged (its checksum isn't the hub's): try "
        "another network or mirror"
    )
    assert "aren't on this machine" in client.fail("offline", MODEL)  # nothing bad was kept


def test_a_bit_that_flips_in_the_cache(hub: hub_server.Hub, client: Client) -> None:
    folder = Path(client.pull("some/model", "vocabulary").splitlines()[0].split()[2])
    blob = (folder / "model.safetensors").resolve()
    for path in (blob, (folder / "config.json").resolve()):
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    client.pull("some/model", "vocabulary")
    assert weights(folder) == weights(hub.repositories[MODEL])
    original = hub.repositories[MODEL] / "config.json"
    assert (folder / "config.json").read_bytes() == original.read_bytes()


# The disk -----------------------------------------------------------------------------------------


def test_a_full_disk(hub: hub_server.Hub, client: Client, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    mount = f'mount -t tmpfs -o size=1m tmpfs {tmp_path / "cache"} && exec "$@"'
    client.within = ["unshare", "-rm", "sh", "-c", mount, "sh"]
    try:
        subprocess.run([*client.within, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this system doesn't let a test mount a small disk")
    message = client.fail("online", MODEL)
    assert message.startswith(
        f"there is no space left for {MODEL} (dino) in the hub's cache {tmp_path / 'cache'}"
    )
    assert message.endswith("make room, or set HF_HOME to a folder on another disk")


def test_a_cache_that_cannot_be_written(hub: hub_server.Hub, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    message = Client(hub.url, tmp_path / "file" / "cache").fail("online", MODEL)
    assert message == (
        f"the hub's cache {tmp_path / 'file' / 'cache' / 'hub'} can't be written (Not a "
        "directory): make it writable, or set HF_HOME to a folder that is"
    )


def test_a_read_only_cache_that_has_the_model(
    hub: hub_server.Hub, client: Client, tmp_path: Path
) -> None:
    folder = client.run("online", MODEL)
    mount = 'mount -o bind,ro {0} {0} && exec "$@"'.format(tmp_path / "cache")
    client.within = ["unshare", "-rm", "sh", "-c", mount, "sh"]
    try:
        done = subprocess.run(
            [*client.within, "touch", str(tmp_path / "cache" / "x")], capture_output=True, text=True
        )
    except OSError:
        pytest.skip("this system has no unshare")
    if "Read-only" not in done.stderr:
        pytest.skip("this system doesn't let a test mount a folder read-only")
    assert client.run("online", MODEL) == folder
    assert client.run("offline", MODEL) == folder
    message = client.fail("online", "some/model-clip", "clip")
    assert "can't be written (Read-only file system): make it writable" in message


def test_a_mirror(hub: hub_server.Hub, tmp_path: Path) -> None:
    """HF_ENDPOINT is all that a mirror needs; what it sent is used without it."""
    shutil.rmtree(hub.repositories.pop("some/model-clip"))
    mirror = Client(hub.url + "/", tmp_path / "cache")
    folder = mirror.run("online", MODEL)
    assert {path.split("/")[-1] for _, path, _ in hub.requests} >= {"model.safetensors"}
    del mirror.environment["HF_ENDPOINT"]
    assert mirror.run("offline", MODEL) == folder
