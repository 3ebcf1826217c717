"""Single parts of the service, without a server."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import numpy as np
import pytest
from conftest import REPOSITORY

pytest.importorskip("starlette", reason="the service needs pip install zeroguide[serve]")

from fake_labeler import FakeLabeler

from zeroguide.errors import DeviceError, ZeroguideError
from zeroguide.image import Image, from_array, open_image
from zeroguide.recipe import load_recipe
from zeroguide.runs.masks.sent import read_masks
from zeroguide.serve.bodies import base_name
from zeroguide.serve.guard import Guard
from zeroguide.serve.worker import Worker
from zeroguide.web.uploads import MAX_PIXELS


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("photo.jpg", "photo.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\photos\\photo.jpg", "photo.jpg"),
        ("..\\..\\a.png", "a.png"),
        ("a\0b\n.png", "ab.png"),
        ("写真 ü 👩‍👧.png", "写真 ü 👩‍👧.png"),
        ("..", "image"),
        ("folder/", "image"),
        ("", "image"),
        ("x" * 999, "x" * 255),
    ],
)
def test_only_the_base_name_is_taken(sent: str, name: str) -> None:
    assert base_name(sent) == name


def guarded(token: str | None, path: str = "/label", **headers: str) -> int:
    """The status with which a request is let through (200) or refused."""
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        raise AssertionError("nothing is to be read")

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "path": path, "headers": raw}
    asyncio.run(Guard(app, token=token, host="mine.local")(scope, receive, send))
    return int(sent[0]["status"])


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]:80", "Mine.Local", "127.9.9.9"]
)
def test_own_names_are_let_in(host: str) -> None:
    assert guarded(None, host=host) == 200
    assert guarded(None, host=host, origin=f"http://{host}") == 200
    assert guarded(None, host=host, origin="http://example.com") == 403
    assert guarded(None, host=host, origin="null") == 403


@pytest.mark.parametrize(
    "host",
    ["", "example.com", "127.0.0.1.example.com", "localhost.example.com", "[::1", "10.0.0.1"],
)
def test_other_names_are_refused(host: str) -> None:
    """What a web page would send whose name leads to this machine."""
    assert guarded(None, host=host) == 403
    assert guarded(None, "/health", host=host) == 403


def test_a_token_is_compared_whole() -> None:
    assert guarded("secret", authorization="Bearer secret", host="example.com") == 200
    assert guarded("secret", authorization="bearer  secret") == 200
    for wrong in ("Bearer secre", "Bearer secrets", "Bearer ", "secret", "Bearer sécret", ""):
        assert guarded("secret", authorization=wrong) == 401
    assert guarded("secret", "/health") == 200
    assert guarded("secret", "/docs") == guarded("secret", "/openapi.json") == 200
    assert guarded("secret", "/health2") == guarded("secret", "/label/docs") == 401


def images(n: int) -> list[Image]:
    rng = np.random.default_rng(0)
    return [from_array(rng.integers(0, 255, (20, 30, 3), np.uint8), f"{i}.png") for i in range(n)]


class Counting(FakeLabeler):
    """Notes how many images come together; the first batch waits for `go`."""

    def __init__(self) -> None:
        super().__init__(load_recipe("tiny"))
        self.sizes: list[int] = []
        self.go = threading.Event()

    def label_batch(self, images: Any) -> Any:
        self.sizes.append(len(images))
        self.go.wait(60)
        for image in images:
            if image.file_name == "2.png":
                raise ValueError("this picture breaks a batch")
            if image.file_name == "device.png":
                raise DeviceError("cuda:0", "gone", image.file_name)
        return super().label_batch(images)


def test_what_waits_together_goes_together() -> None:
    labeler: Any = Counting()
    worker = Worker(labeler, batch_size=4)
    futures = [worker.label(image) for image in images(6)]
    cancelled = worker.label(images(1)[0])
    assert cancelled.cancel()
    labeler.go.set()
    worker.close()
    # The first may have been alone; the batch with the bad picture went through again one by one.
    assert max(labeler.sizes) > 1 and max(labeler.sizes) <= 4
    for i, future in enumerate(futures):
        if i == 2:
            with pytest.raises(ValueError, match="breaks a batch"):
                future.result(0)
        else:
            assert future.result(0).file_name == f"{i}.png"


def test_a_device_that_fails_ends_all_and_tells_no_names() -> None:
    labeler: Any = Counting()
    labeler.go.set()
    told: list[bool] = []
    worker = Worker(labeler, broken=lambda: told.append(True))
    bad = from_array(np.zeros((9, 9, 3), np.uint8), "device.png")
    futures = [worker.label(bad), *map(worker.label, images(2))]
    worker.close()
    for future in futures:
        with pytest.raises(DeviceError) as caught:
            future.result(0)
        assert "device.png" not in str(caught.value)
    assert told == [True] and worker.error is not None


@pytest.fixture(scope="module")
def labeler() -> Any:
    from zeroguide.labeler import Labeler

    return Labeler(load_recipe("tiny"), device="cpu", offline=True)


def test_on_a_cpu_each_goes_alone_and_so_to_the_last_bit(labeler: Any) -> None:
    pictures = sorted((REPOSITORY / "zeroguide" / "web" / "scenes").glob("*.png"))
    opened = [open_image(path) for path in pictures]
    alone = [labeler.label_batch([image])[0].to_dict() for image in opened]
    worker = Worker(labeler)
    futures = [worker.label(image) for image in opened]
    worker.close()
    assert [future.result(0).to_dict() for future in futures] == alone


def test_a_batch_differs_in_last_digits_only(labeler: Any) -> None:
    pictures = sorted((REPOSITORY / "zeroguide" / "web" / "scenes").glob("*.png"))
    opened = [open_image(path) for path in pictures]
    worker = Worker(labeler, batch_size=4)
    futures = [worker.label(image) for image in opened]
    worker.close()
    for image, future in zip(opened, futures, strict=True):
        alone, together = labeler.label_batch([image])[0], future.result(0)
        assert (alone.label_map == together.label_map).all()
        for one, other in zip(alone.segments, together.segments, strict=True):
            assert one.label == other.label
            assert one.score == pytest.approx(other.score, abs=1e-4)


def test_masks_are_read_and_nothing_is_left(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    image = from_array(np.zeros((20, 30, 3), np.uint8), "photo.png")
    triangle = b'[{"segmentation": [[1, 1, 20, 1, 20, 15]], "id": 7}]'
    assert [mask.id for mask in read_masks(triangle, "any.json", image, max_pixels=MAX_PIXELS)] == [
        7
    ]
    for content, name in ((b"[", "m.json"), (b"[" * 100_000, "m.json"), (b"x", "m.png")):
        with pytest.raises(ZeroguideError, match=rf"^{name}: ") as caught:
            read_masks(content, name, image, max_pixels=MAX_PIXELS)
        assert str(tmp_path) not in str(caught.value)
    with pytest.raises(ZeroguideError, match=r"^m\.exe: the name of a file of masks ends in"):
        read_masks(triangle, "m.exe", image, max_pixels=MAX_PIXELS)
    assert list(tmp_path.iterdir()) == []
