"""Downloads from a hub that runs on this machine: fresh, cached, offline, broken off, refused."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import hub_server
import pytest

ROOT = Path(__file__).parents[1]
CODE = """
import sys
from zeroguide.errors import WeightsError
from zeroguide.models import pull, resolve
from zeroguide.recipe import load_recipe
command, checkpoint, role = sys.argv[1:]
try:
    if command == "pull":
        keys = ("dino", "clip", "language_model")
        recipe = load_recipe("fast", [f"models.{k}={checkpoint}-{k}" for k in keys])
        for model in pull([recipe]):
            print(model.role, model.size > 0, model.folder)
    else:
        print(resolve(checkpoint, role, offline=command == "offline"))
except WeightsError as e:
    sys.exit(str(e))
assert "torch" not in sys.modules
"""


class Client:
    """Runs the code in a process of its own, as the hub's address is read at import."""

    def __init__(self, url: str, cache: Path) -> None:
        self.environment = os.environ | {"HF_ENDPOINT": url, "HF_HOME": str(cache)}
        self.environment |= {"PYTHONPATH": str(ROOT), "NO_PROXY": "*"}
        for name in ("HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_TOKEN"):
            self.environment.pop(name, None)

    def run(self, command: str, checkpoint: str, role: str = "dino") -> str:
        """Output of a run that must succeed."""
        done = self._run(command, checkpoint, role)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.strip()

    def fail(self, command: str, checkpoint: str, role: str = "dino") -> str:
        """The error of a run that must fail with one sentence and nothing else."""
        done = self._run(command, checkpoint, role)
        assert done.returncode == 1 and done.stdout == ""
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        assert len(lines) == 1, done.stderr
        return lines[0]

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", CODE, *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=self.environment)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[hub_server.Hub]:
    """Repositories with files of the right names; the loaders' tests look inside."""
    contents = {
        "dino": ["config.json", "preprocessor_config.json", "model.safetensors"],
        "clip": ["open_clip_config.json", "open_clip_model.safetensors", "model.safetensors",
                 "open_clip_pytorch_model.safetensors", "tokenizer.json"],
        "language_model": ["config.json", "tokenizer.json", "merges.txt",
                           "model-00001-of-00001.safetensors", "model.safetensors.index.json"],
    }  # fmt: skip
    for role, names in contents.items():
        folder = tmp_path / "repositories" / role
        folder.mkdir(parents=True)
        for name in [*names, "pytorch_model.bin", "README.md", "model.onnx"]:
            (folder / name).write_text(f"{role} {name} " * 1000)
    ids = {f"some/model-{role}": tmp_path / "repositories" / role for role in contents}
    with hub_server.serve(ids) as hub:
        yield hub


@pytest.fixture
def client(hub: hub_server.Hub, tmp_path: Path) -> Client:
    return Client(hub.url, tmp_path / "cache")


def test_download_cache_and_offline(hub: hub_server.Hub, client: Client) -> None:
    folder = client.run("online", "some/model-dino")
    expected = {"config.json", "preprocessor_config.json", "model.safetensors"}
    assert {p.name for p in Path(folder).iterdir()} == expected == hub.files_sent()
    hub.requests.clear()
    assert client.run("online", "some/model-dino") == folder
    assert client.run("offline", "some/model-dino") == folder
    assert hub.requests == []  # what is cached costs no request


def test_the_weights_are_fetched_once_and_never_as_pickle(
    hub: hub_server.Hub, client: Client
) -> None:
    client.run("online", "some/model-clip", "clip")
    sent = {"open_clip_config.json", "open_clip_model.safetensors", "tokenizer.json"}
    assert hub.files_sent() == sent
    hub.requests.clear()
    client.run("online", "some/model-language_model", "language_model")
    sent = {"config.json", "tokenizer.json", "merges.txt"}
    sent |= {"model-00001-of-00001.safetensors", "model.safetensors.index.json"}
    assert hub.files_sent() == sent


def test_pull_brings_up_to_date(hub: hub_server.Hub, client: Client) -> None:
    first = client.run("pull", "some/model").splitlines()
    assert [line.split()[:2] for line in first] == [
        [role, "True"] for role in ("dino", "clip", "language_model")
    ]
    hub.commit = "2" * 40
    assert client.run("online", "some/model-dino") == first[0].split()[2]
    second = client.run("pull", "some/model").splitlines()
    assert second[0].split()[2].endswith("2" * 40)
    assert client.run("online", "some/model-dino") == second[0].split()[2]


def test_a_connection_that_breaks_off(hub: hub_server.Hub, client: Client) -> None:
    weights = hub.repositories["some/model-dino"] / "model.safetensors"
    weights.write_bytes(os.urandom(3_000_000))
    hub.cut_after = 1_500_000
    folder = Path(client.run("online", "some/model-dino"))
    assert (folder / "model.safetensors").read_bytes() == weights.read_bytes()


def test_half_a_download_is_no_model(hub: hub_server.Hub, client: Client) -> None:
    folder = Path(client.run("online", "some/model-dino"))
    (folder / "model.safetensors").unlink()
    assert "aren't on this machine and offline is set" in client.fail("offline", "some/model-dino")
    assert (Path(client.run("online", "some/model-dino")) / "model.safetensors").exists()


def test_offline_and_not_cached(hub: hub_server.Hub, client: Client) -> None:
    message = client.fail("offline", "facebook/dino-vits8")
    assert message == (
        "the weights of facebook/dino-vits8 (dino) aren't on this machine and offline is set: run "
        "`zeroguide models pull --preset paper` once with network access, or use `--preset tiny`, "
        "whose weights are included but know rendered scenes only"
    )
    assert hub.requests == []
    assert "run `hf download some/model-dino`" in client.fail("offline", "some/model-dino")


def test_no_connection(tmp_path: Path) -> None:
    client = Client("http://127.0.0.1:9", tmp_path)  # nobody listens there
    start = time.process_time()
    message = client.fail("online", "laion/CLIP-ViT-B-16-laion2B-s34B-b88K", "clip")
    assert time.process_time() - start < 5
    assert message.startswith(
        "the hub can't be reached and the weights of laion/CLIP-ViT-B-16-laion2B-s34B-b88K (clip) "
        "aren't on this machine: run `zeroguide models pull --preset fast` once"
    )


def test_the_hub_is_down(hub: hub_server.Hub, client: Client) -> None:
    hub.broken = True
    assert "the hub can't be reached" in client.fail("online", "some/model-dino")


def test_no_such_model_and_a_gated_one(hub: hub_server.Hub, client: Client) -> None:
    assert client.fail("online", "some/modle") == (
        "some/modle (dino) is neither a folder nor a public model on the hub: check the spelling, "
        "or run `hf auth login` if it is private"
    )
    hub.gated.add("some/model-dino")
    assert "is gated: accept its licence" in client.fail("online", "some/model-dino")


def test_a_repository_with_pickles_only(hub: hub_server.Hub, client: Client) -> None:
    (hub.repositories["some/model-dino"] / "model.safetensors").unlink()
    assert "has no model.safetensors" in client.fail("online", "some/model-dino")
    assert "pytorch_model.bin" not in hub.files_sent()
