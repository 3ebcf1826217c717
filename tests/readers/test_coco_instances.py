"""COCO instances: objects that overlap, crowds, and pixels of which nothing is said."""

import json

import numpy as np
import PIL.Image
import pytest
from pycocotools import mask as coco_mask

from readers.writing import write_image
from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.evaluate.datasets import load_dataset

SIZE = (6, 8)  # height, width of the pictures that write_image makes
CATEGORIES = [{"id": 1, "name": "person"}, {"id": 7, "name": "unicorn"}, {"id": 18, "name": "dog"}]
PERSON, UNICORN, DOG = range(3)


def box(y, x, height, width):
    """A polygon along the pixels' borders."""
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def code(y, x, height, width, compressed=True):
    mask = np.zeros(SIZE, np.uint8, order="F")
    mask[y : y + height, x : x + width] = 1
    if not compressed:
        runs = np.flatnonzero(np.diff(mask.ravel(order="F"), prepend=0, append=0))
        counts = np.diff(np.concatenate([[0], runs, [mask.size]]))
        return {"size": list(SIZE), "counts": [int(n) for n in counts if n or n == counts[0]]}
    rle = coco_mask.encode(mask)
    return {"size": list(SIZE), "counts": rle["counts"].decode()}


ANNOTATIONS = [
    {"id": 1, "image_id": 5, "category_id": 18, "segmentation": box(1, 1, 2, 2)},
    {"id": 2, "image_id": 5, "category_id": 1, "segmentation": code(0, 0, 4, 4)},
    {"id": 3, "image_id": 5, "category_id": 7, "segmentation": code(3, 3, 2, 2, False)},
    {"id": 4, "image_id": 5, "category_id": 1, "segmentation": code(2, 2, 4, 6), "iscrowd": 1},
    {"id": 5, "image_id": 5, "category_id": 1, "segmentation": [[0, 0, 1, 1]]},  # no area
    {"id": 6, "image_id": 9, "category_id": 18, "segmentation": code(0, 0, 1, 8)},
]
#        the dog lies in the person, the unicorn on both person and crowd
REGIONS = np.array(
    [
        [1, 1, 1, 1, -1, -1, -1, -1],
        [1, 0, 0, 1, -1, -1, -1, -1],
        [1, 0, 0, 1, 3, 3, 3, 3],
        [1, 1, 1, 2, 2, 3, 3, 3],
        [-1, -1, 3, 2, 2, 3, 3, 3],
        [-1, -1, 3, 3, 3, 3, 3, 3],
    ]
)

OFFICIAL = ("annotations/instances_val2017.json", "val2017")
LAYOUTS = [OFFICIAL, ("instances_val2017.json", "images/val2017"), ("instances.json", "images")]


def write(folder, json_file="instances.json", photos="images", **changes):
    names = {5: "a/000000000005.jpg", 9: "000000000009.jpg", 11: "without.jpg"}
    content = {
        "categories": CATEGORIES,
        "images": [
            {"id": i, "file_name": name, "height": SIZE[0], "width": SIZE[1]}
            for i, name in names.items()
        ],
        "annotations": ANNOTATIONS,
        **changes,
    }
    for name in names.values():
        write_image(folder / photos / name)
    (folder / json_file).parent.mkdir(exist_ok=True)
    (folder / json_file).write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("layout", LAYOUTS)
def test_reads_back_exactly(tmp_path, layout):
    data = load_dataset("coco-instances", write(tmp_path, *layout))
    data.check()
    assert [sample.name for sample in data] == ["000000000009", "a/000000000005"]
    assert [each.name for each in data.classes] == ["person", "unicorn", "dog"]
    assert data.classes[0].synonyms and data.classes[0].kind == "thing"
    assert data.tells_objects_apart
    regions = data[1].regions()
    assert np.array_equal(regions.label_map, REGIONS)
    assert regions.classes.tolist() == [DOG, PERSON, UNICORN, PERSON]
    assert regions.crowd.tolist() == [False, False, False, True]
    semantic = np.array([DOG, PERSON, UNICORN, -1, -1])[REGIONS]
    assert np.array_equal(data[1].semantic(), semantic)


def test_of_equal_objects_the_later_is_on_top(tmp_path):
    rows = [
        {"image_id": 9, "category_id": 1, "segmentation": code(0, 0, 2, 2)},
        {"image_id": 9, "category_id": 18, "segmentation": code(0, 0, 2, 2)},
        {"image_id": 9, "category_id": 7, "segmentation": code(1, 1, 2, 2)},
    ]
    regions = load_dataset("coco-instances", write(tmp_path, annotations=rows))[0].regions()
    assert regions.classes.tolist() == [DOG, UNICORN]
    assert regions.label_map[:3, :3].tolist() == [[0, 0, -1], [0, 1, 1], [-1, 1, 1]]


def test_sizes_are_those_of_the_photos_if_the_json_has_none(tmp_path):
    images = [{"id": 9, "file_name": "000000000009.jpg"}]
    data = load_dataset(
        "coco-instances", write(tmp_path, images=images, annotations=ANNOTATIONS[5:])
    )
    data.check()
    assert data[0].semantic()[0].tolist() == [DOG] * 8


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"categories": CATEGORIES[:2]}, "has the category 18 without a name"),
        ({"categories": [*CATEGORIES, CATEGORIES[0]]}, "has the id 1 twice in its categories"),
        (
            {"categories": [*CATEGORIES, {"id": 2, "name": "dog"}]},
            "two categories are called 'dog'",
        ),
        ({"annotations": [{"image_id": 5}]}, r"is not COCO instances \(KeyError"),
        ({"annotations": None}, "is not COCO instances"),
        ({"annotations": []}, "coco-instances is empty"),
        ({"images": []}, "doesn't tell the file_name of the image 5"),
        (
            {"images": [{"id": 5, "file_name": "x.jpg"}, {"id": 9, "file_name": "x.png"}]},
            "two images named x",
        ),
    ],
)
def test_says_what_is_wrong_with_the_json(tmp_path, changes, words):
    with pytest.raises(UsageError, match=words):
        load_dataset("coco-instances", write(tmp_path, **changes)).check()


def test_damaged_masks_and_missing_photos(tmp_path):
    rows = [{"image_id": 9, "category_id": 1, "segmentation": {"size": [6, 8], "counts": "0"}}]
    data = load_dataset("coco-instances", write(tmp_path, annotations=rows))
    with pytest.raises(ZeroguideError, match=r"a mask of 000000000009\.jpg covers 0 of 48 pixels"):
        data.check()
    (tmp_path / "images/a/000000000005.jpg").unlink()
    data = load_dataset("coco-instances", write(tmp_path))
    (tmp_path / "images/a/000000000005.jpg").unlink()
    with pytest.raises(UsageError, match=r"a/000000000005\.jpg: is missing"):
        data.check()
    PIL.Image.new("RGB", (9, 6)).save(tmp_path / "images/a/000000000005.jpg")
    with pytest.raises(ZeroguideError, match=r"the truth is 8 x 6 pixels"):
        data.check()
    (tmp_path / "instances.json").write_text("{")
    with pytest.raises(ZeroguideError, match="can't be read as JSON"):
        load_dataset("coco-instances", tmp_path)


def test_things_of_the_panoptic_truth_read_the_same(shared, tmp_path):
    """Photographs: the things of COCO panoptic, which don't overlap, written as instances."""
    whole = load_dataset("coco-panoptic", shared / "photos")
    things = {i for i, each in enumerate(whole.classes) if each.kind == "thing"}
    content = {"images": [], "annotations": [], "categories": []}
    content["categories"] = [{"id": i, "name": whole.classes[i].official} for i in sorted(things)]
    for number, sample in enumerate(whole):
        regions = sample.regions()
        content["images"].append({"id": number, "file_name": sample.image.name})
        for region, category in enumerate(regions.classes.tolist()):
            if category in things:
                mask = np.asfortranarray(regions.label_map == region)
                rle = coco_mask.encode(mask.view(np.uint8))
                rle["counts"] = rle["counts"].decode()
                row = {"image_id": number, "category_id": category, "segmentation": rle}
                content["annotations"].append(row | {"iscrowd": int(regions.crowd[region])})
    (tmp_path / "images").symlink_to(shared / "photos" / "images")
    (tmp_path / "instances.json").write_text(json.dumps(content))
    data = load_dataset("coco-instances", tmp_path)
    data.check()
    by_name = {sample.name: sample for sample in whole}
    title = [each.name for each in data.classes]
    compared = 0
    for sample in data:
        mine, theirs = sample.regions(), by_name[sample.name].regions()
        kept = [i for i, c in enumerate(theirs.classes.tolist()) if c in things]
        assert [title[c] for c in mine.classes] == [
            whole.classes[theirs.classes[i]].name for i in kept
        ]
        assert mine.crowd.tolist() == theirs.crowd[kept].tolist()
        for region, other in enumerate(kept):
            assert np.array_equal(mine.label_map == region, theirs.label_map == other)
            compared += 1
    assert compared > 50
