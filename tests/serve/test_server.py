"""A real server: answers as the commands write them, limits, errors in one sentence."""

from __future__ import annotations

import io
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from conftest import REPOSITORY

from scripts.bench.serve import Server, by_command

from .conftest import SCENE

httpx = pytest.importorskip("httpx", reason="no httpx to ask with")

CONTENT = SCENE.read_bytes()
JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Any]:
    with httpx.Client(base_url=server.url, timeout=120) as one:
        yield one


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the commands write."""
    return by_command("tiny", SCENE, tmp_path_factory.mktemp("command"))


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def error(answer: Any) -> str:
    """The sentence of an error; nothing else is in it."""
    content = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert list(content) == ["error"]
    sentence = content["error"]
    assert sentence and "\n" not in sentence and "Traceback" not in sentence
    return str(sentence)


def test_labels_as_the_command_writes_them(client: Any, made: dict[str, bytes]) -> None:
    form = client.post("/label", files={"image": (SCENE.name, CONTENT, "image/png")})
    assert (form.status_code, form.headers["content-type"]) == (200, "application/json")
    assert form.content == made["labels"]
    raw = client.post(f"/label?name={SCENE.name}", content=CONTENT, headers=JPEG)
    assert raw.content == made["labels"]
    overlay = client.post("/label?overlay=true", files={"image": (SCENE.name, CONTENT)})
    assert overlay.headers["content-type"] == "image/png"
    assert overlay.content == made["overlay"]


def test_names_as_the_command_writes_them(
    client: Any, made: dict[str, bytes], tmp_path: Path
) -> None:
    files = {"image": (SCENE.name, CONTENT), "masks": ("any.json", made["labels"])}
    assert client.post("/name", files=files).content == made["names"]
    overlay = client.post("/name?overlay=1", files=files)
    assert PIL.Image.open(io.BytesIO(overlay.content)).format == "PNG"


def test_every_kind_of_masks(client: Any) -> None:
    height, width = np.asarray(PIL.Image.open(SCENE)).shape[:2]
    triangle = [[10, 10, 200, 10, 200, 150]]
    ids = np.zeros((height, width), np.uint8)
    ids[20:90, 30:80] = 5
    coco = {
        "images": [{"id": 1, "file_name": f"train/{SCENE.name}", "height": height, "width": width}],
        "annotations": [{"id": 3, "image_id": 1, "segmentation": triangle}],
    }
    corners = [[10, 10], [200, 10], [200, 150]]
    kinds = {
        "sam.json": json.dumps([{"segmentation": triangle}]).encode(),
        "coco.json": json.dumps(coco).encode(),
        "labelme.json": json.dumps({"shapes": [{"label": "a", "points": corners}]}).encode(),
        "map.png": png(ids),
        "yolo.txt": b"0 0.1 0.1 0.5 0.1 0.5 0.4",
    }
    found = {}
    for name, content in kinds.items():
        files = {"image": (SCENE.name, CONTENT), "masks": (name, content)}
        answer = client.post("/name", files=files)
        assert answer.status_code == 200, answer.text
        found[name] = [mask["id"] for mask in answer.json()["masks"]]
    assert found == {name: [5 if name == "map.png" else 3 if name == "coco.json" else 1]
                     for name in kinds}  # fmt: skip


def test_answers_are_of_the_form_that_is_described(client: Any, made: dict[str, bytes]) -> None:
    from zeroguide.serve.schemas import Health, Labels, Names

    Labels.model_validate_json(made["labels"])
    Names.model_validate_json(made["names"])
    health = Health.model_validate_json(client.get("/health").content)
    assert (health.ready, health.preset, health.queue) == (True, "tiny", 0)
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == {"/label", "/name", "/health"}
    for path in ("/label", "/name"):
        post = described["paths"][path]["post"]
        assert {"403", "413", "415", "422", "503"} <= set(post["responses"])
        assert post["requestBody"]["content"]["multipart/form-data"]
        for status, answer in post["responses"].items():
            schema = answer["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
            assert (schema == "Problem") == (status != "200")
            assert answer["description"]
    for reference in re.findall(r'"#/components/schemas/(\w+)"', json.dumps(described)):
        assert reference in described["components"]["schemas"]


@pytest.mark.parametrize(
    ("body", "kind", "status", "words"),
    [
        (b"", "image/png", 422, "is empty (0 bytes)"),
        (CONTENT[:5000], "image/png", 422, "truncated or damaged"),
        (b"hello", "image/png", 422, "not an image"),
        (b"hello", "text/plain", 415, "text/plain isn't read"),
        (b"{}", "application/json", 415, "application/json isn't read"),
        (b"a=b", "application/x-www-form-urlencoded", 415, "send multipart/form-data"),
        (b"hello", "multipart/form-data", 422, "boundary"),
        (b"--x\r\nnothing", "multipart/form-data; boundary=x", 422, "the body is cut off"),
        (b"--y\r\n", "multipart/form-data; boundary=x", 422, "multipart body"),
        (b"", "multipart/form-data; boundary=x", 422, "the field image is missing"),
    ],
)
def test_bodies_that_cannot_be_read(
    client: Any, body: bytes, kind: str, status: int, words: str
) -> None:
    answer = client.post("/label", content=body, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert words in error(answer)


def test_forms_without_their_files(client: Any) -> None:
    for path, files, words in (
        ("/label", {"photo": ("a.png", CONTENT)}, "the field image is missing"),
        ("/name", {"image": ("a.png", CONTENT)}, "the field masks is missing"),
        ("/name", {"masks": ("a.json", b"[]")}, "the field image is missing"),
        ("/label", {"image": (None, b"text")}, "the field image isn't a file"),
        ("/label", [("image", ("a.png", CONTENT))] * 3, "Too many files"),
    ):
        answer = client.post(path, files=files)
        assert answer.status_code == 422
        assert words in error(answer)
    assert client.post("/name", content=CONTENT, headers=JPEG).status_code == 415


def test_masks_that_cannot_be_used(client: Any) -> None:
    far = ",".join("3000,3000,-3000,-3000" for _ in range(100_000))
    for name, content, words in (
        ("m.json", b"[{]", "m.json: can't be read as JSON"),
        ("m.json", b"[" * 100_000, "m.json: can't be read as JSON"),
        ("m.json", b"NaN", "m.json: has no masks that can be read"),
        ("m.json", b'[{"segmentation": [[NaN, 1, 2, 3, 4, 5]]}]', "a corner at nan"),
        ("m.json", f'[{{"segmentation": [[{far}]]}}]'.encode(), "outlines of more than"),
        ("m.png", png(np.ones((5, 7), np.uint8)), "its masks are for 7 x 5 pixels"),
        ("m.png", png(np.zeros((5001, 5001), np.uint8)), "more than an image may have"),
        ("m.exe", b"[]", "m.exe: the name of a file of masks ends in"),
        ("../../m.json", b"[]", "m.json: has no masks of this image"),
    ):
        answer = client.post(
            "/name", files={"image": (SCENE.name, CONTENT), "masks": (name, content)}
        )
        assert answer.status_code == 422, (name, content[:40])
        assert words in error(answer)
        assert "/tmp" not in answer.text


def test_what_is_too_large(client: Any) -> None:
    huge = bytes(20_200_001)
    assert client.post("/label", files={"image": ("a.jpg", huge)}).status_code == 413
    # Without a length: the answer comes although not all could be sent.
    answer = client.post("/label", content=iter([bytes(1_000_000)] * 25), headers=JPEG)
    assert answer.status_code == 413
    assert "20 MB" in error(answer)
    wide = png(np.zeros((5001, 5000), np.uint8))
    answer = client.post("/label", content=wide, headers=JPEG)
    assert answer.status_code == 422
    assert "5000 x 5001 pixels are more than the 25 million this service takes" in error(answer)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("POST", "/label/", 404),
        ("GET", "/static-offline-docs/../core.py", 404),
        ("GET", "/label", 405),
        ("OPTIONS", "/label", 405),
        ("DELETE", "/health", 405),
        ("POST", "/label?overlay=maybe", 422),
        ("POST", f"/label?name={'a' * 300}", 422),
    ],
)
def test_other_requests(client: Any, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert error(answer)
    assert status != 405 or answer.headers["allow"]


def test_only_the_base_name_comes_back(client: Any) -> None:
    for sent, name in (("../../etc/passwd", "passwd"), ("a\\b\\写真.png", "写真.png")):
        answer = client.post("/label", files={"image": (sent, CONTENT)})
        assert answer.json()["image"]["file_name"] == name


def exchange(server: Server, data: bytes, seconds: float = 60) -> bytes:
    """What comes back for some bytes, until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port), seconds) as sock:
        sock.sendall(data)
        found = b""
        while piece := sock.recv(65536):
            found += piece
        return found


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"hello", b"400"),
        (b"GET /health HTTP/1.1", b"400"),  # no Host
        (b"GET /health HTTP/1.1\r\nHost: example.com\r\nConnection: close", b"403"),
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close", b"200"),
        (b"POST /label HTTP/1.1\r\nHost: localhost\r\nContent-Length: -3", b"400"),
        (
            b"POST /label HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
            b"Transfer-Encoding: chunked\r\n\r\nZZ\r\nabc",
            b"400",
        ),
        (
            b"POST /label HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
            b"Content-Encoding: gzip\r\nConnection: close\r\nContent-Length: 0",
            b"415",
        ),
        (
            b"POST /label HTTP/1.1\r\nHost: localhost\r\nOrigin: http://example.com\r\n"
            b"Connection: close\r\nContent-Length: 0",
            b"403",
        ),
    ],
)
def test_requests_byte_by_byte(server: Server, head: bytes, status: bytes) -> None:
    answer = exchange(server, head + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 " + status)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert status == b"200" or list(json.loads(body)) == ["error"]


def test_those_who_send_nothing_hold_nobody_up(server: Server, client: Any) -> None:
    sockets = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(60)]
    for sock in sockets[20:40]:
        sock.sendall(b"POST /label HTTP/1.1\r\nHost: loc")
    for sock in sockets[40:]:
        sock.sendall(
            b"POST /label HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
            b"Content-Length: 1000\r\n\r\nabc"
        )
    answer = client.post("/label", files={"image": (SCENE.name, CONTENT)})
    assert answer.status_code == 200
    for sock in sockets:
        sock.close()
    assert client.get("/health").json()["queue"] == 0


def test_who_comes_when_the_queue_is_full_is_told_to_come_again(server: Server) -> None:
    """It takes four; of twelve at once some are refused, and all have an answer."""
    with ThreadPoolExecutor(12) as pool:
        answers = list(
            pool.map(
                lambda _: httpx.post(
                    f"{server.url}/label", files={"image": ("a.png", CONTENT)}, timeout=120
                ),
                range(12),
            )
        )
    refused = [answer for answer in answers if answer.status_code == 503]
    assert refused and len(answers) - len(refused) >= 4
    assert all(answer.status_code == 200 for answer in answers if answer not in refused)
    for answer in refused:
        assert int(answer.headers["retry-after"]) > 0
        assert "try again" in error(answer)


def test_the_documentation_is_right(
    server: Server, client: Any, made: dict[str, bytes], tmp_path: Path, monkeypatch: Any
) -> None:
    """Its blocks of curl and Python, at this server's address."""
    monkeypatch.chdir(tmp_path)
    Path("photo.jpg").write_bytes(CONTENT)
    Path("masks.json").write_bytes(made["labels"])
    text = (REPOSITORY / "docs" / "serve.md").read_text("utf-8")
    text = text.replace("http://127.0.0.1:8000", server.url)
    (python,) = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    told = subprocess.run(
        [sys.executable, "-c", python], check=True, capture_output=True, text=True
    ).stdout
    assert told.startswith("['")
    if shutil.which("curl"):
        (block,) = re.findall(r"^With curl:\n\n```sh\n(.*?)^```", text, re.M | re.S)
        for line in block.splitlines():
            command = f"{line.partition('  #')[0]} --silent --fail-with-body"
            subprocess.run(command, shell=True, check=True, capture_output=True)
        assert PIL.Image.open("labels.png").format == "PNG"


def test_nothing_is_said_of_all_this(server: Server) -> None:
    """No traceback, no warning, no line a request."""
    time.sleep(0.2)
    noise = [line for line in server.said if not line.startswith("note: ")]
    assert noise == []


def test_the_page_of_the_api_asks_no_other_machine(server: Server) -> None:
    api = pytest.importorskip("playwright.sync_api", reason="no playwright to drive a browser")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
    if path is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{server.url}/docs")
        page.click(".opblock-post >> nth=0")
        page.wait_for_selector("text=Cut a picture into segments and name each")
        page.wait_for_load_state("networkidle")
        browser.close()
    assert len(asked) >= 3
    assert all(url.startswith((server.url, "data:")) for url in asked), asked
