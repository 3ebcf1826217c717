"""A video file as frames: every so many-th, upright, with its time.

Decoding is PyAV's, which comes with FFmpeg's libraries.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zeroguide.errors import ImageError, UsageError, require

A_SECOND = 2  # frames that are taken, about, where nothing else is asked
TOLERANCE = 1.0  # seconds by which a file's duration may be wrong


class Frame(NamedTuple):
    """number: in the video, from 0. time: in seconds after the first. pixels: (H, W, 3) uint8."""

    number: int
    time: float
    pixels: np.ndarray

    @property
    def file(self) -> str:
        """What its JSON is called."""
        return f"{self.number:06d}.json"


class Clip:
    """Every so many-th frame of a video file.

    Args:
        path: any file that FFmpeg reads.
        every: take frames 0, every, 2 * every...; None: about two a second.

    Attributes:
        rate: frames a second that are taken, on the average.
        duration: seconds, as the file says of its pictures; None if it doesn't.
        damage: why not all frames could be read, as a phrase; None if they could.

    Raises UsageError for `every` below 1 and without PyAV, ImageError for a file that is missing
    or no video, or of which not even the first frame can be read.
    """

    def __init__(self, path: Path, every: int | None = None) -> None:
        if every is not None and every < 1:
            raise UsageError(f"--every {every}: at least 1 is needed")
        self.path = path
        self.damage: str | None = None
        self._av = require("av", "video", "videos")
        with self._opened() as (container, stream):
            rate = Fraction(stream.average_rate or stream.guessed_rate or A_SECOND)
            self.every = every or max(1, round(rate / A_SECOND))
            self.rate = rate / self.every
            self.duration: float | None = None
            if stream.duration:
                self.duration = float(stream.duration * stream.time_base)
            elif container.duration and len(container.streams) == 1:  # no sound that is longer
                self.duration = container.duration / self._av.time_base
            self._spacing = 1 / rate
        if next(self.frames(), None) is None:
            raise ImageError(f"{path}: no frame of it can be read ({self.damage}); copy it again")

    def frames(self) -> Iterator[Frame]:
        """The frames, upright, all of the first one's size; what is damaged ends them."""
        start: Fraction | None = None
        size: dict[str, int] = {}
        with self._opened() as (container, stream):
            for number, frame in enumerate(self._decoded(container, stream)):
                now = number * self._spacing if frame.pts is None else frame.pts * stream.time_base
                start = now if start is None else start
                if number % self.every:
                    continue
                size = size or {"width": frame.width, "height": frame.height}
                pixels = frame.to_ndarray(format="rgb24", **size)
                upright = np.rot90(pixels, round(frame.rotation / 90) % 4)  # counterclockwise both
                yield Frame(number, float(now - start), np.ascontiguousarray(upright))

    def _decoded(self, container: Any, stream: Any) -> Iterator[Any]:
        """All frames as PyAV has them; after damage those that were still in the decoder."""
        end = 0  # of the last packet; some files that are cut off end without an error
        try:
            for packet in container.demux(stream):
                if packet.pts is not None:
                    shown_from = packet.pts - (stream.start_time or 0)
                    end = max(end, shown_from + (packet.duration or 0))
                yield from packet.decode()
            missing = (self.duration or 0) - float(end * stream.time_base)
            if missing > TOLERANCE:
                self.damage = f"the last {missing:.1f} of {self.duration:.1f} s are missing"
        except self._av.FFmpegError as error:
            self.damage = reason(error)
            with contextlib.suppress(self._av.FFmpegError):
                yield from stream.codec_context.decode(None)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[Any, Any]]:
        """The container and its first stream of pictures."""
        with contextlib.ExitStack() as stack:
            try:
                file = stack.enter_context(open(self.path, "rb"))
            except OSError as error:
                raise ImageError(
                    f"{self.path}: can't be read ({error.strerror}); check the path"
                ) from None
            try:
                # A playlist may name other files and addresses: none of them is opened.
                only = {"protocol_whitelist": "none"}
                container = stack.enter_context(self._av.open(file, options=only))
            except self._av.FFmpegError as error:
                raise ImageError(
                    f"{self.path}: no video that can be read ({reason(error)}); copy it again, or "
                    "save it as MP4"
                ) from None
            if container.format.name.endswith(("_pipe", "image2")):
                raise ImageError(f"{self.path}: is a picture; use `zeroguide label`")
            if not container.streams.video:
                raise ImageError(
                    f"{self.path}: has no pictures, only {_kinds(container)}; name a video"
                )
            yield container, container.streams.video[0]


def _kinds(container: Any) -> str:
    return " and ".join(sorted({str(stream.type) for stream in container.streams})) or "nothing"


def reason(error: Exception) -> str:
    """An error of PyAV or the system in its own words."""
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
