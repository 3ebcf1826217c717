"""Downloads from a hub that runs on this machine: fresh, cached, offline, broken off, refused."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import hub_server
import pytest
from hub_client import Client, write_repositories

from zeroguide.models import hub_errors


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[hub_server.Hub]:
    with hub_server.serve(write_repositories(tmp_path / "repositories")) as hub:
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


def test_a_text_tower_without_its_configuration_is_refused_before_the_download(
    hub: hub_server.Hub, client: Client
) -> None:
    path = hub.repositories["some/model-clip"] / "open_clip_config.json"
    text = {"hf_model_name": "xlm-roberta-base", "hf_tokenizer_name": "xlm-roberta-base"}
    path.write_text(json.dumps({"model_cfg": {"text_cfg": text}}))
    assert client.fail("online", "some/model-clip", "clip") == (
        "some/model-clip (clip) has xlm-roberta-base as its text tower, but not that model's "
        "config.json: run `hf download some/model-clip --local-dir DIR` and `hf download "
        "xlm-roberta-base config.json --local-dir DIR`, then name DIR"
    )
    assert hub.files_sent() == {"open_clip_config.json"}
    (path.parent / "config.json").write_text('{"model_type": "xlm-roberta"}')
    hub.commit = "2" * 40
    folder = Path(client.run("online", "some/model-clip", "clip"))
    hub.requests.clear()
    assert Path(client.run("offline", "some/model-clip", "clip")) == folder
    assert (folder / "config.json").is_file() and hub.requests == []


def test_a_vlm_that_takes_tasks_is_refused_before_the_download(
    hub: hub_server.Hub, client: Client
) -> None:
    folder = hub.repositories["some/model-language_model"]
    (folder / "config.json").write_text('{"model_type": "florence2"}')
    message = client.fail("online", "some/model-language_model", "vlm")
    assert message.startswith("some/model-language_model (vlm) is a florence2, which knows a list")
    assert hub.files_sent() == {"config.json"}


def test_pull_brings_up_to_date(hub: hub_server.Hub, client: Client) -> None:
    first = client.pull("some/model", "beam").splitlines()
    assert [line.split()[:2] for line in first] == [
        [role, "True"] for role in ("dino", "clip", "language_model")
    ]
    hub.commit = "2" * 40
    assert client.run("online", "some/model-dino") == first[0].split()[2]
    second = client.pull("some/model", "beam").splitlines()
    assert second[0].split()[2].endswith("2" * 40)
    assert client.run("online", "some/model-dino") == second[0].split()[2]


def test_pull_leaves_what_the_decoder_does_not_use(hub: hub_server.Hub, client: Client) -> None:
    lines = client.pull("some/model", "vocabulary").splitlines()
    assert [line.split()[0] for line in lines] == ["dino", "clip"]
    assert not any("language_model" in path for _, path, _ in hub.requests)


def test_a_model_that_another_preset_uses_is_pulled_with_that(client: Client) -> None:
    message = client.fail("offline", "HuggingFaceTB/SmolLM2-135M-Instruct", "language_model")
    assert "run `zeroguide models pull --preset base` once" in message


def test_a_model_that_no_preset_uses_is_pulled_with_the_decoder_that_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub_errors, "list_recipes", lambda: ["fast"])
    message = hub_errors.remedy("HuggingFaceTB/SmolLM2-135M-Instruct")
    assert "run `zeroguide models pull --preset fast --set decoder.method=beam` once" in message


def test_half_a_download_is_no_model(hub: hub_server.Hub, client: Client) -> None:
    folder = Path(client.run("online", "some/model-dino"))
    (folder / "model.safetensors").unlink()
    assert "aren't on this machine (offline)" in client.fail("offline", "some/model-dino")
    assert (Path(client.run("online", "some/model-dino")) / "model.safetensors").exists()


def test_offline_and_not_cached(hub: hub_server.Hub, client: Client) -> None:
    message = client.fail("offline", "facebook/dino-vits8")
    assert message == (
        "the weights of facebook/dino-vits8 (dino) aren't on this machine (offline): run "
        "`zeroguide models pull --preset paper` once with network access, or use the preset photo, "
        "whose small model is included"
    )
    assert hub.requests == []
    assert client.fail("offline", "my-dinno").endswith(
        "if it is to be a folder, check its path, else run `hf download my-dinno` with network "
        "access"
    )


def test_no_connection(tmp_path: Path) -> None:
    client = Client("http://127.0.0.1:9", tmp_path)  # nobody listens there
    start = time.process_time()
    message = client.fail("online", "laion/CLIP-ViT-B-16-laion2B-s34B-b88K", "clip")
    assert time.process_time() - start < 5
    assert message.startswith(
        "the hub can't be reached and the weights of laion/CLIP-ViT-B-16-laion2B-s34B-b88K (clip) "
        "aren't on this machine: run `zeroguide models pull --preset fast-laion` once"
    )


def test_a_repository_with_pickles_only(hub: hub_server.Hub, client: Client) -> None:
    (hub.repositories["some/model-dino"] / "model.safetensors").unlink()
    assert "has no model.safetensors" in client.fail("online", "some/model-dino")
    assert "pytorch_model.bin" not in hub.files_sent()
