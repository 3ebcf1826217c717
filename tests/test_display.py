"""What a Labeling can do in a notebook: HTML, table, crops, COCO, its picture; many in a row."""

from __future__ import annotations

import base64
import io
import itertools
import json
import re
import sys
import types
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import fake_labeler
import numpy as np
import PIL.Image
import PIL.ImageShow
import pytest
import torch
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

import zeroguide
from zeroguide.errors import ImageError, UsageError, ZeroguideError
from zeroguide.image import from_array, open_image, to_image
from zeroguide.labeler import Labeler
from zeroguide.recipe import load_recipe
from zeroguide.result import Label, Labeling
from zeroguide.result.display import SIDE
from zeroguide.result.entry import Entry
from zeroguide.result.formats import coco
from zeroguide.result.formats.base import Run
from zeroguide.result.overlay import segment_colours

NASTY = "<script>alert(\"x\")</script> & 'more'"


def ring(height: int = 90, width: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Pixels, and a label map: ground 0, a ring 1 around a disc 2, a stripe 3 at the side."""
    y, x = np.mgrid[:height, :width]
    radius = np.hypot(y - height / 2, x - width / 2) / height
    label_map = np.select([radius < 0.15, radius < 0.35, x >= width - 12], [2, 1, 3], 0)
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return pixels, label_map


def labelled(pixels: np.ndarray, label_map: np.ndarray, *, name: str = "a.png") -> Labeling:
    names = ["grass", NASTY, "egg yolk", "grass"]
    labels = [
        Label(each, 0.25, 0.97, [("clover", 0.125), ("a < b", 0.0625)], [i])
        for i, each in enumerate(names[: label_map.max() + 1])
    ]
    return Labeling.build(from_array(pixels, name), label_map, labels, {"name": "test"})


@pytest.fixture
def labeling() -> Labeling:
    pixels, label_map = ring()
    return replace(labelled(pixels, label_map), picture=pixels)


class Page(HTMLParser):
    """Elements with their attributes; fails if tags aren't closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attributes}))
        if tag not in ("img", "area"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.found if name == tag]

    def picture(self) -> PIL.Image.Image:
        (image,) = self.all("img")
        data = base64.b64decode(image["src"].partition(",")[2], validate=True)
        picture = PIL.Image.open(io.BytesIO(data))
        assert image["src"].startswith(f"data:image/{str(picture.format).lower()};base64,")
        assert picture.size == (int(image["width"]), int(image["height"]))
        return picture


def inside(polygon: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The even-odd rule, side by side."""
    found = np.zeros(x.shape, bool)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if y0 != y1:
            crosses = (y0 > y) != (y1 > y)
            found ^= crosses & (x < x0 + (y - y0) / (y1 - y0) * (x1 - x0))
    return found


def test_repr_is_one_line(labeling: Labeling) -> None:
    again = replace(
        labeling, segments=(replace(labeling.segments[0], label="a\nb"), *labeling.segments[1:])
    )
    text = repr(again)
    assert text.startswith("<Labeling of a.png, 120 x 90: a b 6")
    assert text.endswith(" and 1 more>")
    assert "\n" not in text


def test_html_is_self_contained_and_escaped(labeling: Labeling) -> None:
    text = labeling._repr_html_()
    page = Page(text)
    assert "<script" not in text and "http" not in text and "onload" not in text
    assert NASTY in page.text  # as text, not as a tag
    assert all(
        tag in ("div", "img", "map", "area", "b", "table", "tr", "th", "td", "span")
        for tag, _ in page.found
    )
    picture = page.picture()
    assert picture.format == "JPEG" and max(picture.size) == SIDE
    rows = [attributes["style"] for attributes in page.all("span")]
    colours = segment_colours(labeling)
    assert [style.rpartition("#")[2] for style in rows] == [
        bytes(colours[s.id]).hex() for s in labeling.segments
    ]
    assert "97 %" in page.text


def test_titles_are_where_the_segments_are(labeling: Labeling) -> None:
    page = Page(labeling._repr_html_())
    (image,) = page.all("img")
    assert image["usemap"] == "#" + page.all("map")[0]["name"]
    size = (int(image["width"]), int(image["height"]))
    scale = np.array(size) / (labeling.width, labeling.height)
    y, x = np.mgrid[: labeling.height, : labeling.width]
    seen = np.full(labeling.label_map.shape, "", object)
    for area in reversed(page.all("area")):  # where two overlap, the first one counts
        polygon = np.array(area["coords"].split(","), float).reshape(-1, 2)
        seen[inside(polygon, (x + 0.5) * scale[0], (y + 0.5) * scale[1])] = area["title"]
    for segment in labeling.segments:
        titles = seen[labeling.mask(segment.id)]
        right = [title.startswith(segment.label + "\nconfidence 97 %") for title in titles]
        assert np.mean(right) > 0.97, segment.label
        assert "or: clover, a < b" in titles[len(titles) // 2]


def test_large_pictures_become_small() -> None:
    pixels, label_map = ring(300, 1800)
    page = Page(replace(labelled(pixels, label_map), picture=pixels)._repr_html_())
    assert page.picture().size == (640, 107)


def test_without_picture_the_segments_are_shown_flat(labeling: Labeling) -> None:
    unknown = replace(labeling, picture=None)
    page = Page(unknown._repr_html_())
    picture = page.picture().convert("RGB")
    assert picture.format is None and picture.size == (640, 480)
    found = {colour for _, colour in picture.getcolors() or []}
    assert found == {tuple(c) for c in segment_colours(labeling)[1:].tolist()}
    assert any("with_image" in text for text in page.text)
    gone = replace(labeling, picture=Path("/nowhere/gone.png"))
    assert any("no such file" in text for text in Page(gone._repr_html_()).text)


def test_many_segments_are_counted() -> None:
    label_map = np.arange(60 * 60).reshape(60, 60) // 60
    pixels = np.zeros((60, 60, 3), np.uint8)
    labels = [Label(f"row {i}", 0.0, 0.5, [], [i]) for i in range(60)]
    many = Labeling.build(from_array(pixels), label_map, labels, {})
    assert "and 20 smaller" in Page(many._repr_html_()).text
    assert len(many.table()) == 60


def test_two_pictures_of_a_page_have_maps_of_their_own(labeling: Labeling) -> None:
    pixels, label_map = ring()
    other = labelled(pixels[:, ::-1], label_map[:, ::-1])
    names = {Page(each._repr_html_()).all("map")[0]["name"] for each in (labeling, other)}
    assert len(names) == 2
    assert labeling._repr_html_() == labeling._repr_html_()


def test_table(labeling: Labeling, monkeypatch: pytest.MonkeyPatch) -> None:
    pandas = pytest.importorskip("pandas")
    frame = labeling.table()
    assert isinstance(frame, pandas.DataFrame)
    assert frame.index.tolist() == [1, 2, 3, 4]
    assert frame["share"].sum() == pytest.approx(1)
    assert frame.loc[1, "area"] == labeling.mask(1).sum()
    monkeypatch.setitem(sys.modules, "pandas", None)  # as if it weren't installed
    rows = labeling.table()
    assert json.loads(json.dumps(rows)) == [{**row, "bbox": list(row["bbox"])} for row in rows]
    assert rows[1] == {
        "id": 2, "label": NASTY, "confidence": 0.97, "score": 0.25,
        "share": labeling.mask(2).mean(), "area": int(labeling.mask(2).sum()),
        "bbox": labeling.segments[1].bbox, "alternatives": "clover, a < b", "composed": False,
    }  # fmt: skip


def test_crop_is_the_segment_on_nothing(labeling: Labeling) -> None:
    whole = np.zeros((labeling.height, labeling.width), int)
    for segment in labeling.segments:
        rgba = np.asarray(labeling.crop(segment.id))
        x, y, width, height = segment.bbox
        assert rgba.shape == (height, width, 4)
        assert (rgba[..., :3] == labeling.pixels[y : y + height, x : x + width]).all()
        assert set(np.unique(rgba[..., 3])) <= {0, 255}
        whole[y : y + height, x : x + width] += rgba[..., 3] // 255
    assert (whole == 1).all()  # every pixel in exactly one crop
    with pytest.raises(UsageError, match="ids are 1 to 4"):
        labeling.crop(0)


def test_coco_is_what_the_export_writes(labeling: Labeling, tmp_path: Path) -> None:
    made = labeling.to_coco()
    api = COCO()
    api.dataset = json.loads(json.dumps(made))
    api.createIndex()
    names = {c["id"]: c["name"] for c in api.loadCats(api.getCatIds())}
    assert sorted(names.values()) == sorted({s.label for s in labeling.segments})
    for segment in labeling.segments:
        (annotation,) = api.loadAnns([segment.id])
        assert names[annotation["category_id"]] == segment.label
        decoded = coco_mask.decode(annotation["segmentation"]).astype(bool)
        assert (decoded == labeling.mask(segment.id)).all()

    class One:
        def __iter__(self):
            return iter([Entry("a.png", labeling, None)])

        def keys(self):
            return ["a.png"]

    coco.write(Run(One()), tmp_path)
    assert json.loads((tmp_path / "instances.json").read_text()) == made


def test_json_knows_nothing_of_the_picture(labeling: Labeling, tmp_path: Path) -> None:
    assert labeling.to_dict() == replace(labeling, picture=None).to_dict()
    labeling.save(tmp_path / "a.json")
    loaded = Labeling.load(tmp_path / "a.json")
    assert loaded.picture is None
    assert loaded.to_dict() == labeling.to_dict()
    with pytest.raises(ZeroguideError, match=r"a\.png: .* labeling\.with_image"):
        loaded.crop(1)
    known = loaded.with_image(labeling.pixels)
    assert loaded.picture is None and (known.pixels == labeling.pixels).all()
    with pytest.raises(ZeroguideError, match="has 120 x 90 pixels, not 120 x 89"):
        loaded.with_image(labeling.pixels[1:])
    with pytest.raises(ImageError, match="no such file"):
        loaded.with_image(tmp_path / "gone.png")


def test_files_are_known_by_their_bytes(tmp_path: Path) -> None:
    pixels, label_map = ring()
    photo = tmp_path / "a.png"
    PIL.Image.fromarray(pixels).save(photo)
    image = open_image(photo)
    labels = [Label(str(i), 0.0, 0.5, [], [i]) for i in range(4)]
    labeling = Labeling.build(image, label_map, labels, {})
    (tmp_path / "labels").mkdir()
    for result in (tmp_path / "a.png.json", tmp_path / "labels" / "a.png.json"):
        labeling.save(result)
        found = Labeling.load(result)
        assert found.picture == photo and (found.pixels == pixels).all()
        for name in ("a.png", "A.PNG" if (tmp_path / "A.PNG").exists() else "./a.png"):
            with pytest.raises(UsageError, match="is the picture that was labelled"):
                found.save(tmp_path / name)
    assert open_image(photo).sha256 == image.sha256  # still there
    copy = tmp_path / "copy.png"
    copy.write_bytes(photo.read_bytes())
    assert labeling.with_image(copy).picture == copy
    PIL.Image.fromarray(255 - pixels).save(photo)
    with pytest.raises(ZeroguideError, match="has changed since"):
        found.overlay()
    with pytest.raises(ZeroguideError, match=r"a\.png: isn't the file that was labelled"):
        labeling.with_image(photo)
    # As pixels, it is the caller's word that counts.
    assert (labeling.with_image(PIL.Image.open(photo)).pixels == 255 - pixels).all()


@pytest.mark.parametrize(
    ("name", "kind"), [("o.png", "PNG"), ("o.JPG", "JPEG"), ("o.webp", "WEBP")]
)
def test_save_writes_the_overlay(labeling: Labeling, tmp_path: Path, name: str, kind: str) -> None:
    labeling.save(tmp_path / name)
    with PIL.Image.open(tmp_path / name) as picture:
        assert picture.format == kind
        difference = np.asarray(picture.convert("RGB"), int) - np.asarray(labeling.overlay(), int)
    assert np.abs(difference).mean() < 12
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with pytest.raises(ZeroguideError, match="can't be written"):
        labeling.save(tmp_path / "no" / "such" / name)


def test_save_takes_known_endings_only(labeling: Labeling, tmp_path: Path) -> None:
    for name in ("x.bmp", "x.tiff", "x.csv", "x"):
        with pytest.raises(UsageError, match=r"neither in \.json or \.html nor like a picture"):
            labeling.save(tmp_path / name)
    assert not any(tmp_path.iterdir())


def test_show(labeling: Labeling, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[str, object]] = []
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(ZeroguideError, match="no screen or no viewer"):
        labeling.show()
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(PIL.ImageShow, "show", lambda picture: False)
    with pytest.raises(ZeroguideError, match="no screen or no viewer"):
        labeling.show()

    def window(picture: PIL.Image.Image) -> bool:
        shown.append(("window", picture))
        return True

    monkeypatch.setattr(PIL.ImageShow, "show", window)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: None))
    labeling.show()
    shell = types.SimpleNamespace(kernel=object())
    notebook = types.ModuleType("IPython")
    notebook.get_ipython = lambda: shell  # type: ignore[attr-defined]
    display = types.ModuleType("IPython.display")
    display.display = lambda picture: shown.append(("cell", picture))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    labeling.show()
    assert [how for how, _ in shown] == ["window", "cell"]
    for _, picture in shown:
        assert isinstance(picture, PIL.Image.Image)
        assert np.array_equal(picture, labeling.overlay())


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "1", "P", "CMYK", "I;16", "F"])
def test_pillow_images_are_read_like_their_files(tmp_path: Path, mode: str) -> None:
    rng = np.random.default_rng(1)
    if mode == "I;16":
        image = PIL.Image.fromarray(rng.integers(0, 65536, (5, 7)).astype(np.uint16))
    elif mode == "F":
        image = PIL.Image.fromarray(rng.random((5, 7), np.float32))
    elif mode in ("RGBA", "CMYK"):
        image = PIL.Image.fromarray(rng.integers(0, 256, (5, 7, 4), np.uint8), mode="RGBA")
        image = image if mode == "RGBA" else image.convert("RGB").convert("CMYK")
    else:
        image = PIL.Image.fromarray(rng.integers(0, 256, (5, 7, 3), np.uint8)).convert(mode)
    path = tmp_path / "x.tif"
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    image.save(path, exif=exif, compression="tiff_adobe_deflate")  # else Pillow maps it unturned
    by_file = open_image(path)
    with PIL.Image.open(path) as opened:
        by_pillow = to_image(opened)
    assert by_file.pixels.shape == (7, 5, 3)
    assert np.array_equal(by_file.pixels, by_pillow.pixels)
    assert by_pillow.file_name == "x.tif"
    assert to_image(image).file_name == "image"  # it has no file


def test_bad_pillow_images_and_other_things(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    PIL.Image.fromarray(ring()[0]).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with PIL.Image.open(path) as late, pytest.raises(ImageError, match=r"cut\.png: is truncated"):
        to_image(late)
    with pytest.raises(ImageError, match="expected a file, a Pillow image or a numpy array"):
        to_image({"a": 1})  # type: ignore[arg-type]


class Stub(Labeler):
    """The real `label` and `label_many`, without networks."""

    def __init__(self) -> None:
        self.device = torch.device("cpu")
        self.recipe = load_recipe("tiny")
        self.sizes: list[int] = []

    def label_batch(self, images):
        self.sizes.append(len(images))
        if any(image.pixels.shape[0] == 13 for image in images):
            raise ZeroguideError("thirteen")
        return fake_labeler.FakeLabeler(self.recipe).label_batch(images)


def frames(heights: list[int]) -> list[np.ndarray]:
    return [np.full((height, 10, 3), height, np.uint8) for height in heights]


@pytest.mark.parametrize("batch_size", [None, 1, 2, 3])
def test_many_come_in_order(batch_size: int | None) -> None:
    heights = [30, 10, 20, 10, 30, 40, 5]
    stub = Stub()
    results = list(stub.label_many(frames(heights), batch_size=batch_size))
    assert [result.height for result in results] == heights
    assert all(result.picture is None for result in results)  # arrays aren't held
    assert max(stub.sizes) == min(batch_size or 1, 3)


def test_many_do_not_read_the_whole_stream() -> None:
    taken = itertools.count()

    def endless():
        while True:
            yield np.zeros((8 + next(taken) % 5, 9, 3), np.uint8)

    stream = Stub().label_many(endless(), batch_size=2)
    assert [next(stream).height for _ in range(5)] == [8, 9, 10, 11, 12]
    stream.close()  # type: ignore[attr-defined]
    assert next(taken) < 40


def test_a_bad_image_is_raised_or_told(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    PIL.Image.fromarray(ring()[0]).save(good)
    bad.write_bytes(b"no image")
    sources = [good, bad, frames([13])[0], frames([14])[0], str(good)]
    stream = Stub().label_many(sources, batch_size=4)
    assert next(stream).picture == good
    with pytest.raises(ImageError, match=r"bad\.png: is not an image"):
        next(stream)
    told: list[tuple[object, str]] = []
    results = list(
        Stub().label_many(
            iter(sources),
            batch_size=4,
            failed=lambda source, error: told.append((source, str(error))),
        )
    )
    assert [result.file_name for result in results] == ["good.png", "array", "good.png"]
    assert told[0][0] is bad and re.search("is not an image", told[0][1])
    assert told[1][0] is sources[2] and told[1][1] == "thirteen"
    assert len(told) == 2
    with pytest.raises(UsageError, match="batch size"):
        next(Stub().label_many(sources, batch_size=0))


def test_one_image_in_every_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = ring()[0]
    path = tmp_path / "photo.png"
    PIL.Image.fromarray(pixels).save(path)
    monkeypatch.chdir(tmp_path)
    labeler = Stub()
    by_path = labeler.label("photo.png")
    assert by_path.picture == path
    for source in (pixels, PIL.Image.open(path), from_array(pixels)):
        result = labeler.label(source)
        assert isinstance(result.picture, np.ndarray) and (result.pixels == pixels).all()
        assert np.array_equal(result.label_map, by_path.label_map)
    monkeypatch.setitem(sys.modules, "zeroguide.labeler", fake_labeler.module())
    assert zeroguide.label("photo.png", "tiny").picture == path
    by_array = zeroguide.label(PIL.Image.fromarray(pixels), "tiny")
    assert by_array.picture is None or (by_array.pixels == pixels).all()
