"""Folders of predictions: every format gives the same segments, every mistake one sentence."""

import json
import math
import os

import numpy as np
import PIL.Image
import pytest
from pycocotools import mask as codes

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.evaluate.datasets import load_dataset
from zeroguide.evaluate.predictions.folder import FolderPredictions
from zeroguide.evaluate.scoring.protocols import Available, impossible
from zeroguide.image import from_array
from zeroguide.result import Label, Labeling

SIZE = (4, 6)
FOUND = np.zeros(SIZE, np.int32)
FOUND[:, 2:] = 1
FOUND[3, 4:] = 2
LABELS = ("wolf", "grass", "wolf")


def save_png(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.asarray(pixels)).save(path)


@pytest.fixture
def data(tmp_path):
    """Two images with truth."""
    root = tmp_path / "data"
    for name in ("a", "b"):
        save_png(root / "images" / f"{name}.png", np.zeros((*SIZE, 3), np.uint8))
        save_png(root / "labels" / f"{name}.png", np.zeros(SIZE, np.uint8))
    (root / "classes.txt").write_text("dog\ngrass\n")
    return load_dataset("folder", root)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "predictions"
    path.mkdir()
    return path


def ours(folder, name="a", suffix=".jpg.json", size=SIZE):
    labels = [Label(text, 0.5 - i / 10, 0.5, (), (i + 1,)) for i, text in enumerate(LABELS)]
    image = from_array(np.zeros((*size, 3), np.uint8), f"{name}.jpg")
    label_map = FOUND if size == SIZE else np.arange(size[0] * size[1]).reshape(size) % 3
    Labeling.build(image, label_map, labels, {}).save(folder / (name + suffix))


def rle(mask, text=True):
    code = codes.encode(np.asfortranarray(mask, dtype=np.uint8))
    if text:
        return {"size": code["size"], "counts": code["counts"].decode()}
    flat = mask.ravel(order="F").astype(int)
    edges = np.flatnonzero(np.diff(np.append(0, flat))).tolist()
    return {"size": list(mask.shape), "counts": np.diff([0, *edges, flat.size]).tolist()}


CATEGORIES = [{"id": 7, "name": "wolf"}, {"id": 9, "name": "grass"}]


def entries(image_id, text=True):
    return [
        {
            "image_id": image_id,
            "category_id": 7 if label == "wolf" else 9,
            "segmentation": rle(index == FOUND, text),
            "score": 0.5 - index / 10,
        }
        for index, label in enumerate(LABELS)
    ]


def write(path, document):
    path.write_text(json.dumps(document))


def as_ours(folder):
    for name, suffix in (("a", ".jpg.json"), ("b", ".json")):
        ours(folder, name, suffix)
        save_png(folder / f"{name}.jpg.png", np.zeros((9, 9, 3), np.uint8))  # its overlay


def as_results(folder):
    write(folder / "results.json", entries("a") + entries("b", text=False))
    write(folder / "categories.json", {"categories": CATEGORIES})


def as_instances(folder):
    images = [
        {"id": 5, "file_name": "a.jpg", "height": SIZE[0], "width": SIZE[1]},
        {"id": 6, "file_name": "b.jpg", "height": SIZE[0], "width": SIZE[1]},
    ]
    document = {"images": images, "annotations": entries(5) + entries(6), "categories": CATEGORIES}
    write(folder / "instances.json", document)


def colours(ids):
    """COCO's panoptic colours."""
    return np.stack([ids % 256, ids // 256 % 256, ids // 256**2], axis=-1).astype(np.uint8)


IDS = np.array([70_000, 3, 900])
"""Ids of the three segments, which need all three colours."""


def as_panoptic(folder, name="panoptic", images=True):
    annotations = []
    for image_id, stem in ((5, "a"), (6, "b")):
        save_png(folder / name / f"{stem}.png", colours(IDS[FOUND]))
        info = [
            {"id": int(each), "category_id": 7 if label == "wolf" else 9}
            for each, label in zip(IDS, LABELS, strict=True)
        ]
        annotations.append(
            {"image_id": image_id, "file_name": f"{stem}.png", "segments_info": info}
        )
    document = {"annotations": annotations, "categories": CATEGORIES}
    if images:
        document["images"] = [{"id": 5, "file_name": "a.jpg"}, {"id": 6, "file_name": "b.jpg"}]
    write(folder / f"{name}.json", document)


def as_panoptic_beside(folder):
    """PNGs beside the JSON, and categories in a file of their own."""
    as_panoptic(folder, images=False)
    for name in ("a.png", "b.png"):
        (folder / "panoptic" / name).rename(folder / name)
    content = json.loads((folder / "panoptic.json").read_text())
    write(folder / "categories.json", {"categories": content.pop("categories")})
    write(folder / "panoptic.json", content)


def as_panoptic_elsewhere(folder):
    as_panoptic(folder)
    (folder / "panoptic").rename(folder / "pictures")


def as_maps(folder):
    for name in ("a", "b"):
        save_png(folder / f"{name}.png", FOUND.astype(np.uint8))
    (folder / "names.txt").write_text("\n".join(LABELS))


def as_maps_with_names_each(folder):
    for name in ("a", "b"):
        save_png(folder / f"{name}.png", FOUND.astype(np.uint16))
        (folder / f"{name}.txt").write_text("\n".join(LABELS))


@pytest.mark.parametrize(
    "written",
    [
        as_ours,
        as_results,
        as_instances,
        as_panoptic,
        as_panoptic_beside,
        as_panoptic_elsewhere,
        as_maps,
        as_maps_with_names_each,
    ],
)
def test_every_format_gives_the_same_segments(written, data, folder):
    written(folder)
    predictions = FolderPredictions(folder)
    predictions.check(data, ["a", "b"])
    for sample in data:
        found = predictions.predict(sample)
        # Segments may be numbered otherwise: compare each one's pixels and label.
        masks = {
            (found.labels[i], (found.label_map == i).tobytes()) for i in range(len(found.labels))
        }
        assert masks == {(label, (i == FOUND).tobytes()) for i, label in enumerate(LABELS)}
        assert found.label_map.dtype == np.int32
    assert predictions.class_embeddings(["x"]) is None


def test_label_maps_without_names_and_with_holes(data, folder):
    found = np.where(FOUND == 1, 255, FOUND * 10)
    for name in ("a", "b"):
        save_png(folder / f"{name}.png", found.astype(np.uint8))
    result = FolderPredictions(folder).predict(data[0])
    assert list(result.labels) == ["cluster 0", "cluster 20"]
    assert np.array_equal(result.label_map, np.select([FOUND == 0, FOUND == 2], [0, 1], -1))


def test_masks_that_overlap(data, folder):
    """The higher score is on top in the label map; AP sees the whole masks."""
    whole = np.ones(SIZE, bool)
    below = {"image_id": "a", "category_id": 9, "segmentation": rle(whole), "score": 0.1}
    write(folder / "results.json", [below, *entries("a"), *entries("b")])
    write(folder / "categories.json", {"categories": CATEGORIES})
    found = FolderPredictions(folder).predict(data[0])
    assert np.array_equal(found.label_map, FOUND + 1)
    assert found.masks is not None
    assert [int(codes.area(mask)) for mask in found.masks] == [24, 8, 14, 2]


def test_polygons(data, folder):
    square = [[1.0, 1.0, 4.0, 1.0, 4.0, 3.0, 1.0, 3.0]]
    image = {"file_name": "a.jpg", "id": 1, "height": 4, "width": 6}
    annotation = {"image_id": 1, "category_id": 7, "segmentation": square}
    document = {"images": [image], "annotations": [annotation], "categories": CATEGORIES}
    write(folder / "instances.json", document)
    expected = np.full(SIZE, -1)
    expected[1:3, 1:4] = 0
    assert np.array_equal(FolderPredictions(folder).predict(data[0]).label_map, expected)


def test_cocos_numbers_and_folders_of_names(tmp_path, folder):
    """COCO's image 42 is 000000000042.jpg; predictions may lie in one folder whatever the names."""
    write(folder / "results.json", entries(42))
    write(folder / "categories.json", {"categories": CATEGORIES})
    root = tmp_path / "data"
    save_png(root / "images" / "000000000042.png", np.zeros((*SIZE, 3), np.uint8))
    save_png(root / "labels" / "000000000042.png", np.zeros(SIZE, np.uint8))
    (root / "classes.txt").write_text("dog\n")
    data = load_dataset("folder", root)
    FolderPredictions(folder).check(data, ["000000000042"])


def test_exports_of_a_run_are_passed_over(data, folder):
    ours(folder), ours(folder, "b")
    (folder / "run.json").write_text('{"schema": "zeroguide-run/1"}')
    (folder / "exports/coco").mkdir(parents=True)
    as_instances(folder / "exports/coco")
    FolderPredictions(folder).check(data, ["a", "b"])
    (folder / "run.json").unlink()  # then it is a folder like any other
    with pytest.raises(ZeroguideError):
        FolderPredictions(folder).check(data, ["a", "b"])


def test_predictions_beyond_the_limit_are_no_mistake(data, folder):
    as_maps(folder)
    data.select(1, None)
    FolderPredictions(folder).check(data, ["a", "b"])


def missing(folder):
    as_maps(folder)
    (folder / "b.png").unlink()


def another(folder):
    as_maps(folder)
    save_png(folder / "c.png", FOUND.astype(np.uint8))


def twice(folder):
    as_ours(folder)
    ours(folder, "a", ".json")


def nested_twice(folder):
    as_results(folder)
    write(folder / "more.json", entries("a"))


def other_size(folder):
    as_maps(folder)
    save_png(folder / "b.png", np.zeros((4, 5), np.uint8))


def other_size_ours(folder):
    as_ours(folder)
    ours(folder, "b", ".json", size=(6, 4))


def other_size_coco(folder):
    more = entries("b")
    for entry in more:
        entry["segmentation"] = rle(np.ones((2, 2), bool))
    write(folder / "results.json", entries("a") + more)
    write(folder / "categories.json", {"categories": CATEGORIES})


def without_categories(folder):
    write(folder / "results.json", entries("a") + entries("b"))


def damaged(folder):
    (folder / "a.json").write_text("{")


def something_else(folder):
    write(folder / "a.json", [{"image": 1}])


def without_size(folder):
    square = [[1, 1, 4, 1, 4, 3]]
    images = [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}]
    annotation = {"image_id": 1, "category_id": 7, "segmentation": square}
    document = {"images": images, "annotations": [annotation], "categories": CATEGORIES}
    write(folder / "i.json", document)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (lambda folder: None, "holds no predictions"),
        (lambda folder: folder.rmdir(), "no such folder"),
        (missing, "no prediction for the image b"),
        (another, r"c\.png: holds a prediction for c, which isn't in the data set folder"),
        (twice, "second prediction for a"),
        (nested_twice, "there are 2"),
        (other_size, r"b\.png: is 5 x 4 pixels but the image b is 6 x 4"),
        (other_size_ours, r"b\.json: is 4 x 6 pixels"),
        (other_size_coco, "is 2 x 2 pixels but the image b"),
        (without_categories, "category 7 without a name"),
        (damaged, "can't be read as JSON"),
        (something_else, "image_id"),
        (without_size, "doesn't tell the size of a"),
    ],
)
def test_mistakes_are_one_sentence_each(written, words, data, folder):
    written(folder)
    with pytest.raises(ZeroguideError, match=words) as caught:
        FolderPredictions(folder).check(data, ["a", "b"])
    text = str(caught.value)
    assert "\n" not in text and str(folder) in text


def changed(folder, change, name="panoptic.json"):
    """Rewrite a JSON file."""
    content = json.loads((folder / name).read_text())
    change(content)
    write(folder / name, content)


def first(content):
    return content["annotations"][0]


PANOPTIC_MISTAKES = {
    "is missing, though panoptic.json names it": lambda folder: os.remove(
        folder / "panoptic" / "b.png"
    ),
    "b.png: is 5 x 4 pixels but the image b is 6 x 4": lambda folder: save_png(
        folder / "panoptic" / "b.png", colours(np.full((4, 5), 3))
    ),
    "a.png: holds the segment 3, which panoptic.json doesn't list": lambda folder: changed(
        folder, lambda content: first(content)["segments_info"].pop(1)
    ),
    "b.png: has no pixel of the segment 3, which panoptic.json lists": lambda folder: save_png(
        folder / "panoptic" / "b.png", colours(np.where(FOUND == 1, 0, IDS[FOUND]))
    ),
    "has the category 9 without a name": lambda folder: changed(
        folder, lambda content: content["categories"].pop()
    ),
    "b.png: is a grey picture": lambda folder: save_png(
        folder / "panoptic" / "b.png", FOUND.astype(np.uint8)
    ),
    "two images named a": lambda folder: changed(
        folder, lambda content: content["images"][1].update(file_name="a.png")
    ),
    "('file_name' is": lambda folder: changed(
        folder, lambda content: first(content).pop("file_name")
    ),
    "(file_name 3 is": lambda folder: changed(
        folder, lambda content: first(content).update(file_name=3)
    ),
    "(image_id [1] is": lambda folder: changed(
        folder, lambda content: first(content).update(image_id=[1])
    ),
    "(segment id '3' is": lambda folder: changed(
        folder, lambda content: first(content)["segments_info"][1].update(id="3")
    ),
    "(a second segment 3 of a.png is": lambda folder: changed(
        folder, lambda content: first(content)["segments_info"][0].update(id=3)
    ),
    "(score 'high' is": lambda folder: changed(
        folder, lambda content: first(content)["segments_info"][0].update(score="high")
    ),
    "('category_id' is": lambda folder: changed(
        folder, lambda content: first(content)["segments_info"][0].pop("category_id")
    ),
    "holds 2 JSON files of predictions (more.json, panoptic.json)": lambda folder: write(
        folder / "more.json", entries(5)
    ),
}


@pytest.mark.parametrize("words", PANOPTIC_MISTAKES)
def test_mistakes_in_panoptic_predictions(words, data, folder):
    as_panoptic(folder)
    FolderPredictions(folder).check(data, ["a", "b"])
    PANOPTIC_MISTAKES[words](folder)
    with pytest.raises(ZeroguideError) as caught:
        FolderPredictions(folder).check(data, ["a", "b"])
    text = str(caught.value)
    assert words in text and "\n" not in text and str(folder) in text


def test_panoptic_pixels_of_no_segment_and_images_of_none(data, folder):
    as_panoptic(folder)
    save_png(folder / "panoptic" / "a.png", colours(np.where(FOUND == 1, 0, IDS[FOUND])))
    save_png(folder / "panoptic" / "b.png", colours(0 * FOUND))

    def fewer(content):
        first(content)["segments_info"].pop(1)
        content["annotations"][1]["segments_info"] = []

    changed(folder, fewer)
    predictions = FolderPredictions(folder)
    predictions.check(data, ["a", "b"])
    assert predictions.named
    found = predictions.predict(data[0])
    assert list(found.labels) == ["wolf", "wolf"]
    # By id: 900 comes before 70,000.
    assert np.array_equal(found.label_map, np.select([FOUND == 2, FOUND == 0], [0, 1], -1))
    nothing = predictions.predict(data[1])
    assert list(nothing.labels) == [] and (nothing.label_map == -1).all()


def test_panoptic_scores(data, folder):
    """Those of an image count if all its segments have one; by id, like everything."""
    as_panoptic(folder)

    def scored(content):
        for each, score in zip(first(content)["segments_info"], (0.5, 0.25, 1), strict=True):
            each["score"] = score
        content["annotations"][1]["segments_info"][0]["score"] = 0.5

    changed(folder, scored)
    predictions = FolderPredictions(folder)
    assert predictions.predict(data[0]).scores.tolist() == [0.25, 1, 0.5]  # 3, 900, 70,000
    assert predictions.predict(data[1]).scores is None
    changed(folder, lambda content: first(content)["segments_info"][0].update(score=math.nan))
    with pytest.raises(ZeroguideError, match=r"panoptic\.json: holds the score nan"):
        FolderPredictions(folder).predict(data[0])


def test_panoptic_fingerprint_follows_the_pngs(folder):
    as_panoptic(folder)
    before = FolderPredictions(folder).fingerprint()
    save_png(folder / "unused.png", FOUND.astype(np.uint8))
    assert FolderPredictions(folder).fingerprint() == before
    save_png(folder / "panoptic" / "b.png", colours(IDS[np.zeros((50, 60), int)]))
    assert FolderPredictions(folder).fingerprint() != before


def test_panoptic_truth_as_predictions(shared):
    """COCO's own file, read by the data set's reader, which is another implementation."""
    data = load_dataset("coco-panoptic", shared / "photos")
    predictions = FolderPredictions(shared / "photos")
    predictions.check(data, [sample.name for sample in data])
    categories = json.loads((shared / "photos" / "panoptic.json").read_text())["categories"]
    for sample in list(data)[:4]:
        found, truth = predictions.predict(sample), sample.regions()
        official = [categories[i]["name"] for i in truth.classes]  # classes are in their order
        for index, name in enumerate(official):
            own = np.unique(found.label_map[truth.label_map == index])
            assert [found.labels[i] for i in own] == [name]
        assert len(found.labels) == len(official)
        assert np.array_equal(found.label_map == -1, truth.label_map == -1)


STRANGE = {
    "results.json": {"schema": "zeroguide-evaluation/1", "images": [{"name": "a"}]},
    "sorted.json": {"images": [{"name": "a"}], "schema": "zeroguide-evaluation/1"},
    "suite.json": {"schema": "zeroguide-suite/1", "runs": []},
    "package.json": {"name": "me", "version": "1.0.0", "categories": ["Other"]},
    "list.json": ["a", "b"],
    "number.json": 3,
    "empty.json": {},
}


@pytest.mark.parametrize(
    "written", [as_ours, as_results, as_instances, as_panoptic, as_maps, as_maps_with_names_each]
)
def test_what_is_no_prediction_is_passed_over(written, data, folder):
    written(folder)
    before = FolderPredictions(folder).fingerprint()
    for name, content in STRANGE.items():
        place = folder / "more"
        place.mkdir(exist_ok=True)
        write(place / name, content)
    (folder / "rows.jsonl").write_text('{"settings": {}}\n')
    predictions = FolderPredictions(folder)
    predictions.check(data, ["a", "b"])
    assert predictions.fingerprint() == before
    assert len(predictions.predict(data[0]).labels) == 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "can't be read as JSON"),
        ('{"schema": "zeroguide/1"', "can't be read as JSON"),
        ('{"image": {}, "segments": []}', "not a zeroguide result"),
        ('{"schema": "zeroguide/1"}', "not a zeroguide result"),
        ("{}", "is named like the image b but is no prediction"),
        ('{"segmentation": {}, "image_id": 3}', "leave one kind there"),
        ('[{"image_id": 3}]', "leave one kind there"),
    ],
)
def test_damaged_predictions_stay_errors(content, words, data, folder):
    as_ours(folder)
    (folder / "b.json").write_text(content)
    with pytest.raises(ZeroguideError, match=words):
        FolderPredictions(folder).check(data, ["a", "b"])


def test_a_number_without_a_name(data, folder):
    as_maps(folder)
    (folder / "names.txt").write_text("wolf\ngrass")
    predictions = FolderPredictions(folder)
    predictions.check(data, ["a", "b"])
    with pytest.raises(ZeroguideError, match="number 2 but there are 2 names"):
        predictions.predict(data[0])


def test_a_damaged_mask_is_found_when_it_is_read(data, folder):
    as_results(folder)
    content = json.loads((folder / "results.json").read_text())
    content[0]["segmentation"] = {"size": list(SIZE)}
    write(folder / "results.json", content)
    predictions = FolderPredictions(folder)
    predictions.check(data, ["a", "b"])
    with pytest.raises(ZeroguideError, match="a mask of a can't be read"):
        predictions.predict(data[0])


def test_the_fingerprint_follows_the_files(folder):
    as_maps(folder)
    before = FolderPredictions(folder).fingerprint()
    assert FolderPredictions(folder).fingerprint() == before
    save_png(folder / "b.png", np.zeros((40, 50), np.uint8))
    assert FolderPredictions(folder).fingerprint() != before


@pytest.mark.parametrize(
    ("written", "file"),
    [
        (as_maps, "names.txt"),
        (as_maps_with_names_each, "b.txt"),
        (as_results, "categories.json"),
        (as_instances, "instances.json"),
        (as_panoptic, "panoptic.json"),
        (as_panoptic_beside, "categories.json"),
        (as_ours, "b.json"),
    ],
)
def test_the_fingerprint_follows_names_and_categories(written, file, folder):
    written(folder)
    before = FolderPredictions(folder).fingerprint()
    path = folder / file
    path.write_text(path.read_text().replace("wolf", "hound"))
    assert FolderPredictions(folder).fingerprint() != before


def test_the_fingerprint_ignores_what_is_not_read(folder):
    as_maps(folder)
    before = FolderPredictions(folder).fingerprint()
    (folder / "notes.txt").write_text("mine")
    assert FolderPredictions(folder).fingerprint() == before
    (folder / "b.txt").write_text("\n".join(LABELS))  # now b has names of its own
    assert FolderPredictions(folder).fingerprint() != before


@pytest.mark.parametrize("score", [float("nan"), float("inf"), None])
def test_scores_that_rank_nothing_cost_their_image(score, data, folder):
    as_results(folder)
    content = json.loads((folder / "results.json").read_text())
    content[0]["score"] = score
    write(folder / "results.json", content)
    predictions = FolderPredictions(folder)
    predictions.check(data, ["a", "b"])
    with pytest.raises(ZeroguideError, match=r"results\.json: holds the score (nan|inf)"):
        predictions.predict(data[0])
    assert len(predictions.predict(data[1]).labels) == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"category_id": [0]}, "category_id [0]"),
        ({"category_id": None}, "category_id None"),
        ({"image_id": {}}, "image_id {}"),
        ({"segmentation": "x"}, "segmentation 'x'"),
        ({"segmentation": {"size": [112], "counts": ""}}, "size [112]"),
        ({"segmentation": {"size": 112, "counts": ""}}, "size 112"),
        ({"segmentation": {"size": ["4", 6], "counts": ""}}, "height '4'"),
        ({"score": "high"}, "score 'high'"),
    ],
)
def test_entries_of_wrong_types_are_one_sentence(change, said, folder):
    as_results(folder)
    content = json.loads((folder / "results.json").read_text())
    content[1] |= change
    write(folder / "results.json", content)
    with pytest.raises(UsageError) as caught:
        FolderPredictions(folder)
    assert f"results.json: isn't COCO results or instances ({said} is" in str(caught.value)


@pytest.mark.parametrize("change", [{"height": [4]}, {"width": 0}, {"id": [5]}])
def test_images_of_wrong_types_are_one_sentence(change, folder):
    as_instances(folder)
    content = json.loads((folder / "instances.json").read_text())
    content["images"][0] |= change
    write(folder / "instances.json", content)
    with pytest.raises(UsageError, match="isn't COCO results or instances"):
        FolderPredictions(folder)


NAMED = {"tt", "st", "semantic", "lac", "naming", "panoptic"}


def test_label_maps_without_names_have_no_named_families(data, folder):
    as_maps(folder)
    assert FolderPredictions(folder).named
    (folder / "names.txt").unlink()
    assert not FolderPredictions(folder).named
    reasons = impossible(data, Available(True, True, True, "true-masks", names=False))
    assert {name for name, reason in reasons.items() if "no names" in reason} == NAMED
    reasons = impossible(data, Available(True, True, True, "true-masks"))
    assert not any("no names" in reason for reason in reasons.values())


@pytest.mark.parametrize("written", [as_ours, as_results, as_maps_with_names_each])
def test_other_predictions_have_names(written, folder):
    written(folder)
    assert FolderPredictions(folder).named


def test_usage_errors_are_usage_errors(tmp_path):
    with pytest.raises(UsageError):
        FolderPredictions(tmp_path / "no")


def one_image(tmp_path, name="0002", size=(64, 96)):
    """A data set of one image, of a size that the masks' sums can be told from."""
    root = tmp_path / "one"
    save_png(root / "images" / f"{name}.png", np.zeros((*size, 3), np.uint8))
    save_png(root / "labels" / f"{name}.png", np.zeros(size, np.uint8))
    (root / "classes.txt").write_text("dog\n")
    return load_dataset("folder", root)


@pytest.mark.parametrize("images", [False, True])
@pytest.mark.parametrize("counts", [[60, 40], [100], "P1X1", "P1X10"])
def test_masks_that_do_not_fill_the_image(images, counts, tmp_path, folder):
    """pycocotools would never end, or score what happens to be in memory."""
    code = {"size": [64, 96], "counts": counts}
    entry = {"image_id": 2, "category_id": 7, "segmentation": code, "score": 1}
    tables = {"categories": CATEGORIES}
    if images:
        tables["images"] = [{"id": 2, "file_name": "0002.jpg", "height": 64, "width": 96}]
    write(folder / "results.json", [entry])
    write(folder / "tables.json", tables)
    data = one_image(tmp_path)
    predictions = FolderPredictions(folder)
    predictions.check(data, ["0002"])
    with pytest.raises(ZeroguideError, match=r"a mask of 0*2 covers \d+ of 6144 pixels; write"):
        predictions.predict(data[0])


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        ([[0, 0, 9, 0, 9, 9, 1]], "has 7 numbers"),
        ([[0, 0, 9, 0, 9, "9"]], "no list of numbers"),
        ([0, 0, 9, 0, 9, 9], "no list of numbers"),
        ([[0, 0, 1e9, 0, 9, 9]], "a corner at 1000000000.0"),
        ([[0, 0, math.nan, 0, 9, 9]], "a corner at nan"),
        ({"size": list(SIZE)}, "no size or no counts"),
        ({"size": list(SIZE), "counts": None}, "counts of the type NoneType"),
        ({"size": list(SIZE), "counts": [-1, 25]}, "a run of -1 pixels"),
        ({"size": [6, 4], "counts": [24]}, "is 4 x 6 pixels, not 6 x 4"),
    ],
)
def test_damaged_masks_cost_their_image(segmentation, words, data, folder):
    as_results(folder)
    content = json.loads((folder / "results.json").read_text())
    content[1]["segmentation"] = segmentation
    write(folder / "results.json", content)
    predictions = FolderPredictions(folder)
    predictions.check(data, ["a", "b"])
    with pytest.raises(ZeroguideError, match=f"results.json: a mask of a .*{words}"):
        predictions.predict(data[0])
    assert len(predictions.predict(data[1]).labels) == 3


@pytest.mark.parametrize("segmentation", [[], [[]], [[1, 1, 4, 3]], [[], [1.0, 2]]])
def test_polygons_without_an_inside_are_left_out(segmentation, data, folder):
    as_instances(folder)
    nothing = {"image_id": 5, "category_id": 7, "segmentation": segmentation, "score": 1}
    changed(folder, lambda d: d["annotations"].extend([nothing, nothing]), "instances.json")
    predictions = FolderPredictions(folder)
    predictions.check(data, ["a", "b"])
    assert len(predictions.predict(data[0]).labels) == 3
    (note,) = predictions.notes
    assert "three corners" in note and note.endswith("left out: 2")
    as_instances(folder)
    assert not FolderPredictions(folder).notes


def as_floats(value):
    """Numbers as pandas writes them."""
    if isinstance(value, dict):
        return {key: as_floats(each) for key, each in value.items()}
    if isinstance(value, list):
        return [as_floats(each) for each in value]
    return float(value) if isinstance(value, int) else value


@pytest.mark.parametrize("written", [as_results, as_instances, as_panoptic])
def test_whole_numbers_with_a_point(written, data, folder):
    written(folder)
    expected = [FolderPredictions(folder).predict(sample) for sample in data]
    for path in folder.glob("*.json"):
        write(path, as_floats(json.loads(path.read_text())))
    predictions = FolderPredictions(folder)
    predictions.check(data, ["a", "b"])
    for sample, before in zip(data, expected, strict=True):
        found = predictions.predict(sample)
        assert np.array_equal(found.label_map, before.label_map)
        assert found.labels == before.labels


@pytest.mark.parametrize("images", [None, ["a.jpg"], ["a.jpg", "b.jpg"]])
def test_results_in_which_nothing_was_found(images, data, folder):
    """Whatever has no result has no segment, unless there is a list of images without it."""
    document = {"categories": CATEGORIES}
    if images is not None:
        document["images"] = [{"id": name[0], "file_name": name} for name in images]
    write(folder / "results.json", entries("a"))
    write(folder / "tables.json", document)
    predictions = FolderPredictions(folder)
    if images == ["a.jpg"]:
        with pytest.raises(UsageError, match="no prediction for the image b"):
            predictions.check(data, ["a", "b"])
        return
    predictions.check(data, ["a", "b"])
    assert len(predictions.predict(data[0]).labels) == 3
    nothing = predictions.predict(data[1])
    assert list(nothing.labels) == [] and nothing.label_map.shape == SIZE
    assert (nothing.label_map == -1).all()


@pytest.mark.parametrize("categories", [False, True])
def test_an_empty_list_of_results(categories, data, folder):
    write(folder / "results.json", [])
    if categories:
        write(folder / "categories.json", {"categories": CATEGORIES})
    predictions = FolderPredictions(folder)
    predictions.check(data, ["a", "b"])
    assert predictions.named
    assert all(list(predictions.predict(sample).labels) == [] for sample in data)


def test_instances_of_an_image_without_any(data, folder):
    as_instances(folder)

    def without(content):
        content["annotations"] = entries(5)
        del content["images"][1]["height"]  # nothing needs it

    changed(folder, without, "instances.json")
    predictions = FolderPredictions(folder)
    predictions.check(data, ["a", "b"])
    assert list(predictions.predict(data[1]).labels) == []


def twice_in_images(document):
    document["images"].append({"id": 5, "file_name": "b.jpg"})


def twice_in_categories(document):
    document["categories"].append({"id": 7, "name": "hound"})


REPEATED = {
    "images": (as_instances, "instances.json", twice_in_images, "the id 5 twice in its images"),
    "images as 5 and 5.0": (
        as_instances,
        "instances.json",
        lambda d: d["images"][1].update(id=5.0),
        "the id 5 twice in its images",
    ),
    "categories": (
        as_instances,
        "instances.json",
        twice_in_categories,
        "the id 7 twice in its categories",
    ),
    "annotations": (
        as_instances,
        "instances.json",
        lambda d: [each.update(id=number // 2) for number, each in enumerate(d["annotations"])],
        "the id 0 twice in its annotations",
    ),
    "panoptic images": (
        as_panoptic,
        "panoptic.json",
        twice_in_images,
        "the id 5 twice in its images",
    ),
    "panoptic annotations": (
        as_panoptic,
        "panoptic.json",
        lambda d: d["annotations"][1].update(image_id=5),
        "two annotations of the image 5",
    ),
    "panoptic categories": (
        as_panoptic,
        "panoptic.json",
        twice_in_categories,
        "the id 7 twice in its categories",
    ),
    "panoptic segments": (
        as_panoptic,
        "panoptic.json",
        lambda d: first(d)["segments_info"][0].update(id=3.0),
        "a second segment 3",
    ),
}


@pytest.mark.parametrize("case", REPEATED)
def test_repeated_ids_are_refused(case, folder):
    written, name, change, words = REPEATED[case]
    written(folder)
    changed(folder, change, name)
    with pytest.raises(UsageError) as caught:
        FolderPredictions(folder)
    assert words in str(caught.value) and name in str(caught.value)


def test_files_that_use_an_id_for_different_things(data, folder):
    as_results(folder)
    more = [{"id": 7, "name": "wolf"}, {"id": 8, "name": "sky"}]
    write(folder / "more.json", {"categories": more})
    FolderPredictions(folder).check(data, ["a", "b"])  # they agree
    more[0]["name"] = "hound"
    write(folder / "more.json", {"categories": more})
    with pytest.raises(UsageError, match=r"more\.json: its categories use the id 7"):
        FolderPredictions(folder)


def renamed(prefix):
    """COCO instances whose images lie in a folder."""

    def write_them(folder):
        as_instances(folder)
        change = {"a": f"{prefix}a.jpg", "b": f"{prefix}b.JPG"}
        changed(
            folder,
            lambda d: [i.update(file_name=change[i["file_name"][0]]) for i in d["images"]],
            "instances.json",
        )

    return write_them


def in_a_folder(written):
    def write_them(folder):
        (folder / "train").mkdir()
        written(folder / "train")

    return write_them


def results_by_name(folder):
    write(folder / "results.json", entries("train/a.jpg") + entries("val/b.jpg"))
    write(folder / "categories.json", {"categories": CATEGORIES})


@pytest.mark.parametrize(
    "written",
    [
        *map(renamed, ["train/", "/data/train/", "../train/", "./", "train\\", "C:\\train\\"]),
        *map(in_a_folder, [as_maps_with_names_each, as_ours, as_panoptic]),
        results_by_name,
    ],
)
def test_predictions_with_folders_in_their_names(written, data, folder):
    written(folder)
    predictions = FolderPredictions(folder)
    predictions.check(data, ["a", "b"])
    for sample in data:
        assert sorted(predictions.predict(sample).labels) == sorted(LABELS)


def test_names_that_fit_several_images(data, folder):
    """Neither may get the other's, and a base name counts only if it is there once."""
    for name in ("train/a", "val/a", "b"):
        save_png(folder / f"{name}.png", FOUND.astype(np.uint8))
    predictions = FolderPredictions(folder)
    with pytest.raises(UsageError, match="may be train/a, val/a; name it with"):
        predictions.check(data, ["a", "b"])
    data.entries = data.entries[1:]
    predictions.check(data, ["a", "b"])


def test_what_is_there_is_named(data, folder):
    for name in ("c", "d", "e", "f", "b"):
        save_png(folder / "x" / f"{name}.png", FOUND.astype(np.uint8))
    with pytest.raises(UsageError, match=r"image a, but for x/b, x/c, x/d and 2 more; add"):
        FolderPredictions(folder).check(data, ["a", "b"])


def test_a_fuzzed_results_file_costs_images_or_is_one_sentence(data, tmp_path_factory):
    """Whatever a mask is, each image is read or fails with one sentence of ours."""
    from hypothesis import given
    from hypothesis import strategies as st

    counts = (
        st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=12)
        | st.lists(st.integers(-5, 30), max_size=6)
        | st.none()
    )
    size = st.just(list(SIZE)) | st.lists(st.integers(1, 9), min_size=2, max_size=2)
    polygon = st.lists(st.floats() | st.integers(-99, 99), max_size=9)
    code = st.fixed_dictionaries({"size": size, "counts": counts}) | st.lists(polygon, max_size=3)

    @given(st.lists(code, max_size=4))
    def check(codes_):
        folder = tmp_path_factory.mktemp("fuzz")
        entry = {"image_id": "a", "category_id": 7}
        write(folder / "results.json", [entry | {"segmentation": each} for each in codes_])
        write(folder / "categories.json", {"categories": CATEGORIES})
        try:
            predictions = FolderPredictions(folder)
            predictions.check(data, ["a", "b"])
            found = predictions.predict(data[0])
        except ZeroguideError as error:
            assert "\n" not in str(error)
            return
        assert found.label_map.shape == SIZE

    check()
