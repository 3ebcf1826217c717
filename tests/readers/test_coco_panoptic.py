"""COCO panoptic: ids as colours, the JSON that names them, and real photographs."""

import json

import numpy as np
import PIL.Image
import pytest

from readers.writing import SHAPE, write_grey, write_image
from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.evaluate.datasets import load_dataset

CATEGORIES = [
    {"id": 1, "name": "person", "isthing": 1, "supercategory": "person"},
    {"id": 187, "name": "sky-other-merged", "isthing": 0, "supercategory": "sky"},
    {"id": 501, "name": "unicorn", "isthing": 1, "supercategory": "animal"},
]
# id -> (category, crowd): one needs the second, one the third byte.
SEGMENTS = {7: (187, 0), 300: (1, 0), 70000: (501, 0), 70001: (1, 1)}
TRUTH = np.zeros(SHAPE, dtype=np.int64)
TRUTH[0], TRUTH[1], TRUTH[2], TRUTH[3] = 7, 300, 70000, 70001


def encode(ids):
    return np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1)


def write(folder, json_file, masks, images):
    content = {
        "categories": CATEGORIES,
        "images": [{"id": i, "file_name": f"{i:012d}.jpg"} for i in (9, 5)],
        "annotations": [
            {
                "image_id": i,
                "file_name": f"{i:012d}.png",
                "segments_info": [
                    {"id": k, "category_id": c, "iscrowd": w} for k, (c, w) in SEGMENTS.items()
                ],
            }
            for i in (9, 5)
        ],
    }
    for i in (9, 5):
        write_image(folder / images / f"{i:012d}.jpg")
        write_grey(folder / masks / f"{i:012d}.png", encode(TRUTH))
    (folder / json_file).parent.mkdir(exist_ok=True)
    (folder / json_file).write_text(json.dumps(content))
    return folder


OFFICIAL = ("annotations/panoptic_val2017.json", "annotations/panoptic_val2017", "val2017")
LAYOUTS = [
    OFFICIAL,
    ("annotations/panoptic_val2017.json", "panoptic_val2017", "images/val2017"),
    ("panoptic.json", "panoptic", "images"),
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_reads_back_exactly(tmp_path, layout):
    data = load_dataset("coco-panoptic", write(tmp_path, *layout))
    data.check()
    assert [sample.name for sample in data] == ["000000000005", "000000000009"]
    assert [each.name for each in data.classes] == ["person", "sky", "unicorn"]
    assert [each.kind for each in data.classes] == ["thing", "stuff", "thing"]
    assert data.classes[1].official == "sky-other-merged"
    regions = data[0].regions()
    assert regions.classes.tolist() == [1, 0, 2, 0]
    assert regions.crowd.tolist() == [False, False, False, True]
    rows = [0, 1, 2, 3, -1, -1]
    assert np.array_equal(regions.label_map, np.repeat(np.array(rows)[:, None], 8, axis=1))
    semantic = [1, 0, 2, 0, -1, -1]
    assert np.array_equal(data[0].semantic(), np.repeat(np.array(semantic)[:, None], 8, axis=1))


def changed(folder, change):
    path = folder / OFFICIAL[0]
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.pop("categories"), r"not in COCO's panoptic format \(KeyError"),
        (lambda c: c["images"].append(c["images"][0]), "two images share the id 9"),
        (
            lambda c: c["categories"].append(c["categories"][0] | {"name": "another"}),
            r"two categories share the id \d+",
        ),
        (
            lambda c: c["annotations"][0]["segments_info"].append(
                c["annotations"][0]["segments_info"][0]
            ),
            r"has the segment \d+ of 000000000009.jpg twice",
        ),
        (
            lambda c: c["annotations"].append(c["annotations"][0]),
            "annotates 000000000009.jpg twice",
        ),
        (lambda c: c["annotations"][0].update(image_id=4), "not in COCO's panoptic format"),
        (lambda c: c.update(annotations=[]), "coco-panoptic is empty"),
    ],
)
def test_says_what_is_wrong_with_the_json(tmp_path, change, words):
    changed(write(tmp_path, *OFFICIAL), change)
    with pytest.raises(UsageError, match=words):
        load_dataset("coco-panoptic", tmp_path).check()


def test_unknown_ids(tmp_path):
    write(tmp_path, *OFFICIAL)
    changed(tmp_path, lambda c: c["annotations"][0]["segments_info"].pop())
    with pytest.raises(
        ZeroguideError, match=r"09\.png: the segment id 70001 isn't in .*2017\.json"
    ):
        load_dataset("coco-panoptic", tmp_path).check()
    changed(tmp_path, lambda c: c["categories"].pop())
    with pytest.raises(ZeroguideError, match=r"05\.png has the class id 501, which isn't among"):
        load_dataset("coco-panoptic", tmp_path).check()


def test_missing_pieces(tmp_path):
    with pytest.raises(UsageError, match=r"no annotations/panoptic_train2017\.json or .*cocodata"):
        load_dataset("coco-panoptic", tmp_path, split="train")
    write(tmp_path, *OFFICIAL)
    (tmp_path / OFFICIAL[1] / "000000000005.png").unlink()
    with pytest.raises(
        UsageError, match=r"000000000005\.png: is missing; get it from https://coco"
    ):
        load_dataset("coco-panoptic", tmp_path).check()
    (tmp_path / OFFICIAL[2]).rename(tmp_path / "other")
    with pytest.raises(
        UsageError, match=r"val2017: no such folder; get the data from https://coco"
    ):
        load_dataset("coco-panoptic", tmp_path)
    (tmp_path / OFFICIAL[0]).write_text("{")
    (tmp_path / "other").rename(tmp_path / OFFICIAL[2])
    with pytest.raises(ZeroguideError, match=r"2017\.json: is not readable as JSON"):
        load_dataset("coco-panoptic", tmp_path)


def test_photographs_equal_reading_by_hand(shared):
    data = load_dataset("coco-panoptic", shared / "photos")
    data.check()
    content = json.loads((shared / "photos" / "panoptic.json").read_text())
    assert len(data) == len(content["images"]) == 26
    assert len(data.classes) == 133
    order = [category["id"] for category in content["categories"]]
    by_file = {each["file_name"]: each["segments_info"] for each in content["annotations"]}
    crowds = 0
    for sample in data:
        with PIL.Image.open(shared / "photos" / "panoptic" / f"{sample.name}.png") as image:
            rgb = np.asarray(image).astype(np.int64)
        ids = rgb @ [1, 256, 65536]
        regions, semantic = sample.regions(), sample.semantic()
        infos = by_file[f"{sample.name}.png"]
        assert len(regions.classes) == len(infos)
        for info in infos:
            (region,) = np.unique(regions.label_map[ids == info["id"]])
            assert (regions.label_map == region).sum() == info["area"]
            assert order[regions.classes[region]] == info["category_id"]
            assert regions.crowd[region] == bool(info["iscrowd"])
            crowds += info["iscrowd"]
        assert np.array_equal(regions.label_map == -1, ids == 0)
        with PIL.Image.open(shared / "photos" / "semantic" / f"{sample.name}.png") as image:
            theirs = np.asarray(image)
        assert np.array_equal(np.array([*order, 0])[semantic], theirs)
    assert crowds > 0
