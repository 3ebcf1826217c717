"""CVAT's auto-annotation: its own driver and command line, against a server of one task."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from integrations.cvat_server import CvatServer, running
from zeroguide.errors import UsageError
from zeroguide.labeler import Labeler
from zeroguide.result import Labeling

pytest.importorskip("cvat_sdk", reason="cvat-sdk is not installed")

import cvat_sdk
import cvat_sdk.auto_annotation as cvataa
from cvat_sdk.masks import decode_mask

from zeroguide.integrations import cvat

NAMES = ["apple", "carrot", "guitar"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    scene = PIL.Image.open(Path(__file__).parents[2] / "examples" / "playroom.png")
    folder = tmp_path_factory.mktemp("pictures")
    for name, box in (("a.png", (0, 0, 200, 160)), ("b.png", (100, 150, 260, 384))):
        scene.crop(box).save(folder / name)
    return [folder / "a.png", folder / "b.png"]


@pytest.fixture(scope="module")
def labelings(labeler: Labeler, pictures: Sequence[Path]) -> list[Labeling]:
    return [labeler.label(path) for path in pictures]


@pytest.fixture(scope="module")
def function() -> cvat.Function:
    return cvat.create("tiny", device="cpu", offline=True)


def annotate(server: CvatServer, function: Any, **how: Any) -> list[dict[str, Any]]:
    """The shapes that CVAT's driver uploads."""
    with running(server), cvat_sdk.make_client(server.url, credentials=("a", "b")) as client:
        cvataa.annotate_task(client, 1, function, **how)
    (saved,) = server.saved
    return saved["shapes"]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def mask(shape: dict[str, Any], labeling: Labeling) -> np.ndarray:
    width, height = labeling.width, labeling.height
    return decode_mask(shape["points"], image_width=width, image_height=height)


def test_free_text_is_an_attribute_of_a_mask(
    function: cvat.Function, pictures: list[Path], labelings: list[Labeling]
) -> None:
    server = CvatServer(pictures, cvat.raw_labels())
    shapes = annotate(server, function)
    (label,) = server.labels
    names = {each["id"]: each["name"] for each in label["attributes"]}
    expected = [(i, s) for i, found in enumerate(labelings) for s in found.segments]
    assert len(shapes) == len(expected) > 2
    for shape, (frame, segment) in zip(shapes, expected, strict=True):
        labeling = labelings[frame]
        assert (shape["type"], shape["frame"], shape["label_id"]) == ("mask", frame, label["id"])
        assert shape["source"] == "auto"
        assert np.array_equal(mask(shape, labeling), labeling.mask(segment.id))
        said = {names[each["spec_id"]]: each["value"] for each in shape["attributes"]}
        assert said["name"] == segment.label
        assert float(said["confidence"]) == pytest.approx(segment.confidence, abs=0.005)
        assert said["alternatives"] == ", ".join(name for name, _ in segment.alternatives)


def test_labels_of_a_task_are_chosen_from(
    pictures: list[Path], labelings: list[Labeling], tmp_path: Path
) -> None:
    (tmp_path / "names.txt").write_text("# of this task\n" + "\n".join(NAMES))
    for labels in (NAMES, ",".join(NAMES), str(tmp_path / "names.txt")):
        assert cvat.read_labels(labels) == NAMES
    function = cvat.create("tiny", labels=NAMES, device="cpu", offline=True)
    # In the task they have another order, another type and no attributes.
    server = CvatServer(pictures, [{"name": name} for name in reversed(NAMES)])
    shapes = annotate(server, function)
    name_of = {label["id"]: label["name"] for label in server.labels}
    assert {name_of[shape["label_id"]] for shape in shapes} <= set(NAMES)
    for frame, labeling in enumerate(labelings):
        masks = [mask(shape, labeling) for shape in shapes if shape["frame"] == frame]
        assert (np.sum(masks, axis=0) == 1).all()  # every pixel once
    assert not any(shape.get("attributes") for shape in shapes)


def test_polygons_where_cvat_wants_them(
    function: cvat.Function, pictures: list[Path], labelings: list[Labeling]
) -> None:
    from skimage.draw import polygon2mask

    labels = [{**cvat.raw_labels()[0], "type": "polygon"}]
    shapes = annotate(CvatServer(pictures[:1], labels), function, conv_mask_to_poly=True)
    labeling = labelings[0]
    covered = np.zeros(labeling.label_map.shape, int)
    for shape in shapes:
        assert shape["type"] == "polygon"
        rows_and_columns = np.reshape(shape["points"], (-1, 2))[:, ::-1] - 0.5
        covered += polygon2mask(covered.shape, rows_and_columns)
    assert (covered == 1).all()


def test_a_threshold_leaves_out_what_is_not_sure(
    function: cvat.Function, pictures: list[Path], labelings: list[Labeling]
) -> None:
    confidences = [s.confidence for s in labelings[0].segments]
    middle = float(np.mean(confidences))
    server = CvatServer(pictures[:1], cvat.raw_labels())
    shapes = annotate(server, function, conf_threshold=middle)
    assert len(shapes) == sum(c >= middle for c in confidences) < len(confidences)


def test_the_command_line_runs_it(
    pictures: list[Path], labelings: list[Labeling], tmp_path: Path
) -> None:
    """As a file, which Python doesn't know as a module; the other tests import it."""
    pytest.importorskip("cvat_cli", reason="cvat-cli is not installed")
    with running(CvatServer(pictures[:1], cvat.raw_labels())) as server:
        command = [
            sys.executable, "-m", "cvat_cli", "--server-host", server.url, "--auth", "a:b",
            "task", "auto-annotate", "1", "--function-file", cvat.__file__, "--clear-existing",
            "-p", "preset=str:tiny", "-p", "device=str:cpu", "-p", "offline=bool:true",
        ]  # fmt: skip
        environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shapes = server.saved[0]["shapes"]
    assert len(shapes) == len(labelings[0].segments)
    assert np.array_equal(mask(shapes[0], labelings[0]), labelings[0].mask(1))


def test_the_label_is_printed_for_the_raw_constructor(function: cvat.Function) -> None:
    command = [sys.executable, "-m", "zeroguide.integrations.cvat"]
    (label,) = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    (spec,) = function.spec.labels
    assert label["name"] == spec.name
    assert [a["name"] for a in label["attributes"]] == [a.name for a in spec.attributes]


@pytest.mark.parametrize(
    "labels, said",
    [
        ("person", "person"),
        ("absent.txt", "absent.txt"),
        (["one"], "at least two"),
        (" , ", "at least two"),
    ],
)
def test_mistakes(labels: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        cvat.create("tiny", labels=labels, device="cpu", offline=True)
