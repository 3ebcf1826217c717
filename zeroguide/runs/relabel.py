"""The labels of a whole run: counted, renamed, joined, restored.

What is atomic: each file of results is replaced whole, its overlay before it. The run as a whole
isn't, but a file in it says so until all is done: nothing reads or goes on with a run that is half
renamed, and the same call again finishes it. Afterwards the run keeps the table (`label_maps`), and
images that are labelled into it later get the same labels, to the byte.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Literal, NamedTuple

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.result import Labeling
from zeroguide.result.renames import Renames, composed, renamed_document
from zeroguide.runs import label_maps
from zeroguide.runs.documents import Document, documents, rewrite
from zeroguide.runs.layout import overlay_path
from zeroguide.runs.run_folder import RunFolder
from zeroguide.runs.search.sources import Sources
from zeroguide.system.files import is_own_png, write_png
from zeroguide.system.folder_lock import locked

_STEP = 100  # images between two signs of life

Legend = Literal["auto", "always", "never"]


class Example(NamedTuple):
    """A segment of a run: its image's key, and its id there."""

    key: str
    segment: int


@dataclass
class LabelCount:
    """A label of a run, and how often it is there.

    examples: some of its segments, of different images.
    """

    label: str
    segments: int = 0
    images: int = 0
    examples: list[Example] = field(default_factory=list)


@dataclass(frozen=True)
class Relabelled:
    """What came of it.

    segments, images: that got another label. unknown: labels to rename that the run doesn't have
    and has not had. drawn, not_drawn: overlays that were drawn anew, and those that still show the
    old labels, because their photos weren't found.
    """

    segments: int
    images: int
    unknown: tuple[str, ...] = ()
    drawn: int = 0
    not_drawn: int = 0


def count_labels(
    folder: str | PathLike[str],
    *,
    examples: int = 0,
    step: Callable[[str], None] = lambda text: None,
) -> list[LabelCount]:
    """The labels of a run, the most frequent first, with so many example segments of each.

    Raises UsageError for a folder that holds no labels, or was half renamed; ZeroguideError for a
    damaged result.
    """
    run = RunFolder(folder)
    label_maps.check_finished(run.path)
    found: dict[str, LabelCount] = {}
    for n, (key, content) in enumerate(documents(run.path)):
        if n % _STEP == 0:
            step(f"reading labels: image {n + 1}")
        seen = set()
        for entry in content["segments"]:
            count = found.setdefault(entry["label"], LabelCount(entry["label"]))
            count.segments += 1
            if count.label not in seen:
                seen.add(count.label)
                count.images += 1
                if len(count.examples) < examples:
                    count.examples.append(Example(key, int(entry["id"])))
    return sorted(found.values(), key=lambda count: (-count.segments, count.label))


def relabel(
    folder: str | PathLike[str],
    renames: Renames,
    *,
    photos_at: str | PathLike[str] | None = None,
    legend: Legend = "auto",
    step: Callable[[str], None] = lambda text: None,
) -> Relabelled:
    """Rename the labels of a run: present label -> new label; several to one new join them.

    A label is renamed once, so a table may swap labels. Labels that the run doesn't have (yet) are
    kept for images to come. See the module for what is atomic.

    Args:
        folder: the run's.
        renames: the table, not empty.
        photos_at: where the photos have moved to.
        legend: of overlays, as they were drawn with.
        step: is told what is being done.

    Raises UsageError for a folder without labels, and if the run has none of these labels;
    OutputError if another run is writing there; ZeroguideError for a damaged result, before
    anything is changed, and if something can't be written.
    """
    run = RunFolder(folder, photos_at=photos_at)
    with locked(run.path, remedy=""):
        before = label_maps.kept(run.path)
        interrupted = label_maps.unfinished(run.path)
        after = composed(before, renames)
        if interrupted is not None:
            done = _apply(run, interrupted, legend, step)
            if interrupted == after:
                return done
            before, after = interrupted, composed(interrupted, renames)
        labels = _labels(run.path, before)
        to_change = {old: new for old, new in renames.items() if old != new}
        unknown = tuple(
            old for old, new in to_change.items() if old not in labels and before.get(old) != new
        )
        if unknown and len(unknown) == len(to_change):
            raise UsageError(
                f"{run.path}: has none of the labels to rename ({_some(unknown)}); `zeroguide "
                f"relabel {run.path} --list` shows those that it has"
            )
        done = _apply(run, after, legend, step)
    return Relabelled(done.segments, done.images, unknown, done.drawn, done.not_drawn)


def undo(
    folder: str | PathLike[str],
    *,
    photos_at: str | PathLike[str] | None = None,
    legend: Legend = "auto",
    step: Callable[[str], None] = lambda text: None,
) -> Relabelled:
    """Give all segments of a run the labels that the models wrote, and forget the table.

    Arguments and errors as of `relabel`; it also takes back what was interrupted.
    """
    return restore(folder, {}, photos_at=photos_at, legend=legend, step=step)


def restore(
    folder: str | PathLike[str],
    renames: Renames,
    *,
    photos_at: str | PathLike[str] | None = None,
    legend: Legend = "auto",
    step: Callable[[str], None] = lambda text: None,
) -> Relabelled:
    """Go back to a table that the run had: what `label_maps.kept` was then.

    renames: what the models wrote -> label. Other arguments and errors as of `relabel`.
    """
    run = RunFolder(folder, photos_at=photos_at)
    with locked(run.path, remedy=""):
        return _apply(run, renames, legend, step)


def _labels(folder: Path, renames: Renames) -> set[str]:
    """A run's labels; ZeroguideError if they aren't what the table makes of the models' words."""
    found = set()
    for key, content in documents(folder):
        for entry in content["segments"]:
            label, wrote = entry["label"], entry.get("original", entry["label"])
            if renames.get(wrote, wrote) != label:
                raise ZeroguideError(
                    f"{folder}: the result of {key} calls {label!r} what the models called "
                    f"{wrote!r}, which {label_maps.KEPT} doesn't say; put the {label_maps.KEPT} of "
                    "that result there, or take all renaming back with --undo"
                )
            found.add(label)
    return found


def _apply(
    run: RunFolder, renames: Renames, legend: Legend, step: Callable[[str], None]
) -> Relabelled:
    """Change all results to a table; what is changed already stays."""
    segments = images = 0
    overlays: dict[str, str] = {}  # key -> the image's hash
    for key, content in documents(run.path):
        new = renamed_document(content, renames)
        if new is None:
            continue
        pairs = zip(content["segments"], new["segments"], strict=True)
        changed = sum(old["label"] != entry["label"] for old, entry in pairs)
        segments += changed
        images += changed > 0
        if is_own_png(overlay_path(run.path, key)):
            overlays[key] = content["image"]["sha256"]
    label_maps.begin(run.path, renames)
    photos = Sources(run, {key: run.photos.find(key, hash) for key, hash in overlays.items()})
    done = drawn = 0

    def change(key: str, content: Document) -> Document | None:
        nonlocal done, drawn
        new = renamed_document(content, renames)
        if new is not None:
            step(f"renaming labels: {done} of {images} images")
            done += 1
            if key in overlays:
                drawn += _draw(run, key, new, photos, legend)
        return new

    rewrite(run.path, change)
    label_maps.finish(run.path)
    return Relabelled(segments, images, drawn=drawn, not_drawn=len(overlays) - drawn)


def _draw(run: RunFolder, key: str, content: Document, photos: Sources, legend: Legend) -> bool:
    """Draw an image's overlay anew, if its photo is there: whether it was."""
    from zeroguide.result.overlay import draw

    pixels, _ = photos.pixels(key, content["image"]["sha256"])
    if pixels is None:
        return False
    try:
        labeling = Labeling.from_dict(content)
    except ValueError as error:
        raise ZeroguideError(
            f"{run.path}: the result of {key} is damaged ({error}); delete it and rename again"
        ) from None
    write_png(draw(labeling, pixels, legend=legend), overlay_path(run.path, key))
    return True


def _some(labels: tuple[str, ...]) -> str:
    named = ", ".join(map(repr, labels[:5]))
    return named if len(labels) <= 5 else f"{named} and {len(labels) - 5} more"
