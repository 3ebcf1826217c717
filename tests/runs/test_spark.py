"""The recipe for Spark, as it stands in docs/cluster.md, on a Spark of this machine."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from zeroguide.image import open_image
from zeroguide.labeler import Labeler
from zeroguide.playroom import render
from zeroguide.recipe import load_recipe
from zeroguide.result.provenance import provenance
from zeroguide.runs.layout import PARTS
from zeroguide.runs.parts import Known
from zeroguide.runs.run_folder import RunFolder

pytest.importorskip("pyspark", reason="pyspark isn't installed")
pytest.importorskip("pandas", reason="pandas, which Spark's functions need, isn't installed")
pytest.importorskip("pyarrow", reason="pyarrow isn't installed")
if shutil.which("java") is None:
    pytest.skip("Spark needs Java", allow_module_level=True)

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "cluster.md"


def test_the_recipe_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyspark.sql import SparkSession

    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = re.search(r"<!-- spark -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    images = []
    for i in range(3):
        path = tmp_path / f"ä {i}.png"
        PIL.Image.fromarray(render(22, i, size=112).pixels).save(path)
        images.append((f"b/{2 - i}.png", str(path)))
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    images.append(("a/bad.png", str(bad)))
    names: dict[str, Any] = {"__name__": "recipe", "PRESET": "tiny", "IMAGES": images}
    names |= {"PARTITIONS": 2, "OUT": str(tmp_path / "out")}
    options = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    spark = options.config("spark.driver.host", "127.0.0.1").getOrCreate()
    try:
        spark.sparkContext.setLogLevel("OFF")
        exec(compile(found[1], str(PAGE), "exec"), names)
    finally:
        spark.stop()
    run = RunFolder(tmp_path / "out")
    entries = list(run)
    assert run.keys() == [entry.key for entry in entries] == ["b/0.png", "b/1.png", "b/2.png"]
    labeler = Labeler(load_recipe("tiny"), device="cpu", offline=True)
    paths = dict(images)
    for entry in entries:
        expected = labeler.label(open_image(Path(paths[entry.key])))
        assert entry.labeling.sha256 == expected.sha256
        assert [s.label for s in entry.labeling.segments] == [s.label for s in expected.segments]
    known = Known(sorted((tmp_path / "out" / PARTS).glob("*.parquet")), provenance(labeler.recipe))
    assert [known.sha256(entry.key) for entry in entries] == [
        e.labeling.sha256[:16] for e in entries
    ]
    lines = [
        json.loads(line)
        for part in (tmp_path / "out" / "failures").glob("*.json")
        for line in part.read_text().splitlines()
    ]
    assert [line["key"] for line in lines] == ["a/bad.png"]
    assert "bad.png: is not an image" in lines[0]["error"]
