"""Masks of other tools: their files, that they may overlap, and names equal to labelling's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from formats.runs import ListRun, labelled, shapes
from pycocotools import mask as coco_mask

from zeroguide.cli import main
from zeroguide.clip.atoms import regions_of
from zeroguide.clip.region import region_map
from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.image import open_image
from zeroguide.labeler import Labeler
from zeroguide.recipe import load_recipe
from zeroguide.result.formats.label_studio_brush import decode as brush_decode
from zeroguide.result.formats.label_studio_brush import encode
from zeroguide.result.formats.registry import export
from zeroguide.result.rle import decode
from zeroguide.runs.masks.drawn import MOST
from zeroguide.runs.masks.files import MaskFiles

EXAMPLES = Path(__file__).parent.parent / "examples"
PHOTO = EXAMPLES / "playroom.png"
HEIGHT, WIDTH = 40, 60
EXPORTS = ("masks", "labelme", "yolo", "coco", "label-studio", "label-studio-brush")


@pytest.fixture(scope="module")
def masks() -> np.ndarray:
    """Three rectangles, (3, H, W) bool: the second overlaps the first, the third lies in it."""
    found = np.zeros((3, HEIGHT, WIDTH), bool)
    found[0, 5:30, 5:30] = found[1, 20:38, 20:55] = found[2, 8:12, 8:12] = True
    return found


@pytest.fixture(scope="module")
def labeler() -> Labeler:
    return Labeler(load_recipe("tiny", ["merge.threshold=1.0"]), device="cpu", offline=True)


def rle(mask: np.ndarray) -> dict[str, Any]:
    code = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": code["size"], "counts": code["counts"].decode()}


def polygon(mask: np.ndarray) -> list[float]:
    """The outline of a rectangle: x, y of its corners."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    left, top, right, bottom = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return [float(v) for v in (left, top, right, top, right, bottom, left, bottom)]


def sam(masks: np.ndarray) -> Any:
    keys = {"bbox": [0, 0, 1, 1], "predicted_iou": 0.9, "stability_score": 0.95}
    return [{"segmentation": rle(mask), "area": int(mask.sum()), **keys} for mask in masks]


def coco(masks: np.ndarray, name: str = "a/x.jpg", **of_image: Any) -> Any:
    found = [
        {"id": 7 + i, "image_id": 1, "category_id": 1, "segmentation": [polygon(mask)]}
        for i, mask in enumerate(masks)
    ]
    found[0]["segmentation"] = rle(masks[0])
    return {"images": [{"id": 1, "file_name": name, **of_image}], "annotations": found}


def labelme(masks: np.ndarray) -> Any:
    found = [
        {"label": "a", "points": np.reshape(polygon(mask), (4, 2)).tolist(), "group_id": None}
        for mask in masks
    ]
    found[2] |= {"shape_type": "rectangle", "points": [[8, 8], [12, 12]]}
    return {"shapes": found, "imagePath": "x.jpg", "imageHeight": HEIGHT, "imageWidth": WIDTH}


def ours(masks: np.ndarray) -> Any:
    image = {"file_name": "x.jpg", "height": HEIGHT, "width": WIDTH, "sha256": ""}
    entries = [{"id": 1 + i, "segmentation": rle(mask)} for i, mask in enumerate(masks)]
    return {"schema": "zeroguide-names/1", "image": image, "masks": entries}


def sa1b(masks: np.ndarray) -> Any:
    return {"image": {"height": HEIGHT, "width": WIDTH}, "annotations": sam(masks)}


def results(masks: np.ndarray) -> Any:
    return [{"image_id": 42, "segmentation": rle(mask), "score": 1.0} for mask in masks]


def read(place: Path, image: str = "photos/x.jpg") -> dict[int, np.ndarray]:
    found = MaskFiles(place, [Path(image)]).masks(Path(image), (HEIGHT, WIDTH))
    return {mask.id: decode(mask.code) for mask in found}


# ---- readers


@pytest.mark.parametrize("write", [sam, sa1b, coco, labelme, ours, results])
def test_json_of_every_tool(
    write: Callable[[np.ndarray], Any], masks: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "masks.json"
    path.write_text(json.dumps(write(masks)))
    found = read(path, "000000000042.jpg" if write is results else "photos/x.jpg")
    assert list(found) == ([7, 8, 9] if write is coco else [1, 2, 3])
    assert np.array_equal(list(found.values()), masks)  # the overlap is kept


def test_yolo(masks: np.ndarray, tmp_path: Path) -> None:
    scale = np.array([WIDTH, HEIGHT] * 4)
    lines = [f"3 {' '.join(map(str, np.array(polygon(mask)) / scale))}" for mask in masks]
    (tmp_path / "x.txt").write_text("\n".join([lines[0], lines[1] + " 0.87", lines[2]]) + "\n")
    assert np.array_equal(list(read(tmp_path).values()), masks)


def test_label_map(masks: np.ndarray, tmp_path: Path) -> None:
    ids = np.zeros((HEIGHT, WIDTH), np.uint16)
    ids[masks[0]], ids[masks[1]] = 300, 4
    PIL.Image.fromarray(ids).save(tmp_path / "x.png")
    found = read(tmp_path)
    assert list(found) == [4, 300]
    assert all(np.array_equal(mask, ids == id) for id, mask in found.items())


def test_masks_that_take_too_long_to_draw(
    masks: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(labelme(masks)))
    assert len(read(path)) == 3
    monkeypatch.setattr("zeroguide.runs.masks.drawn.LONGEST", 20)
    with pytest.raises(
        ZeroguideError, match=r"x\.json: the outlines of its masks have more than 20"
    ):
        read(path)


def test_nesting_without_end(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[" * 100_000)
    with pytest.raises(ZeroguideError, match=r"x\.json: can't be read as JSON"):
        read(tmp_path)


@pytest.mark.parametrize("name", EXPORTS)
@pytest.mark.parametrize("key", ["corners", "noise", "parts", "ring"])
def test_our_own_exports_come_back(name: str, key: str, tmp_path: Path) -> None:
    entry = labelled("in/x.jpg", shapes()[key], tmp_path)
    export(ListRun([entry]), [name], tmp_path / "out")
    place = tmp_path / "out" / name
    if name.startswith(("coco", "label-studio")):
        (place,) = place.glob("*.json")
    labeling = entry.labeling
    size = (labeling.height, labeling.width)
    found = MaskFiles(place, [tmp_path / "in/x.jpg"]).masks(tmp_path / "in/x.jpg", size)
    assert len(found) == len(labeling.segments)
    for mask, segment in zip(found, labeling.segments, strict=True):
        wrong = decode(mask.code) != labeling.mask(segment.id)
        # YOLO joins parts by lines, which may cost pixels.
        assert not wrong.any() or (name == "yolo" and wrong.sum() <= 0.3 * segment.area), segment.id


def test_results_of_label_come_before_the_pictures_beside_them(tmp_path: Path) -> None:
    entry = labelled("x.jpg", shapes()["ring"])
    entry.labeling.save(tmp_path / "x.jpg.json")
    PIL.Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "x.jpg.png")  # its overlay
    size = (entry.labeling.height, entry.labeling.width)
    found = MaskFiles(tmp_path, [Path("x.jpg")]).masks(Path("x.jpg"), size)
    assert [mask.id for mask in found] == [segment.id for segment in entry.labeling.segments]


def test_label_studio_tasks(masks: np.ndarray, tmp_path: Path) -> None:
    """The annotation that wasn't cancelled, a rectangle, what isn't a region, an upload's name."""
    size = {"original_width": WIDTH, "original_height": HEIGHT}
    points = np.reshape(polygon(masks[0]), (4, 2)) / (WIDTH, HEIGHT) * 100
    left, top, right, _, _, bottom = np.array(polygon(masks[1]))[:6]
    box = {"x": left, "y": top, "width": right - left, "height": bottom - top}
    box = {k: v * 100 / (WIDTH if k in ("x", "width") else HEIGHT) for k, v in box.items()}
    regions = [
        {"id": "a", "value": {"points": points.tolist()}, **size},
        {"id": "a", "value": {"choices": ["good"]}, **size},
        {"id": "b", "value": {**box, "rotation": 0}, **size},
        {"id": "c", "value": {"rle": encode(masks[2])}, **size},
    ]
    task = {
        "data": {"image": "/data/upload/1/0123abcd-x.jpg"},
        "annotations": [{"was_cancelled": True, "result": []}, {"result": regions}],
    }
    (tmp_path / "tasks.json").write_text(json.dumps([task]))
    assert np.array_equal(list(read(tmp_path / "tasks.json").values()), masks)
    regions[3]["value"] = {"rle": encode(masks[2])[:-3]}
    assert "(a brush mask that is cut off is missing or wrong)" in wrong(tmp_path, [task])
    regions[3]["value"] = {"rle": [-1]}
    assert "isn't a whole file of masks" in wrong(tmp_path, [task])
    regions[3]["value"] = {"radiusX": 1}
    assert "keep polygons, brush strokes and upright rectangles only" in wrong(tmp_path, [task])


def test_brush_masks_that_were_packed_value_by_value() -> None:
    """As other writers do: runs of 0 and 255 between values that stand for themselves."""
    values = np.array([0, 0, 0, 255, 9, 9, 9, 0, 1, 1, 1, 7, 0, 0, 0, 0])  # four pixels of RGBA
    head = f"{16:032b}{7:05b}" + "".join(f"{width - 1:04b}" for width in (3, 4, 8, 16))
    text = head + "0" + "01" + f"{11:04b}" + "".join(f"{v:08b}" for v in values[:12])
    text += "1" + "00" + f"{3:03b}" + f"{0:08b}"
    packed = [int(text[i : i + 8].ljust(8, "0"), 2) for i in range(0, len(text), 8)]
    assert brush_decode(packed, (2, 2)).tolist() == [[True, False], [True, False]]
    with pytest.raises(ValueError, match="another size"):
        brush_decode(packed, (2, 3))


# ---- mistakes


def wrong(tmp_path: Path, content: Any, image: str = "x.jpg") -> str:
    """What is said of a file, without its folder."""
    path = tmp_path / "m.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ZeroguideError) as caught:
        read(path, image)
    return str(caught.value).removeprefix(f"{tmp_path}/")


def test_mistakes_are_said_in_a_sentence(masks: np.ndarray, tmp_path: Path) -> None:
    said = wrong(tmp_path, "[1, ")
    assert said.startswith("m.json: can't be read as JSON (")
    assert "can't be read as JSON" not in wrong(tmp_path, [1, 2]) and said.endswith("take it away.")
    assert wrong(tmp_path, {"a": 1}).startswith("m.json: has no masks that can be read; give JSON")
    assert wrong(tmp_path, [{"area": 3}]) == (
        "m.json: isn't a whole file of masks ('segmentation' is missing or wrong); write it again."
    )
    assert wrong(tmp_path, sam(masks[:, 1:])) == (
        "m.json: mask 1 is 60 x 39 pixels, not 60 x 40; write it again."
    )
    assert wrong(tmp_path, coco(masks, height=80, width=60)) == (
        "m.json: its masks are for 60 x 80 pixels, but the image is 60 x 40; make masks of this "
        "very image."
    )
    assert wrong(tmp_path, []) == "m.json: has no masks of this image; 1 to 4096 can be named."
    assert wrong(tmp_path, sam(masks[2:]) * (MOST + 1)) == (
        "m.json: has 4097 masks of this image; 1 to 4096 can be named."
    )
    assert wrong(tmp_path, sam(np.stack([masks[0], masks[0] & False]))) == (
        "m.json: mask 2 is empty; leave it out."
    )
    assert "mask 1 has no polygon of three corners" in wrong(
        tmp_path, [{"segmentation": [[1, 2, 3, 4]]}]
    )
    assert "far outside of the picture" in wrong(
        tmp_path, [{"segmentation": [[1e9, 2, 3, 4, 5, 6]]}]
    )
    assert "the kind 'circle'" in wrong(
        tmp_path, {"shapes": [{"shape_type": "circle", "points": []}]}
    )


def test_masks_that_belong_to_no_image(masks: np.ndarray, tmp_path: Path) -> None:
    assert wrong(tmp_path, coco(masks), "y.jpg") == (
        "m.json: has masks of none of the images, but of a/x; masks are found by the image's file "
        "name."
    )
    with pytest.raises(UsageError, match="has masks of none of the images, but of m"):
        MaskFiles(tmp_path, [Path("x.jpg")])
    with pytest.raises(UsageError, match=r"no such file or folder; name the masks with --masks"):
        MaskFiles(tmp_path / "gone", [Path("x.jpg")])
    (tmp_path / "m.json").write_text(json.dumps(sam(masks)))
    with pytest.raises(UsageError, match="holds the masks of one image, but there are 2"):
        MaskFiles(tmp_path / "m.json", [Path("x.jpg"), Path("y.jpg")])
    (tmp_path / "m.jpg.json").write_text("[]")
    with pytest.raises(UsageError, match=r"is a second file of masks for m, beside m\.jpg\.json"):
        MaskFiles(tmp_path, [Path("m.jpg")])


@pytest.mark.parametrize("name, content", [("m.pth", b"x"), ("m.txt", b"\xff"), ("m.png", b"x")])
def test_other_files(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=rf"/{name}: is"):
        MaskFiles(tmp_path / name, [Path("x.jpg")])


def test_boxes_are_no_masks(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    with pytest.raises(ZeroguideError, match="line 1 is a box, not a polygon"):
        read(tmp_path)


# ---- naming


def test_atoms_give_the_masks_back() -> None:
    random = np.random.default_rng(0)
    masks = random.random((70, 12, 9)) < 0.3  # more than fit into one number
    masks[:, 0, 0] = False
    regions = regions_of(np.zeros((12, 9, 3), np.uint8), iter(masks))
    assert np.array_equal([region.mask for region in regions], masks)
    parts = {part for region in regions for part in region.parts}
    assert regions[0].image.label_map[0, 0] not in parts


def test_names_are_those_of_labelling(labeler: Labeler) -> None:
    """Segments of a labeling, given as masks in their order, to the last bit."""
    image = open_image(PHOTO)
    described = labeler.describe([image])[0]
    label_map = region_map([segment.region for segment in described])
    masks = label_map == np.arange(len(described))[:, None, None]
    again = labeler.name(regions_of(image.pixels, masks))
    for one, other in zip(described, again, strict=True):
        assert np.array_equal(one.embedding, other.embedding)
        assert one.labels == other.labels
    labeling = labeler.label(image)
    ids = [labeling.label_map[mask][0] for mask in masks]
    for segment, id in zip(labeler.name_masks(image, masks), ids, strict=True):
        expected = labeling.segments[id - 1]
        assert (segment.label, segment.score, segment.alternatives) == (
            expected.label, expected.score, expected.alternatives
        )  # fmt: skip
        assert segment.confidence == pytest.approx(expected.confidence, abs=1e-6)
        assert (segment.bbox, segment.area) == (expected.bbox, expected.area)


def test_overlapping_masks_change_each_other_by_rounding_only(labeler: Labeler) -> None:
    pixels = open_image(PHOTO).pixels
    masks = np.zeros((4, *pixels.shape[:2]), bool)
    masks[0, :300], masks[1, 100:400, 50:300], masks[2, 200:], masks[3] = True, True, True, True
    together = labeler.name(regions_of(pixels, masks))
    for mask, named in zip(masks, together, strict=True):
        (alone,) = labeler.name(regions_of(pixels, [mask]))
        assert np.allclose(alone.embedding, named.embedding, atol=1e-4)
        assert alone.labels[0].text == named.labels[0].text


def test_name_masks_says_what_is_wrong(labeler: Labeler) -> None:
    pixels = np.zeros((20, 30, 3), np.uint8)
    full = np.ones((20, 30), bool)
    assert labeler.name_masks(pixels, np.zeros((0, 20, 30), bool)) == []
    with pytest.raises(ZeroguideError, match="mask 2 is empty; leave it out"):
        labeler.name_masks(pixels, [full, ~full])
    with pytest.raises(ZeroguideError, match="mask 1 is 29 x 20 pixels, but the image is"):
        labeler.name_masks(pixels, [full[:, 1:]])
    with pytest.raises(ZeroguideError, match=r"mask 1 has the shape \(20, 30\) and the type"):
        labeler.name_masks(pixels, [full.astype(np.uint8)])


# ---- the command


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture, masks: np.ndarray) -> None:
    pictures, out = tmp_path / "in", tmp_path / "out"
    drawn = pictures / "masks"  # what lies in there is no image to name
    for name, content in (("x", sam(masks)), ("z", sam(masks[:, 1:]))):
        drawn.mkdir(parents=True, exist_ok=True)
        (drawn / f"{name}.json").write_text(json.dumps(content))
        PIL.Image.new("RGB", (WIDTH, HEIGHT), (30, 90, 160)).save(pictures / f"{name}.png")
    PIL.Image.fromarray(masks[0].astype(np.uint8)).save(drawn / "y.png")
    for name in ("w", "y"):
        PIL.Image.new("RGB", (WIDTH, HEIGHT)).save(pictures / f"{name}.png")
    arguments = ["name", str(pictures), "--masks", str(drawn), "--preset", "tiny", "-o", str(out)]
    assert main(arguments) == 3
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [(Path(row[0]).name, row[1]) for row in rows] == [
        ("x.png", "1"), ("x.png", "2"), ("x.png", "3"), ("y.png", "1")
    ]  # fmt: skip
    document = json.loads((out / "x.png.names.json").read_text())
    assert document["schema"] == "zeroguide-names/1" and document["recipe"]["name"] == "tiny"
    assert document["image"]["file_name"] == "x.png"
    first = document["masks"][0]
    assert list(first) == [
        "id", "label", "score", "confidence", "alternatives", "bbox", "area", "composed",
        "segmentation",
    ]  # fmt: skip
    assert (first["id"], first["bbox"], first["area"]) == (1, [5, 5, 25, 25], 625)
    assert PIL.Image.open(out / "x.png.png").width == 640
    failures = [json.loads(line) for line in (out / "failures.jsonl").read_text().splitlines()]
    assert [Path(line["file"]).name for line in failures] == ["w.png", "z.png"]
    assert "has no masks in" in failures[0]["error"] and "z.json: mask 1" in failures[1]["error"]
    # What it writes it reads.
    found = read(out / "x.png.names.json")
    assert np.array_equal(list(found.values()), masks)


def test_mistakes_in_the_arguments_are_usage_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["name", str(PHOTO), "--preset", "tiny"]) == 2
    assert "--masks" in capsys.readouterr().err
    assert main(["name", str(PHOTO), "--masks", str(tmp_path / "no"), "--preset", "tiny"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
