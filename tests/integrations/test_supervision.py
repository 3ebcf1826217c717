"""supervision: a labeling as its Detections, and names for masks that it holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zeroguide.errors import UsageError
from zeroguide.image import open_image
from zeroguide.labeler import Labeler
from zeroguide.result import Labeling

sv = pytest.importorskip("supervision", reason="supervision is not installed")


@pytest.fixture(scope="module")
def labeling(labeler: Labeler) -> Labeling:
    return labeler.label(Path(__file__).parents[2] / "examples" / "playroom.png")


def test_a_labeling_is_detections(labeling: Labeling) -> None:
    found = labeling.to_supervision()
    assert isinstance(found, sv.Detections) and len(found) == len(labeling.segments) > 3
    for i, segment in enumerate(labeling.segments):
        assert np.array_equal(found.mask[i], labeling.mask(segment.id))
        assert found.data["class_name"][i] == segment.label
        assert found.confidence[i] == found.data["name_confidence"][i] == segment.confidence
        assert found.data["score"][i] == segment.score
        assert found.data["alternatives"][i] == segment.alternatives
    assert np.array_equal(found.area, [segment.area for segment in labeling.segments])
    # As supervision counts boxes: its last pixel is inside.
    assert np.array_equal(found.xyxy - [0, 0, 1, 1], sv.mask_to_xyxy(found.mask))
    by_name: dict[str, set[int]] = {}
    for name, number in zip(found.data["class_name"], found.class_id, strict=True):
        by_name.setdefault(name, set()).add(int(number))
    assert sorted(by_name.values(), key=min) == [{i} for i in range(len(by_name))]


def test_its_tools_take_them(labeling: Labeling, picture: Path, tmp_path: Path) -> None:
    """Filters, merging, annotators and sinks, each as its documentation uses it."""
    found = labeling.to_supervision()
    large = found[found.area > found.area.mean()]
    assert 0 < len(large) < len(found)
    assert large.data["alternatives"][0] == labeling.segments[0].alternatives
    both = sv.Detections.merge([large, found[found.area <= found.area.mean()]])
    assert both == found  # segments are ordered by their size
    scene = open_image(picture).pixels.copy()
    drawn = sv.MaskAnnotator().annotate(scene.copy(), found)
    assert (drawn != scene).any(axis=-1).mean() > 0.5
    assert (sv.LabelAnnotator().annotate(scene.copy(), found) != scene).any()
    with sv.JSONSink(str(tmp_path / "found.json")) as sink:
        sink.append(found, {"picture": picture.name})
    rows = json.loads((tmp_path / "found.json").read_text())
    assert [row["class_name"] for row in rows] == [s.label for s in labeling.segments]


def some_masks(picture: Path) -> Any:
    """(2, H, W) bool, the second with the first in it."""
    masks = np.zeros((2, *open_image(picture).pixels.shape[:2]), bool)
    masks[0, 20:60, 20:80] = masks[1, 10:90, 10:120] = True
    return masks


@pytest.mark.parametrize("compact", [False, True])
def test_masks_that_it_holds_get_names(labeler: Labeler, picture: Path, compact: bool) -> None:
    masks = some_masks(picture)
    boxes = sv.mask_to_xyxy(masks).astype(np.float32)
    held: Any = masks
    if compact:
        held = sv.CompactMask.from_dense(masks, boxes, image_shape=masks.shape[1:])
    detector = np.array([0.9, 0.8])
    given = sv.Detections(
        xyxy=boxes, mask=held, confidence=detector, data={"mine": np.array(["a", "b"])}
    )
    named = labeler.name_masks(picture, given)
    expected = labeler.name_masks(picture, masks)
    assert isinstance(named, sv.Detections)
    assert named.data["class_name"].tolist() == [segment.label for segment in expected]
    assert named.data["score"].tolist() == [segment.score for segment in expected]
    assert named.data["name_confidence"].tolist() == [s.confidence for s in expected]
    assert named.data["mine"].tolist() == ["a", "b"]
    assert named.confidence is detector and named.mask is held  # the detector's own
    assert set(given.data) == {"mine"} and given.class_id is None  # a copy was named


def test_where_there_was_no_confidence_it_is_the_names(labeler: Labeler, picture: Path) -> None:
    masks = some_masks(picture)
    sam = [{"segmentation": m, "area": int(m.sum()), "bbox": [0, 0, 9, 9]} for m in masks]
    named = labeler.name_masks(picture, sv.Detections.from_sam(sam))
    assert named.confidence.tolist() == named.data["name_confidence"].tolist()
    assert len(named.class_id) == 2


def test_boxes_without_masks_are_a_mistake(labeler: Labeler, picture: Path) -> None:
    boxes = sv.Detections(xyxy=np.array([[0, 0, 9, 9.0]]))
    with pytest.raises(UsageError, match="no masks"):
        labeler.name_masks(picture, boxes)


def test_nothing_found_is_nothing_named(labeler: Labeler, picture: Path) -> None:
    named = labeler.name_masks(picture, sv.Detections.empty())
    assert len(named) == 0 and named.data["class_name"].shape == (0,)


def test_without_it_the_remedy_is_said(labeling: Labeling, monkeypatch: Any) -> None:
    def without(name: str, *rest: Any) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr("zeroguide.errors.import_module", without)
    with pytest.raises(UsageError, match=r"pip install 'zeroguide\[supervision\]'"):
        labeling.to_supervision()
