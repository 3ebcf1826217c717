"""What stands in the files beside masks and labels, asked of the tools where they are there."""

from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays

from zeroguide.errors import ZeroguideError
from zeroguide.result.entry import Entry
from zeroguide.result.formats import masks
from zeroguide.result.formats.label_studio_brush import encode
from zeroguide.result.formats.registry import export

from . import yolo_rules
from .reading import READERS
from .runs import ListRun, labelled, odd_run, segments, shapes_run, truth_run


def two_images(photos: Path | None = None) -> ListRun:
    """Two segments in a.png, one in b/c.png; "grass" comes before "red umbrella"."""
    top = np.zeros((10, 12), int)
    top[:4] = 1  # 48 of 120 pixels: the smaller one is the segment 2
    return ListRun(
        [
            labelled("a.png", top, photos, ["red umbrella", "grass"]),
            labelled("b/c.png", np.zeros((11, 10), int), photos, ["red umbrella"]),
        ]
    )


def test_coco(tmp_path: Path) -> None:
    export(two_images(), ["coco"], tmp_path)
    document = json.loads((tmp_path / "coco" / "instances.json").read_text("utf-8"))
    assert document["images"] == [
        {"id": 1, "file_name": "a.png", "width": 12, "height": 10},
        {"id": 2, "file_name": "b/c.png", "width": 10, "height": 11},
    ]
    assert document["categories"] == [{"id": 1, "name": "grass"}, {"id": 2, "name": "red umbrella"}]
    found = [
        {k: v for k, v in annotation.items() if k != "segmentation"}
        for annotation in document["annotations"]
    ]
    keys = ("id", "image_id", "category_id", "bbox", "area", "iscrowd", "score", "confidence")
    rows = [
        (1, 1, 2, [0, 4, 12, 6], 72, 0, -1.5, 1 / 3),
        (2, 1, 1, [0, 0, 12, 4], 48, 0, -0.5, 2 / 3),
        (3, 2, 2, [0, 0, 10, 11], 110, 0, -1.5, 0.5),
    ]
    assert found == [dict(zip(keys, row, strict=True)) for row in rows]


def test_labelme_groups_parts(tmp_path: Path) -> None:
    run = shapes_run()
    export(run, ["labelme"], tmp_path)
    path = tmp_path / "labelme" / "ö 1" / "parts 写真.json"
    document = json.loads(path.read_text("utf-8"))
    groups = [shape["group_id"] for shape in document["shapes"]]
    assert groups == [1, 2, 2, 2, 3, 4]  # three parts in one segment
    assert document["imagePath"] == "parts 写真.png"  # it isn't known where it is
    assert document["imageData"] is None
    assert (document["imageHeight"], document["imageWidth"]) == (16, 31)


def test_labelme_as_a_label_image(tmp_path: Path) -> None:
    pytest.importorskip("labelme")
    from labelme import LabelFile
    from labelme.utils import shapes_to_label

    run = shapes_run(tmp_path / "photos")
    export(run, ["labelme"], tmp_path)
    for entry in run:
        file = LabelFile(str(tmp_path / "labelme" / entry.key).replace(".png", ".json"))
        numbers = {label: i for i, (label, _) in enumerate(segments(entry), start=1)}
        label_map = entry.labeling.label_map
        semantic, instances = shapes_to_label(label_map.shape, file.shapes, numbers)
        assert np.array_equal(instances, label_map)  # groups come in the order of segments
        names = [segment.label for segment in entry.labeling.segments]
        wanted = np.array([0, *(numbers[name] for name in names)])[label_map]
        assert np.array_equal(semantic, wanted)


def test_masks_are_small_and_named(tmp_path: Path) -> None:
    many = np.arange(18 * 20).reshape(18, 20) % 300
    few = np.arange(18 * 20).reshape(18, 20) % 255
    names = [f"name {i}" for i in range(300)]
    run = ListRun([labelled(f"{m.max()}.jpg", m, labels=names) for m in (few, many)])
    export(run, ["masks"], tmp_path)
    for key, mode in (("254", "P"), ("299", "I;16")):
        with PIL.Image.open(tmp_path / "masks" / f"{key}.png") as image:
            assert image.mode == mode
            labeling = next(e.labeling for e in run if e.key == f"{key}.jpg")
            assert np.array_equal(np.asarray(image), labeling.label_map)
            lines = (tmp_path / "masks" / f"{key}.txt").read_text("utf-8").splitlines()
            assert lines == ["(no label)", *(segment.label for segment in labeling.segments)]


def test_label_maps_have_room_for_so_many_segments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masks, "MOST", 2)
    run = ListRun([labelled("a.jpg", np.arange(3).reshape(1, 3))])
    with pytest.raises(ZeroguideError, match=r"a\.jpg: has 3 segments"):
        export(run, ["masks"], tmp_path)


def test_label_studio(tmp_path: Path) -> None:
    run = shapes_run()
    export(run, ["label-studio"], tmp_path)
    tasks = json.loads((tmp_path / "label-studio" / "tasks.json").read_text("utf-8"))
    assert [task["data"]["key"] for task in tasks] == run.keys()
    assert tasks[1]["data"]["image"] == (
        "/data/local-files/?d=%C3%B6%201/parts%20%E5%86%99%E7%9C%9F.png"
    )
    regions = tasks[1]["predictions"][0]["result"]
    assert [r["id"] for r in regions] == ["1-0", "2-0", "2-1", "2-2", "3-0", "4-0"]
    assert [r.get("parentID") for r in regions] == [None, None, "2-0", "2-0", None, None]
    points = np.array([point for r in regions for point in r["value"]["points"]])
    assert points.min() == 0 and points.max() == 100  # percent
    config = ET.parse(tmp_path / "label-studio" / "config.xml").getroot()
    found = [label.get("value") for label in config.iter("Label")]
    assert found == sorted({s.label for e in run for s in e.labeling.segments})


def decode(code: list[int]) -> np.ndarray:
    """Label Studio's RLE, read bit by bit."""
    bits = "".join(f"{byte:08b}" for byte in code)
    at = 0

    def take(n: int) -> int:
        nonlocal at
        at += n
        return int(bits[at - n : at], 2)

    count, word = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < count:
        is_run = take(1)
        length = 1 + take(sizes[take(2)])
        values += [take(word)] * length if is_run else [take(word) for _ in range(length)]
    assert len(values) == count and len(bits) - at < 8
    return np.array(values)


@settings(deadline=None)
@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_brush_masks(mask: np.ndarray) -> None:
    channels = decode(encode(mask)).reshape(*mask.shape, 4)
    assert np.array_equal(channels == 255, np.repeat(mask[..., None], 4, axis=-1))


@pytest.mark.parametrize("pixels", [16_383, 16_384, 16_385, 32_768, 40_000])
def test_long_runs_of_brush_masks(pixels: int) -> None:
    mask = np.ones((1, pixels + 1), bool)
    mask[0, -1] = False
    assert np.array_equal(decode(encode(mask)).reshape(-1, 4)[:, 3] > 0, mask[0])


def test_cvat(tmp_path: Path) -> None:
    bad = labelled("a\x01.png", np.zeros((2, 2), int), labels=["x\x00 <&>\"'"])
    ring = np.array([[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 1, 0]])
    export(ListRun([bad, labelled("b.png", ring, labels=["u", "v"])]), ["cvat"], tmp_path)
    root = ET.parse(tmp_path / "cvat" / "annotations.xml").getroot()
    assert root.findtext("version") == "1.1"
    names = [label.findtext("name") for label in root.iter("label")]
    assert names == ["u", "v", "x <&>\"'"]
    first, second = root.findall("image")
    assert first.attrib == {"id": "0", "name": "a.png", "width": "2", "height": "2"}
    mask = second.findall("mask")[0].attrib
    assert mask["label"] == "v"
    assert mask["rle"] == "0, 4, 1, 4"
    assert [mask[k] for k in ("left", "top", "width", "height")] == ["0", "0", "3", "3"]
    given = {a.get("name"): a.text for a in second.findall("mask")[0]}
    assert given == {"score": "-0.5", "confidence": str(2 / 3)}


def test_geojson(tmp_path: Path) -> None:
    ring = np.array([[1, 1, 1, 0], [1, 2, 1, 0], [1, 1, 1, 0]])
    export(ListRun([labelled("a.png", ring, labels=["u", "v", "w"])]), ["geojson"], tmp_path)
    document = json.loads((tmp_path / "geojson" / "a.geojson").read_text("utf-8"))
    assert document["type"] == "FeatureCollection"
    first = document["features"][0]
    assert first["geometry"] == {
        "type": "Polygon",
        "coordinates": [
            [[0, 0], [3, 0], [3, 3], [0, 3], [0, 0]],
            [[2, 1], [1, 1], [1, 2], [2, 2], [2, 1]],
        ],
    }
    assert first["properties"] == {
        "label": "v",
        "segment": 1,
        "score": -0.5,
        "confidence": 0.5,
        "objectType": "annotation",
        "classification": {"name": "v", "color": [0, 128, 0]},
    }


def test_yolo(tmp_path: Path) -> None:
    run = two_images(tmp_path / "photos")
    export(run, ["yolo"], tmp_path)
    lines = (tmp_path / "yolo" / "labels" / "a.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["1", "0"]
    points = np.array(lines[1].split()[1:], float).reshape(-1, 2) * (12, 10)
    assert points == pytest.approx(np.array([[0.1, 0.1], [11.9, 0.1], [11.9, 3.9], [0.1, 3.9]]))
    assert (tmp_path / "yolo" / "data.yaml").read_text() == (
        'train: images\nval: images\nnames:\n  0: "grass"\n  1: "red umbrella"\n'
    )
    link = tmp_path / "yolo" / "images" / "b" / "c.png"
    assert link.samefile(tmp_path / "photos" / "b" / "c.png")


def test_yolo_readers_find_every_instance(tmp_path: Path) -> None:
    """They replace the last folder "images", skip hidden ones, and know few endings."""
    run = odd_run(tmp_path / "photos")
    said: list[str] = []
    export(run, ["yolo"], tmp_path / "images" / "out", note=said.append)
    assert not said
    found = yolo_rules.read(tmp_path / "images" / "out" / "yolo")
    photos = {os.stat(entry.image).st_ino: entry for entry in run if entry.image}
    copies = [path for path in found if os.stat(path).st_nlink == 1]
    assert [os.path.basename(path) for path in copies] == ["j.png"]
    photos[os.stat(copies[0]).st_ino] = next(e for e in run if e.key == "gif/j.gif")
    assert {photos[os.stat(path).st_ino].key for path in found} == set(run.keys())
    for path, instances in found.items():
        wanted = photos[os.stat(path).st_ino].labeling.segments
        assert [label for label, _ in instances] == [segment.label for segment in wanted], path


def test_yolo_tells_of_photos_that_became_unreadable(tmp_path: Path) -> None:
    run = two_images(tmp_path / "photos")
    (tmp_path / "photos" / "a.png").write_bytes(b"no photo any more")
    said: list[str] = []
    export(run, ["yolo"], tmp_path, note=said.append)
    assert "photos that aren't known or have gone: 1" in said[0]


def test_yolo_copies_photos_where_links_cannot_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    export(two_images(tmp_path / "photos"), ["yolo"], tmp_path)
    copy = tmp_path / "yolo" / "images" / "a.png"
    assert copy.stat().st_nlink == 1
    assert copy.read_bytes() == (tmp_path / "photos" / "a.png").read_bytes()


def embedded(entry: Entry) -> Entry:
    """The same with embeddings of one number, 1 or -1 in turn."""
    signs = np.resize(np.array([1, -1], np.float16), (len(entry.labeling.segments), 1))
    return replace(entry, labeling=replace(entry.labeling, embeddings=signs))


def test_parquet(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    run = two_images()
    export(ListRun([run.entries[0], embedded(run.entries[1])]), ["parquet"], tmp_path)
    rows = pq.read_table(tmp_path / "parquet" / "segments.parquet").to_pylist()
    first, last = rows[0], rows[2]
    assert first.pop("rle")
    assert first == {
        "key": "a.png",
        "sha256": run.entries[0].labeling.sha256,
        "image_width": 12,
        "image_height": 10,
        "segment": 1,
        "label": "red umbrella",
        "score": -1.5,
        "confidence": 1 / 3,
        "bbox": [0, 4, 12, 6],
        "area": 72,
        "embedding": None,
    }
    assert (last["key"], last["segment"], last["embedding"]) == ("b/c.png", 1, [1.0])


def test_parquet_writes_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("zeroguide.result.formats.parquet.ROWS", 6)
    run = shapes_run()
    export(run, ["parquet"], tmp_path)
    file = pq.ParquetFile(tmp_path / "parquet" / "segments.parquet")
    total = sum(len(entry.labeling.segments) for entry in run)
    assert file.num_row_groups > 1 and file.metadata.num_rows == total


def test_hf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr("zeroguide.result.formats.hf.SHARD_BYTES", 1)
    run = two_images(tmp_path / "photos")
    run.entries.append(labelled("d.png", np.zeros((3, 2), int)))
    export(run, ["hf"], tmp_path)
    assert sorted(os.listdir(tmp_path / "hf" / "data")) == [
        f"train-{i:05d}-of-00003.parquet" for i in range(3)
    ]
    loaded = datasets.load_dataset(
        str(tmp_path / "hf"), split="train", cache_dir=str(tmp_path / "cache")
    )
    row: dict[str, Any] = loaded[0]
    assert row["image"].size == (12, 10)
    with PIL.Image.open(tmp_path / "photos" / "a.png") as photo:
        assert np.array_equal(np.asarray(row["image"]), np.asarray(photo))
    assert row["segments"][1] == {
        "id": 2,
        "label": "grass",
        "score": -0.5,
        "confidence": 2 / 3,
        "bbox": [0, 0, 12, 4],
        "area": 48,
    }
    assert loaded["image"][2] is None
    assert loaded["key"] == run.keys()


@pytest.mark.parametrize("name", ["coco", "coco-panoptic", "masks"])
def test_photos_with_ground_truth(name: str, shared: Path, tmp_path: Path) -> None:
    """Real masks: COCO's own panoptic truth through our formats and back."""
    run = truth_run(shared / "photos")
    assert len(run.entries) == 26
    export(run, [name], tmp_path)
    found = READERS[name][1](tmp_path / name, run)
    assert sorted(found) == run.keys()
    for entry in run:
        for (label, mask), (read_label, read) in zip(
            segments(entry), found[entry.key], strict=True
        ):
            assert label == read_label
            assert np.array_equal(mask, read)
