"""The page's parts that need neither a browser nor models."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import time
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from zeroguide.errors import ImageError, UsageError, ZeroguideError
from zeroguide.image import Image, from_array
from zeroguide.recipe import Merge, load_recipe
from zeroguide.result import Labeling
from zeroguide.web.downloads import download
from zeroguide.web.editing import Editor, Naming, TextTable
from zeroguide.web.examples import find_examples
from zeroguide.web.loading import LazyNamer
from zeroguide.web.sessions import Sessions
from zeroguide.web.uploads import MAX_BYTES, read_photo
from zeroguide.web.view import MAP_SIDE, View
from zeroguide.web.work import Work


def make_editor(label_map: np.ndarray, name: str = "photo.jpg") -> Editor:
    """Every over-segment is called by its number and looks like nothing else."""
    n = int(label_map.max()) + 1
    axes = np.eye(max(n, 2), dtype=np.float32)
    texts = {f"thing {i}": axes[i] for i in range(n)}
    pixels = np.full((*label_map.shape, 3), 99, np.uint8)
    return Editor(
        from_array(pixels, name),
        label_map,
        named={(i,): Naming(((f"thing {i}", 0.5),), axes[i], 0.25) for i in range(n)},
        texts=TextTable(texts, texts, axes, 0.0, 1.0),
        merge=Merge(),
        provenance={"name": "test"},
    )


QUARTERS = np.kron(np.arange(4, dtype=np.int32).reshape(2, 2), np.ones((20, 30), np.int32))


def png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    PIL.Image.new("L", (width, height)).save(file, "PNG")
    return file.getvalue()


def noise() -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    PIL.Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


NOISE = noise()

# Photos


def test_photos_are_read_within_limits() -> None:
    assert read_photo(png(7, 5), "a.png").pixels.shape == (5, 7, 3)
    with pytest.raises(ImageError, match=r"big\.png: 6000 x 5000 pixels are more than the 25 mill"):
        read_photo(png(6000, 5000), "big.png")
    with pytest.raises(ImageError, match=r"heavy\.png: has 20\.1 MB, this page takes 20;"):
        read_photo(b"\0" * (MAX_BYTES + 1), "heavy.png")


@pytest.mark.parametrize("content", [b"", b"hello", NOISE[:2000], b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_photo_is_refused_in_a_sentence(content: bytes) -> None:
    with pytest.raises(ImageError, match=r"^x\.png: ") as caught:
        read_photo(content, "x.png")
    assert "\n" not in str(caught.value)


def test_examples_are_what_the_models_know() -> None:
    scenes = find_examples(load_recipe("tiny"))
    assert len(scenes) == 4 and all(e.path.suffix == ".png" for e in scenes)
    assert [e.name for e in find_examples(load_recipe("fast"))] == ["china", "flower"]
    assert all(e.path.is_file() for e in find_examples(load_recipe("fast")))


# Sessions


def test_sessions_are_apart_and_end() -> None:
    sessions = Sessions()
    one, two = sessions.get("one"), sessions.get("two")
    assert one is sessions.get("one") and one is not two
    sessions.end("one")
    sessions.end("one")
    assert len(sessions) == 1 and sessions.get("one") is not one


def test_the_idlest_session_makes_room() -> None:
    sessions = Sessions(most=2)
    first, second = sessions.get("1"), sessions.get("2")
    assert sessions.get("1") is first  # 2 is now the idlest
    sessions.get("3")
    assert sessions.get("1") is first and sessions.get("2") is not second


def test_idle_sessions_are_forgotten() -> None:
    now = [0.0]
    sessions = Sessions(idle=60, clock=lambda: now[0])
    sessions.get("old")
    now[0] = 50
    sessions.get("young")
    now[0] = 100
    sessions.forget_idle()
    assert len(sessions) == 1
    with pytest.raises(UsageError, match="no picture"), sessions.editing("old"):
        pass
    with pytest.raises(UsageError, match="no picture"), sessions.editing("young"):
        pass  # nothing was labelled


# What the page draws


def corners(path: str) -> list[np.ndarray]:
    rings = [part for part in path.split("M") if part]
    return [np.array(re.findall(r"(\S+) (\S+?)(?:L|Z)", ring), float) for ring in rings]


def area(ring: np.ndarray) -> float:
    x, y = ring.T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2


def test_outlines_lie_on_the_segments_borders() -> None:
    editor = make_editor(QUARTERS)
    scene = View(editor).scene(editor)
    assert scene["box"] == [60, 40] and scene["size"] == [60, 40]
    first = scene["over"][0]
    (ring,) = corners(first["path"])
    assert area(ring) == 30 * 20 - 4 * 0.125  # the four corners are cut
    assert ring.min(axis=0).tolist() == [0, 0] and ring.max(axis=0).tolist() == [30, 20]
    assert [s["place"][:2] for s in scene["over"]] == [
        [pytest.approx(x, abs=6), pytest.approx(y, abs=2)]
        for x, y in ((15, 10), (45, 10), (15, 30), (45, 30))
    ]
    assert first["place"][2] == pytest.approx(10, abs=1)  # half its height


def test_stairs_become_a_slant_and_holes_stay() -> None:
    stairs = np.tri(6, dtype=np.int32)
    path = View(editor := make_editor(stairs)).scene(editor)["over"][1]["path"]
    slant = [tuple(p) for p in corners(path)[0] if 0 < p[0] - p[1] + 0 <= 1 and 0 < p[1] < 6]
    assert all(abs(x - y) <= 1 for x, y in slant) and len(slant) >= 5
    holed = np.zeros((9, 9), np.int32)
    holed[3:6, 3:6] = 1
    outer, hole = corners(View(editor := make_editor(holed)).scene(editor)["over"][0]["path"])
    assert area(outer) > 0 > area(hole)


def test_large_pictures_are_drawn_small() -> None:
    editor = make_editor(np.kron(QUARTERS, np.ones((40, 40), np.int32)))
    scene = View(editor).scene(editor)
    assert max(scene["box"]) == MAP_SIDE and scene["size"] == [2400, 1600]
    head, content = scene["src"].split(",")
    assert head == "data:image/jpeg;base64"
    with PIL.Image.open(io.BytesIO(base64.b64decode(content))) as picture:
        assert picture.size == (1280, 853)


def test_a_segment_too_small_to_draw_has_no_place() -> None:
    label_map = np.zeros((2000, 2000), np.int32)
    label_map[1, 0] = 1
    editor = make_editor(label_map)
    tiny = View(editor).scene(editor)["over"][1]
    assert (tiny["path"], tiny["place"]) == ("", None)
    json.dumps(View(editor).state(editor), allow_nan=False)


def test_the_state_follows_the_editor() -> None:
    editor = make_editor(QUARTERS)
    view = View(editor)
    before = view.state(editor)
    assert [s["share"] for s in before["segments"]] == [0.25] * 4 and not before["undo"]
    editor.rename(3, "mine")
    editor.join([3, 0])
    after = view.state(editor)
    assert after["undo"] and [s["parts"] for s in after["segments"]] == [[0, 3], [1], [2]]
    joined = after["segments"][0]
    assert (joined["label"], joined["source"], joined["share"]) == ("mine", "hand", 0.5)
    assert joined["colour"] == before["segments"][0]["colour"]  # of its largest part
    assert len(corners(joined["path"])) == 2  # they touch at a corner only


# Downloads


def test_downloads_are_what_the_formats_say() -> None:
    editor = make_editor(QUARTERS, "my photo.jpg")
    editor.rename(0, "größer <b>")
    result = download(editor, "json")
    assert (result.name, result.media_type) == ("my photo.jpg.json", "application/json")
    labeling = Labeling.from_dict(json.loads(result.content))
    assert np.array_equal(labeling.label_map, editor.labeling().label_map)
    assert {s.label for s in labeling.segments} == {"größer <b>", "thing 1", "thing 2", "thing 3"}

    coco = download(editor, "coco")
    content = json.loads(coco.content)
    assert coco.name == "my photo.coco.json"
    assert content["images"] == [{"id": 1, "file_name": "my photo.jpg", "width": 60, "height": 40}]
    assert sorted(a["area"] for a in content["annotations"]) == [600] * 4

    overlay = download(editor, "overlay")
    assert (overlay.name, overlay.media_type) == ("my photo.labels.png", "image/png")
    with PIL.Image.open(io.BytesIO(overlay.content)) as picture:
        assert picture.format == "PNG" and picture.width >= 640
    card = download(editor, "card")
    assert (card.name, card.media_type) == ("my photo.names.png", "image/png")
    page = download(editor, "page")
    assert (page.name, page.media_type) == ("my photo.names.html", "text/html")
    assert "größer &lt;b&gt;" in page.content.decode() and b"named by hand" in page.content
    told = overlay.to_dict()
    assert base64.b64decode(told["content"]) == overlay.content
    with pytest.raises(UsageError, match="'exe'"):
        download(editor, "exe")


# What a session may ask for


class StubNamer:
    """Two over-segments, one if asked for the coarsest; fails for a picture of that name."""

    granularity: float | None = 0.5

    def open(self, image: Image, stage: object, granularity: float | None) -> Editor:
        if image.file_name == "bad":
            raise ZeroguideError("bad: can't be named")
        stage("segments")  # type: ignore[operator]
        label_map = np.zeros(image.pixels.shape[:2], np.int32)
        if granularity != 0:
            label_map[:, 1:] = 1
        return make_editor(label_map)


@pytest.fixture()
def work() -> Work:
    namer = LazyNamer(StubNamer)  # type: ignore[arg-type]
    namer.start()
    return Work(namer, Sessions())


def picture(name: str = "a") -> Image:
    return from_array(np.zeros((4, 6, 3), np.uint8), name)


def test_a_picture_is_cut_anew(work: Work) -> None:
    work.label("key", picture())
    assert work.scene("key")["granularity"] == (0.5, 0.5)
    assert len(work.labels("key")["segments"]) == 2
    assert work.put_again("key", 0).file_name == "photo.jpg"  # make_editor's
    assert list(work.run("key")) == ["models", "segments"]
    assert work.scene("key")["granularity"] == (0, 0.5)
    assert len(work.labels("key")["segments"]) == 1
    work.edit("key", {"action": "threshold", "value": 0.9})
    work.put_again("key", 1)
    list(work.run("key"))
    assert work.state("key")["threshold"] == 0.9  # the page's other slider stays where it is
    for wrong in (-0.1, 1.1, float("nan"), 10**400, "0.5", True, None):
        with pytest.raises(UsageError, match="out of range"):
            work.put_again("key", wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no picture"):
        work.put_again("other", 0.5)


def test_a_picture_is_labelled_once(work: Work) -> None:
    work.put("key", picture())
    assert list(work.run("key")) == ["models", "segments"]
    assert len(work.labels("key")["segments"]) == 2
    assert list(work.run("key")) == []  # nothing waits any more
    with pytest.raises(UsageError, match="no picture"):
        work.labels("other")


def test_a_failure_reaches_who_asked(work: Work) -> None:
    work.put("key", picture("bad"))
    with pytest.raises(ZeroguideError, match="can't be named"):
        list(work.run("key"))
    work.put("key", picture())
    assert list(work.run("key"))[-1] == "segments"


def test_models_that_cannot_be_loaded() -> None:
    def load() -> StubNamer:
        raise ZeroguideError("no weights")

    namer = LazyNamer(load)  # type: ignore[arg-type]
    assert not namer.wait(0)
    namer.start()
    assert namer.wait(10)
    assert str(namer.error) == "no weights"
    with pytest.raises(UsageError, match="could not be loaded"):
        namer.get()


def test_edits(work: Work) -> None:
    work.label("key", picture())
    work.edit("key", {"action": "rename", "part": 0, "label": "left"})
    work.edit("key", {"action": "threshold", "value": 1})
    assert [s["label"] for s in work.state("key")["segments"]] == ["thing 1", "left"]
    work.edit("key", {"action": "join", "parts": [0, 1]})
    assert [s["label"] for s in work.state("key")["segments"]] == ["left"]
    work.edit("key", {"action": "undo"})
    assert len(work.scene("key")["over"]) == len(work.state("key")["segments"]) == 2


@pytest.mark.parametrize(
    "action",
    [
        {},
        {"action": "delete"},
        {"action": "rename", "part": "0", "label": "x"},
        {"action": "rename", "part": 0, "label": ["x"]},
        {"action": "rename", "part": -1, "label": "x"},
        {"action": "rename", "part": 2, "label": "x"},
        {"action": "join", "parts": [0, "1"]},
        {"action": "join", "parts": []},
        {"action": "threshold", "value": "0.5"},
        {"action": "threshold", "value": 5.0},
        {"action": "threshold", "value": -1.01},
        {"action": "threshold", "value": float("nan")},
    ],
)
def test_what_cannot_be_done_is_refused(work: Work, action: dict) -> None:
    work.label("key", picture())
    before = work.state("key")
    with pytest.raises(UsageError):
        work.edit("key", action)
    assert work.state("key") == before


def test_a_threshold_beyond_similarities_is_the_recipes_only(work: Work) -> None:
    work.label("key", picture())
    with pytest.raises(UsageError, match=r"^the threshold 5 is no similarity: these are from -1 "):
        work.edit("key", {"action": "threshold", "value": 5})
    with work.sessions.editing("key") as (_, view):
        view.threshold = 2.0  # a recipe that joins nothing
    work.edit("key", {"action": "threshold", "value": 0.5})
    work.edit("key", {"action": "threshold", "value": 2.0})
    assert work.state("key")["threshold"] == work.scene("key")["threshold"] == 2.0


def test_old_uploads_are_deleted(tmp_path: Path) -> None:
    from zeroguide.web.server import delete_older

    for name in ("old/a.png", "young/b.png", "old/deep/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    hour_ago = time.time() - 3600
    for path in sorted((tmp_path / "old").rglob("*"), reverse=True):
        os.utime(path, (hour_ago, hour_ago))
    os.utime(tmp_path / "old", (hour_ago, hour_ago))
    delete_older(tmp_path, time.time() - 600)
    left = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file())
    assert left == ["young/b.png"]
