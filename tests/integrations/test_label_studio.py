"""Label Studio's model: started as a program, asked as Label Studio asks, read with its own SDK."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from pycocotools import mask as coco_mask

from zeroguide.errors import UsageError
from zeroguide.labeler import Labeler
from zeroguide.result import Labeling

pytest.importorskip("label_studio_sdk", reason="label-studio-sdk is not installed")

from label_studio_sdk.converter.brush import decode_rle
from label_studio_sdk.label_interface import LabelInterface

from zeroguide.integrations.label_studio import read_interface
from zeroguide.integrations.label_studio_server import main

FREE = """<View><Image name="img" value="$picture"/><{} name="shape" toName="img">{}</{}>
<TextArea name="words" toName="img" perRegion="true" editable="true"/></View>"""
NAMES = ["apple", "carrot", "guitar"]
LISTED = '<View><Image name="img" value="$picture"/><{} name="shape" toName="img">{}</{}></View>'


def free(tag: str) -> str:
    return FREE.format(tag, '<Label value="segment"/>' if tag.endswith("Labels") else "", tag)


def listed(tag: str) -> str:
    return LISTED.format(tag, "".join(f'<Label value="{name}"/>' for name in NAMES), tag)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture, and a file that is none."""
    made = tmp_path_factory.mktemp("label_studio")
    scene = PIL.Image.open(Path(__file__).parents[2] / "examples" / "playroom.png")
    scene.crop((60, 60, 260, 230)).save(made / "scene.png")
    (made / "broken.png").write_bytes(b"none")
    return made


@pytest.fixture(scope="module")
def labeling(labeler: Labeler, folder: Path) -> Labeling:
    return labeler.label(folder / "scene.png")


@pytest.fixture(scope="module")
def model(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the program."""
    home = str(tmp_path_factory.mktemp("home"))
    environment = {**os.environ, "LOCAL_FILES_DOCUMENT_ROOT": str(folder), "HOME": home}
    command = [
        sys.executable, "-m", "zeroguide.integrations.label_studio_server",
        "--preset", "tiny", "--device", "cpu", "--offline", "--port", "0",
    ]  # fmt: skip
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        line = program.stdout.readline()
        assert "http://" in line
        yield line.split()[-1]
        program.terminate()


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[str]:
    """The folder at an address."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def ask(url: str, body: Any = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def predict(model: str, config: str, *urls: str) -> list[dict[str, Any]]:
    """As Label Studio does: setup, then tasks. What comes must fit the interface by its SDK."""
    project = "7.1700000000"
    status, said = ask(
        f"{model}/setup",
        {
            "project": project,
            "schema": config,
            "hostname": "http://127.0.0.1:1",
            "access_token": "",
        },
    )
    assert (status, said) == (200, {"model_version": "zeroguide tiny"})
    tasks = [{"id": i, "data": {"picture": url}} for i, url in enumerate(urls)]
    body = {"project": project, "label_config": config, "tasks": tasks, "params": {"context": None}}
    status, said = ask(f"{model}/predict", body)
    assert status == 200 and said["model_version"] == "zeroguide tiny"
    for found in said["results"]:
        assert LabelInterface(config).validate_prediction(found, return_errors=True) == []
    return said["results"]


def pixels(region: dict[str, Any]) -> np.ndarray:
    """(H, W) bool, by the SDK's decoder of brushes or pycocotools' polygons."""
    width, height = region["original_width"], region["original_height"]
    if "rle" in region["value"]:
        return decode_rle(region["value"]["rle"]).reshape(height, width, 4)[:, :, 3] > 0
    points = np.array(region["value"]["points"]) * (width / 100, height / 100)
    code = coco_mask.frPyObjects([points.ravel().tolist()], height, width)
    return coco_mask.decode(coco_mask.merge(code)).astype(bool)


@pytest.mark.parametrize("tag", ["Polygon", "Brush", "BrushLabels"])
def test_free_text_is_written_beside_each_shape(
    model: str, site: str, labeling: Labeling, tag: str
) -> None:
    (found,) = predict(model, free(tag), f"{site}/scene.png")
    shapes = [r for r in found["result"] if r["type"] == tag.lower()]
    texts = {r["id"]: r["value"]["text"] for r in found["result"] if r["type"] == "textarea"}
    assert len(shapes) == len(texts) >= len(labeling.segments) > 2
    assert 0 <= found["score"] <= 1
    drawn = np.zeros(labeling.label_map.shape, int)
    for shape in shapes:
        segment = labeling.segments[int(shape["id"].split("-")[0]) - 1]
        assert texts[shape["id"]] == [segment.label]
        assert shape["score"] == pytest.approx(segment.confidence, abs=1e-4)
        assert all(name in shape["meta"]["text"][0] for name, _ in segment.alternatives)
        drawn[pixels(shape)] += segment.id
    assert np.array_equal(drawn, labeling.label_map)


@pytest.mark.parametrize("tag", ["PolygonLabels", "BrushLabels"])
def test_labels_of_the_interface_are_chosen_from(
    model: str, folder: Path, labeling: Labeling, tag: str
) -> None:
    data = base64.b64encode((folder / "scene.png").read_bytes()).decode()
    (found,) = predict(model, listed(tag), f"data:image/png;base64,{data}")
    shapes = found["result"]
    assert {shape["type"] for shape in shapes} == {tag.lower()}
    assert {name for shape in shapes for name in shape["value"][tag.lower()]} <= set(NAMES)
    assert (np.sum([pixels(shape) for shape in shapes], axis=0) == 1).all()


def test_files_of_its_local_storage_and_one_that_fails(model: str, folder: Path) -> None:
    local = "/data/local-files/?d={}"
    config = free("Brush")
    good, bad = predict(model, config, local.format("scene.png"), local.format("broken.png"))
    assert good["result"] and bad["result"] == []


@pytest.mark.parametrize(
    "path, body, status, said",
    [
        ("/", None, 200, "UP"),
        ("/health", None, 200, "UP"),
        ("/versions", None, 200, "zeroguide tiny"),
        ("/webhook", {"action": "ANNOTATION_CREATED"}, 201, ""),
        ("/train", {}, 201, ""),
        ("/nothing", None, 404, "/nothing"),
        ("/setup", {"schema": "<View><Image"}, 400, "can't be read"),
        ("/setup", {"schema": free("Ellipse")}, 400, "nothing for segments"),
        ("/predict", {"label_config": free("Brush"), "tasks": [{"data": {}}]}, 400,
         "no image in its field 'picture'"),
        ("/predict", [], 400, "no JSON object"),
    ],
)  # fmt: skip
def test_what_it_answers(model: str, path: str, body: Any, status: int, said: str) -> None:
    found = ask(model + path, body)
    assert found[0] == status and said in json.dumps(found[1])


def test_an_interface_without_segments_is_a_mistake() -> None:
    choices = '<View><Image name="i" value="$x"/><Choices name="c" toName="i">'
    for config in (
        choices + '<Choice value="a"/></Choices></View>',
        '<View><Image name="i" value="$x"/><Polygon name="p" toName="i"/></View>',
    ):
        with pytest.raises(UsageError, match="nothing for segments"):
            read_interface(config)


def test_mistakes_in_its_arguments_end_it(capsys: Any) -> None:
    assert main(["--preset", "phto", "--offline"]) == 2
    assert "photo" in capsys.readouterr().err
