"""X-AnyLabeling: its own reader of the export for labelme, drawn by its own canvas's shapes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zeroguide.labeler import Labeler
from zeroguide.result.formats.registry import export
from zeroguide.runs.masks.files import MaskFiles

pytest.importorskip("anylabeling", reason="x-anylabeling-cvhub is not installed")


class OneRun:
    """A run of one image, which lies in another folder."""

    def __init__(self, entry: Any) -> None:
        self.entry = entry

    def __iter__(self) -> Any:
        yield self.entry

    def keys(self) -> list[str]:
        return [self.entry.key]


def test_the_labelme_export_opens(labeler: Labeler, picture: Path, tmp_path: Path) -> None:
    from anylabeling.views.labeling.label_file import LabelFile
    from anylabeling.views.labeling.utils import shape_to_mask

    from zeroguide.result.entry import Entry

    labeling = labeler.label(picture)
    export(OneRun(Entry("playroom.png", labeling, picture)), ["labelme"], tmp_path)
    file = tmp_path / "labelme" / "playroom.json"
    opened = LabelFile(str(file))
    assert Path(opened.resolved_image_path).samefile(picture)
    drawn = np.zeros(labeling.label_map.shape, int)
    for shape in opened.shapes:
        segment = labeling.segments[shape.group_id - 1]
        assert shape.label == segment.label and shape.score == segment.confidence
        assert shape.other_data["alternatives"] == [name for name, _ in segment.alternatives]
        assert shape.shape_type == "polygon" and shape.kie_linking == []
        points = [(p.x(), p.y()) for p in shape.points]
        drawn[shape_to_mask(drawn.shape, points, "polygon")] = segment.id
    assert np.array_equal(drawn, labeling.label_map)
    # What it saves is read back as masks, and by labelme.
    opened.save(
        filename=str(tmp_path / "saved.json"),
        shapes=[shape.to_dict() for shape in opened.shapes],
        image_path=opened.image_path,
        image_height=labeling.height,
        image_width=labeling.width,
        other_data=opened.other_data,
        flags=opened.flags,
    )
    saved = json.loads((tmp_path / "saved.json").read_text())
    assert saved["shapes"][0]["alternatives"] == opened.shapes[0].other_data["alternatives"]
    assert saved["imagePath"] == json.loads(file.read_text())["imagePath"]
    found = MaskFiles(tmp_path / "saved.json", [picture]).masks(
        picture, (labeling.height, labeling.width)
    )
    assert len(found) == len(labeling.segments)
