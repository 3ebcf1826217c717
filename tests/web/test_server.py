"""The running page as programs see it: gradio_client, and requests of those who mean no good."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

import zeroguide.web
from zeroguide.result import Labeling
from zeroguide.web.examples import SCENES

from .conftest import Running

SCENE = SCENES / "tent.png"


@pytest.fixture()
def client(running: Running) -> Iterator[Any]:
    gradio_client = pytest.importorskip("gradio_client")
    client = gradio_client.Client(running.url, verbose=False)
    yield client
    client.close()


def handle(path: Path) -> Any:
    from gradio_client import handle_file

    return handle_file(str(path))


def test_a_program_labels_edits_and_downloads(running: Running, client: Any) -> None:
    from zeroguide import label

    first = client.predict(handle(SCENE), api_name="/label")
    expected = label(SCENE, preset="tiny", device="cpu", offline=True).to_dict()
    assert [s["label"] for s in first["segments"]] == [s["label"] for s in expected["segments"]]
    assert first["image"] == expected["image"]
    asked = len(running.asked)
    part, other = (s["merged_from"][0] for s in first["segments"][:2])
    renamed = client.predict(part, 'my "path" <b>', api_name="/rename")
    assert renamed["segments"][0]["label"] == 'my "path" <b>'
    joined = client.predict(part, other, api_name="/join")
    assert len(joined["segments"]) == len(first["segments"]) - 1
    assert len(client.predict(0.0, api_name="/merge")["segments"]) <= 2
    client.predict(api_name="/undo")
    client.predict(api_name="/undo")
    again = client.predict(expected["recipe"]["settings"]["merge"]["threshold"], api_name="/merge")
    assert again["segments"] == first["segments"] and again["recipe"] == first["recipe"]
    assert len(running.asked) == asked  # no network since
    client.predict(part, other, api_name="/join")
    named = client.predict(part, api_name="/name_again")
    assert len(running.asked) == asked + 1
    told = {kind: client.predict(kind, api_name="/download") for kind in ("json", "overlay")}
    content = base64.b64decode(told["json"]["content"])
    assert Labeling.from_dict(json.loads(content)).to_dict() == named
    with PIL.Image.open(io.BytesIO(base64.b64decode(told["overlay"]["content"]))) as picture:
        picture.verify()


def test_uploads_are_deleted_when_they_are_read(running: Running, client: Any) -> None:
    client.predict(handle(SCENE), api_name="/label")
    assert [p for p in running.server.folder.rglob("*") if p.is_file()] == []


def test_a_session_ends_with_its_client(running: Running) -> None:
    gradio_client = pytest.importorskip("gradio_client")
    client = gradio_client.Client(running.url, verbose=False)
    client.predict(handle(SCENE), api_name="/label")
    assert client.session_hash in running.server.sessions
    client.close()
    # Its heartbeat stops; the server notices when it next writes to it.
    deadline = time.monotonic() + 60
    while client.session_hash in running.server.sessions and time.monotonic() < deadline:
        time.sleep(0.2)
    assert client.session_hash not in running.server.sessions


def test_two_clients_do_not_meet(running: Running) -> None:
    gradio_client = pytest.importorskip("gradio_client")
    one, two = (gradio_client.Client(running.url, verbose=False) for _ in range(2))
    first = one.predict(handle(SCENE), api_name="/label")
    second = two.predict(handle(SCENES / "owl.png"), api_name="/label")
    one.predict(first["segments"][0]["merged_from"][0], "mine", api_name="/rename")
    assert two.predict(0.75, api_name="/merge")["segments"] == second["segments"]
    assert second["image"]["file_name"] == "owl.png"
    one.close()
    two.close()


@pytest.mark.parametrize("name", ["bad.png", "empty.png"])
def test_a_bad_file_is_a_sentence(client: Any, tmp_path: Path, name: str) -> None:
    from gradio_client.exceptions import AppError

    path = tmp_path / name
    path.write_bytes(b"\x89PNG\r\n\x1a\nnothing more" if name == "bad.png" else b"")
    with pytest.raises(AppError, match=rf"^{name}: ") as caught:
        client.predict(handle(path), api_name="/label")
    assert "Traceback" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_threshold_that_is_no_similarity_is_refused(client: Any) -> None:
    from gradio_client.exceptions import AppError

    first = client.predict(handle(SCENE), api_name="/label")
    with pytest.raises(AppError, match=r"^the threshold 5 is no similarity"):
        client.predict(5.0, api_name="/merge")
    assert client.predict(0.75, api_name="/merge") == first


def test_a_fixed_number_of_segments_is_not_cut_anew(client: Any) -> None:
    from gradio_client.exceptions import AppError

    client.predict(handle(SCENE), api_name="/label")
    with pytest.raises(AppError, match=r"^this recipe says how many segments there are"):
        client.predict(0.5, api_name="/cut")


def test_the_api_describes_what_it_takes_and_gives(client: Any) -> None:
    told = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    taken = {
        name: [one["parameter_name"] for one in endpoint["parameters"]]
        for name, endpoint in told.items()
    }
    assert taken == {
        "/label": ["upload"], "/cut": ["granularity"], "/merge": ["threshold"],
        "/certainty": ["least"], "/look": ["part"], "/name_masks": ["upload"],
        "/rename": ["part", "label"], "/join": ["part", "other"], "/name_again": ["part"],
        "/undo": [], "/download": ["kind"],
    }  # fmt: skip
    (photo,) = told["/label"]["parameters"]
    assert photo["python_type"]["description"] == "At most 20 MB and 25 megapixels"
    for endpoint in told.values():
        assert endpoint["description"]
        for one in endpoint["parameters"] + endpoint["returns"]:
            assert one["python_type"]["description"], one
            assert one["python_type"]["type"] in ("float", "int", "str", "filepath") or (
                one["python_type"]["type"].startswith("dict")
            )
            assert re.match(r"[A-Z][a-z]", one["label"]) and "parameter_" not in one["label"]


def test_edits_without_a_picture_are_a_sentence(client: Any) -> None:
    from gradio_client.exceptions import AppError

    with pytest.raises(AppError, match="no picture in this session"):
        client.predict(1, "name", api_name="/rename")


# Requests of those who mean no good


def ask(url: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        url, data, {"content-type": "application/json", **(headers or {})}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.mark.parametrize(
    "path",
    ["/file=/etc/passwd", "/gradio_api/file=/etc/passwd", "/gradio_api/file=%2Fetc%2Fpasswd",
     "/gradio_api//file=/etc/passwd", "//gradio_api/file=/etc/passwd",
     "/gradio_api/file/etc/passwd",
     "/gradio_api/file=http://127.0.0.1/", "/gradio_api/proxy=http://127.0.0.1/",
     "/static/../../../../etc/passwd", "/static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
     "/assets/..%2f..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
     "/svelte/..%2f..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd"],
)  # fmt: skip
def test_no_file_of_the_server_is_served(running: Running, path: str) -> None:
    status, content = ask(running.url + path)
    assert status in (403, 404) and b"root:" not in content


@pytest.mark.parametrize(
    "door", ["api/label", "run/label", "call/label", "queue/join", "call/v2/label"]
)
@pytest.mark.parametrize(
    "path", ["/etc/passwd", str(SCENE), "http://127.0.0.1:9/x.png", "https://example.org/x.png"]
)
def test_no_path_or_url_is_taken(running: Running, door: str, path: str) -> None:
    value = {"path": path, "meta": {"_type": "gradio.FileData"}, "orig_name": "x.png"}
    body: dict[str, Any] = {"data": [value], "session_hash": "evil", "fn_index": 0}
    status, content = ask(f"{running.url}/gradio_api/{door}", body)
    assert status == 403 and b"root:" not in content


def test_no_upload_beyond_the_limit(running: Running) -> None:
    url = running.url + "/gradio_api/upload"
    # The length alone decides: nothing has to be sent for a refusal.
    status, _ = ask(url, {}, {"content-length": "50000000"})
    assert status == 413


def test_nothing_is_looked_up_elsewhere(running: Running, client: Any) -> None:
    client.predict(handle(SCENE), api_name="/label")
    assert running.looked_up <= {"127.0.0.1", "localhost", "None"}
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"


def test_gradio_writes_nothing_into_the_package(running: Running) -> None:
    package = Path(zeroguide.web.__file__).parent
    assert list(package.glob("*.pyi")) == []


def test_the_settings_tell_no_path_of_the_server(running: Running) -> None:
    for path in ("/config", "/gradio_api/info"):
        status, content = ask(running.url + path)
        assert status == 200
        assert str(running.server.folder).encode() not in content
        assert str(SCENES.parent).encode() not in content
        assert b"googleapis" not in content
