"""`zeroguide video`: frames of a clip, tracks with steady names, times, what can't be read."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import fake_labeler
import numpy as np
import pytest

from zeroguide.cli import main
from zeroguide.errors import ImageError, UsageError
from zeroguide.image.opening import from_array
from zeroguide.playroom.scene import render
from zeroguide.recipe import load_recipe
from zeroguide.result import Category, Label, Labeling
from zeroguide.runs.video.clip import Clip
from zeroguide.runs.video.tracks import Tracker, alikeness, links

av = pytest.importorskip("av", reason="needs PyAV")

HEIGHT, WIDTH = 64, 96


class FakeLabeler(fake_labeler.FakeLabeler):
    def label_many(self, images: Iterable[Any]) -> Iterator[Labeling]:
        return map(self.label, images)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeLabeler]:
    module = fake_labeler.module()
    module.Labeler = FakeLabeler  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "zeroguide.labeler", module)
    return FakeLabeler


def write(path: Path, frames: Sequence[np.ndarray], rate: int = 4, rotation: int = 0) -> Path:
    """A clip of these frames, (H, W, 3) uint8."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.gop_size, stream.bit_rate = "yuv420p", 1, 4_000_000
        if rotation:
            if not hasattr(stream, "set_display_rotation"):
                pytest.skip("this PyAV can't write a rotation")
            stream.set_display_rotation(rotation)
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def pan(n: int, step: int = 2) -> list[np.ndarray]:
    """A window of HEIGHT x WIDTH that moves over a scene of the Playroom."""
    pixels = render(7, 3, size=(HEIGHT, WIDTH + step * n)).pixels
    return [np.ascontiguousarray(pixels[:, i * step : i * step + WIDTH]) for i in range(n)]


def run(clip: Path, output: Path, *more: str) -> int:
    return main(["video", str(clip), "-o", str(output), "--preset", "tiny", "-q", *more])


def labelled(*segments: tuple[tuple[int, int], str, float, tuple[float, float]]) -> Labeling:
    """A frame of columns 0..19; a segment is (its columns, label, confidence, embedding)."""
    label_map = np.zeros((10, 20), int)
    labels = []
    for i, ((left, right), label, confidence, seen) in enumerate(segments):
        label_map[:, left:right] = i
        labels.append(Label(label, 0.0, confidence, (), (), np.array(seen)))
    image = from_array(np.zeros((10, 20, 3), np.uint8))
    return Labeling.build(image, label_map, labels, {})


CAT, RUG = (1.0, 0.0), (0.0, 1.0)


def test_a_segment_goes_on_where_it_overlaps_and_looks_alike() -> None:
    before = labelled(((0, 12), "cat", 0.9, CAT), ((12, 20), "rug", 0.9, RUG))
    moved = labelled(((0, 9), "cat", 0.9, CAT), ((9, 20), "rug", 0.9, RUG))
    assert links(before, moved) == {2: 1, 1: 2}  # ids go by area, which has changed
    assert alikeness(before, moved)[0, 1] == pytest.approx((9 / 12 + 1) / 2)


def test_neither_place_nor_look_alone_is_enough() -> None:
    before = labelled(((0, 9), "cat", 0.9, CAT), ((9, 20), "rug", 0.9, RUG))
    swapped = labelled(((0, 9), "rug", 0.9, RUG), ((9, 20), "cat", 0.9, CAT))
    assert links(before, swapped) == {}


def test_no_two_segments_go_on_from_one() -> None:
    before = labelled(((0, 20), "cat", 0.9, CAT))
    halved = labelled(((0, 12), "cat", 0.9, CAT), ((12, 20), "cat", 0.9, CAT))
    assert links(before, halved) == {1: 1}


def test_a_name_that_one_frame_says_otherwise_does_not_flicker() -> None:
    frames = [
        labelled(((0, 12), name, confidence, CAT), ((12, 20), "rug", 0.5, RUG))
        for name, confidence in (("cat", 0.5), ("dog", 0.8), ("cat", 0.4))
    ]
    tracker = Tracker()
    for frame in frames:
        tracker.add(frame)
    cat, rug = tracker.tracks
    assert (cat.label, rug.label) == ("cat", "rug")
    assert cat.confidence == pytest.approx((0.5 + 0.4) / 3)
    named = [tracker.named(place, frame) for place, frame in enumerate(frames)]
    assert [frame.segments[0].label for frame in named] == ["cat"] * 3
    assert [frame.segments[0].original for frame in named] == [None, "dog", None]


def test_a_class_does_not_flicker_either() -> None:
    tracker = Tracker()
    for name, probability in (("pet", 0.9), ("toy", 0.6), ("pet", 0.3)):
        image = from_array(np.zeros((10, 20, 3), np.uint8))
        label = Label(
            "cat", 0.0, 0.5, (), (), np.array(CAT), category=Category(1, name, probability)
        )
        tracker.add(Labeling.build(image, np.zeros((10, 20), int), [label], {}))
    assert tracker.tracks[0].category == Category(1, "pet", pytest.approx(0.4))


def test_a_thing_that_was_away_begins_a_new_track() -> None:
    both = labelled(((0, 12), "cat", 0.9, CAT), ((12, 20), "rug", 0.9, RUG))
    tracker = Tracker()
    for frame in (both, labelled(((0, 20), "rug", 0.9, RUG)), both):
        tracker.add(frame)
    found = [(track.label, [place for place, _ in track.parts]) for track in tracker.tracks]
    assert found == [("cat", [0]), ("rug", [0, 1, 2]), ("cat", [2])]


def test_every_nth_frame_with_its_time(tmp_path: Path) -> None:
    clip = write(tmp_path / "a.mp4", pan(9), rate=8)
    taken = [(frame.number, frame.time) for frame in Clip(clip).frames()]
    assert taken == [(0, 0.0), (4, 0.5), (8, 1.0)]  # two a second
    assert [f.number for f in Clip(clip, 3).frames()] == [0, 3, 6]
    assert [f.time for f in Clip(clip, 3).frames()] == pytest.approx([0, 3 / 8, 6 / 8])
    first = next(Clip(clip).frames()).pixels.astype(int)
    assert np.abs(first - pan(9)[0]).mean() < 12  # the picture, but for the codec


@pytest.mark.parametrize("rotation", [90, -90, 180])
def test_frames_stand_upright(tmp_path: Path, rotation: int) -> None:
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[: HEIGHT // 2, : WIDTH // 2] = 255
    clip = write(tmp_path / "turned.mp4", [pixels] * 2, rotation=rotation)
    seen = next(Clip(clip).frames()).pixels
    upright = np.rot90(pixels, rotation // 90 % 4)
    assert seen.shape == upright.shape
    assert np.abs(seen.astype(int) - upright).mean() < 12


def test_the_tiny_preset_follows_a_shifted_scene(tmp_path: Path) -> None:
    clip = write(tmp_path / "pan.mp4", pan(4), rate=2)
    assert run(clip, tmp_path / "out", "--device", "cpu") == 0
    document = json.loads((tmp_path / "out" / "pan.mp4.tracks.json").read_text("utf-8"))
    assert document["schema"] == "zeroguide-video/1"
    assert [f["time"] for f in document["frames"]] == pytest.approx([0, 0.5, 1, 1.5])
    whole = [t for t in document["tracks"] if (t["first"], t["last"]) == (0, 3)]
    areas = sum(s["area"] for t in whole for s in t["segments"])
    assert areas > 0.6 * 4 * HEIGHT * WIDTH  # most of the picture is followed to the end
    by_frame = {f["frame"]: Labeling.load(tmp_path / "out" / f["file"]) for f in document["frames"]}
    for track in document["tracks"]:
        for part in track["segments"]:
            segment = by_frame[part["frame"]].segments[part["segment"] - 1]
            assert segment.label == track["label"]
            assert (list(segment.bbox), segment.area) == (part["bbox"], part["area"])
    n = sum(len(t["segments"]) for t in document["tracks"])
    assert n == sum(len(frame.segments) for frame in by_frame.values())


def test_the_labelled_video_keeps_times_and_colours(
    tmp_path: Path, fake: type[FakeLabeler], capsys: pytest.CaptureFixture[str]
) -> None:
    clip = write(tmp_path / "a.mov", pan(3), rate=2)
    assert run(clip, tmp_path / "out") == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert rows == [
        ["1", "blue sky", "0.90", "3", "0.00", "1.00"],
        ["2", "tall tree", "0.50", "3", "0.00", "1.00"],
    ]
    with av.open(str(tmp_path / "out" / "a.mov.overlay.mp4")) as container:
        frames = list(container.decode(video=0))
    assert [frame.time for frame in frames] == [0, 0.5, 1]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a.mov.frames",
        "a.mov.overlay.mp4",
        "a.mov.tracks.json",
    ]


def test_results_are_replaced_only_if_asked(tmp_path: Path, fake: type[FakeLabeler]) -> None:
    clip, output = write(tmp_path / "a.mp4", pan(4), rate=2), tmp_path / "out"
    assert run(clip, output) == 0
    assert run(clip, output, "--every", "3") == 1
    assert len(list((output / "a.mp4.frames").iterdir())) == 4
    assert run(clip, output, "--every", "3", "--overwrite") == 0
    names = sorted(path.name for path in (output / "a.mp4.frames").iterdir())
    assert names == ["000000.json", "000003.json"]
    (output / "a.mp4.frames" / "notes.txt").write_text("mine")
    assert run(clip, output, "--overwrite") == 1
    assert (output / "a.mp4.frames" / "notes.txt").read_text() == "mine"


def test_what_is_interrupted_leaves_nothing(
    tmp_path: Path, fake: type[FakeLabeler], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(file_name: str) -> None:
        if file_name.endswith("#2"):
            raise KeyboardInterrupt

    monkeypatch.setattr(fake, "hook", staticmethod(interrupt))
    clip = write(tmp_path / "a.mp4", pan(4), rate=2)
    assert run(clip, tmp_path / "out") == 130
    assert not (tmp_path / "out").exists()


def test_a_damaged_clip_is_labelled_as_far_as_it_goes(
    tmp_path: Path, fake: type[FakeLabeler], capsys: pytest.CaptureFixture[str]
) -> None:
    clip = write(tmp_path / "a.mkv", pan(8), rate=2)
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) * 6 // 10])
    assert run(clip, tmp_path / "out") == 3
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "a.mkv: damaged (" in said and "s of it are labelled" in said
    document = json.loads((tmp_path / "out" / "a.mkv.tracks.json").read_text("utf-8"))
    assert 2 <= len(document["frames"]) < 8 and document["video"]["damage"]


def test_what_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video at all")
    (tmp_path / "list.m3u8").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nfile:{write(tmp_path / 'b.mp4', pan(2))}\n"
    )
    photo = Path(__file__).parent.parent / "examples" / "bus.jpg"
    for path, reason in (
        (tmp_path / "none.mp4", "No such file"),
        (tmp_path, "Is a directory"),
        (tmp_path / "text.mp4", "no video that can be read"),
        (tmp_path / "list.m3u8", "no video that can be read"),
        (photo, "is a picture; use `zeroguide label`"),
    ):
        with pytest.raises(ImageError, match=reason) as raised:
            Clip(path)
        assert str(raised.value).startswith(f"{path}: ")


def test_every_is_at_least_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "a.mp4", tmp_path / "out", "--every", "0") == 2
    assert "--every 0: at least 1 is needed" in capsys.readouterr().err


def test_without_pyav_the_remedy_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class NotThere:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "av":
                raise ModuleNotFoundError("No module named 'av'", name="av")

    monkeypatch.delitem(sys.modules, "av")
    monkeypatch.setattr(sys, "meta_path", [NotThere(), *sys.meta_path])
    with pytest.raises(UsageError, match=r"videos need av: pip install 'zeroguide\[video\]'"):
        Clip(tmp_path / "a.mp4")


def test_label_sends_videos_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = write(tmp_path / "a.mp4", pan(2))
    assert main(["label", str(clip), "-o", str(tmp_path / "out"), "--preset", "tiny"]) != 0
    assert "is a video, which can't be read; use `zeroguide video`" in capsys.readouterr().err


def test_the_recipe_of_frames_is_the_asked_one(tmp_path: Path, fake: type[FakeLabeler]) -> None:
    clip = write(tmp_path / "a.mp4", pan(1), rate=2)
    assert run(clip, tmp_path / "out", "--seed", "5") == 0
    frame = Labeling.load(tmp_path / "out" / "a.mp4.frames" / "000000.json")
    assert frame.recipe["seed"] == 5 and frame.recipe["name"] == load_recipe("tiny").name
    assert frame.file_name == "a.mp4#0"
