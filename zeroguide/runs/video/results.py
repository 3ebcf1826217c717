"""What comes of a video: frames labelled one by one, linked into tracks, and their files.

Frames are read twice: the names of tracks are known when all frames are labelled, and only then
the frames are drawn. So few are held at a time, however long the video is.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zeroguide.errors import OutputError
from zeroguide.image import Image
from zeroguide.image.opening import from_array
from zeroguide.result import Labeling
from zeroguide.result.formats import json_
from zeroguide.result.overlay import draw
from zeroguide.result.overlay.colours import palette
from zeroguide.runs.batch import Job
from zeroguide.runs.video.clip import Clip, Frame, reason
from zeroguide.runs.video.tracks import Tracker
from zeroguide.system.files import write_atomically

if TYPE_CHECKING:
    import PIL.Image

    from zeroguide.labeler import Labeler

SCHEMA = "zeroguide-video/1"
FRAMES, TRACKS, OVERLAY = ".frames", ".tracks.json", ".overlay.mp4"
TICKS = 1000  # a second, the resolution of times in the labelled video
_OWN = re.compile(r"\d{6,}\.json")  # what lies in FRAMES


def label_clip(
    clip: Clip, labeler: Labeler, job: Job, tell: Callable[[str], None] = lambda text: None
) -> tuple[Tracker, list[float]]:
    """Label a video and write its files: all at the end, those of the same name are replaced.

    job: its outputs FRAMES (a folder), TRACKS and OVERLAY, all in one folder, which is there. tell:
    is told how far the work is.

    Returns its tracks, and the time of each frame that was labelled, in seconds.

    Raises OutputError if the files can't be written, and what `Labeler.label_many` raises.
    """
    folder, old = job.outputs[TRACKS].parent, job.outputs[FRAMES]
    strange = [f.name for f in old.iterdir() if not _OWN.fullmatch(f.name)] if old.is_dir() else []
    if strange:
        raise OutputError(
            f"{old}: holds {strange[0]}, which isn't of this command, and would be replaced; move "
            "it, or choose another folder with -o"
        )
    try:
        with tempfile.TemporaryDirectory(prefix=f".{clip.path.name[:40]}.", dir=folder) as name:
            made = {suffix: Path(name) / suffix.lstrip(".") for suffix in job.outputs}
            made[FRAMES].mkdir()
            tracker, frames = _label(clip, labeler, made[FRAMES], tell)
            _draw(clip, tracker, frames, made, tell)
            document = _document(clip, tracker, frames, job.outputs[FRAMES].name)
            write_atomically(made[TRACKS], json_.to_bytes(document))
            for suffix in (FRAMES, OVERLAY, TRACKS):
                target = job.outputs[suffix]
                if suffix == FRAMES and target.is_dir():
                    target.rename(Path(name) / "replaced")
                made[suffix].replace(target)
    except OSError as error:
        raise OutputError(
            f"{folder}: the results of {clip.path} can't be written ({reason(error)}); make room, "
            "or choose another folder with -o"
        ) from error
    return tracker, [frame.time for frame in frames]


def _label(
    clip: Clip, labeler: Labeler, folder: Path, tell: Callable[[str], None]
) -> tuple[Tracker, list[Frame]]:
    """Label the frames and write each with its own names; the frames come without pixels."""
    seen: list[Frame] = []
    tracker = Tracker()

    def images() -> Iterator[Image]:
        for frame in clip.frames():
            seen.append(frame._replace(pixels=np.empty((0, 0, 3), np.uint8)))
            yield from_array(frame.pixels, f"{clip.path.name}#{frame.number}")

    for place, labeling in enumerate(labeler.label_many(images())):
        of = "" if clip.duration is None else f" of {clip.duration:.1f}"
        tell(f"{clip.path}: labelled {seen[place].time:.1f}{of} s")
        json_.save(labeling, folder / seen[place].file)
        tracker.add(labeling)
    return tracker, seen


def _draw(
    clip: Clip,
    tracker: Tracker,
    frames: list[Frame],
    made: dict[str, Path],
    tell: Callable[[str], None],
) -> None:
    """Write the frames again with the names of their tracks, and the labelled video."""
    colours: dict[int, int] = {}  # track -> its place in the palette
    with _encoder(made[OVERLAY], clip.rate) as write:
        for place, (frame, known) in enumerate(zip(clip.frames(), frames, strict=True)):
            tell(f"{clip.path}: drawing frame {place + 1} of {len(frames)}")
            file = made[FRAMES] / known.file
            labeling = tracker.named(place, Labeling.load(file))
            json_.save(labeling, file)
            ids = [track.id for track in tracker.of(place)]
            for id in ids:  # the least used beside it; a track keeps its colour
                if id not in colours:
                    used = Counter(colours[other] for other in ids if other in colours)
                    colours[id] = min(range(len(palette())), key=lambda i: (used[i], i))
            rows = palette()[[0, *(colours[id] for id in ids)]]
            write(draw(labeling, frame.pixels, legend="never", colours=rows), frame.time)


@contextlib.contextmanager
def _encoder(path: Path, rate: Fraction) -> Iterator[Callable[[PIL.Image.Image, float], None]]:
    """What writes pictures of one size, each with its time in seconds, as an MP4 file."""
    import av

    good = "libx264" in av.codecs_available
    last = -1
    stream: Any = None
    with av.open(str(path), "w", format="mp4") as container:

        def write(picture: PIL.Image.Image, time: float) -> None:
            nonlocal last, stream
            width, height = (max(2, side - side % 2) for side in picture.size)
            if stream is None:
                options = {"crf": "20"} if good else {}
                codec = "libx264" if good else "mpeg4"
                stream = container.add_stream(codec, rate.limit_denominator(1001), options=options)
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                stream.codec_context.time_base = Fraction(1, TICKS)
                if not good:
                    stream.bit_rate = 8_000_000
            frame = av.VideoFrame.from_image(picture.resize((width, height)))
            last = frame.pts = max(last + 1, round(time * TICKS))
            frame.time_base = Fraction(1, TICKS)
            container.mux(stream.encode(frame))

        yield write
        if stream is not None:
            container.mux(stream.encode())


def _document(clip: Clip, tracker: Tracker, frames: list[Frame], folder: str) -> dict[str, Any]:
    """The schema zeroguide-video/1, ready for JSON."""
    return {
        "schema": SCHEMA,
        "video": {
            "file_name": clip.path.name,
            "duration": clip.duration,
            "every": clip.every,
            "damage": clip.damage,
        },
        "frames": [
            {"frame": f.number, "time": round(f.time, 6), "file": f"{folder}/{f.file}"}
            for f in frames
        ],
        "tracks": [
            {
                "id": track.id,
                "label": track.label,
                **({} if track.category is None else {"category": track.category._asdict()}),
                "confidence": track.confidence,
                "first": frames[track.parts[0][0]].number,
                "last": frames[track.parts[-1][0]].number,
                "segments": [
                    {
                        "frame": frames[place].number,
                        "segment": s.id,
                        "bbox": list(s.bbox),
                        "area": s.area,
                    }
                    for place, s in track.parts
                ],
            }
            for track in tracker.tracks
        ],
    }
