"""`zeroguide video`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zeroguide.cli import options
from zeroguide.cli.running import load_labeler
from zeroguide.runs.batch import EXIT_SOME_FAILED, plan
from zeroguide.system.console import Console
from zeroguide.system.files import output_folder


def video(
    clip: Annotated[Path, typer.Argument(metavar="CLIP", help="A video file.")],
    output: options.Output = Path("videos"),
    every: Annotated[
        int | None,
        typer.Option(metavar="N", help="Label each N-th frame; default: about two a second."),
    ] = None,
    preset: options.DefaultPreset = None,
    set_: options.Set = None,
    examples: options.Examples = None,
    classes: options.Classes = None,
    device: options.Device = "auto",
    seed: options.Seed = None,
    offline: options.Offline = False,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Label the frames of a video and follow what is in it.

    Writes FOLDER/clip.mp4.frames/000000.json (the labels of a frame), FOLDER/clip.mp4.tracks.json
    (what goes on from frame to frame, with one name) and FOLDER/clip.mp4.overlay.mp4 (the labelled
    video); prints id, label, confidence, number of frames, first and last second.

    Needs `pip install 'zeroguide[video]'`.
    """
    from zeroguide.runs.video.clip import Clip
    from zeroguide.runs.video.results import FRAMES, OVERLAY, TRACKS, label_clip

    console = Console(quiet=quiet, verbose=verbose)
    recipe = options.read_recipe(
        preset, set_ or [], seed, device, examples=examples, classes=classes, offline=offline
    )
    read = Clip(clip, every)
    (job,) = plan([clip], output, [FRAMES, TRACKS, OVERLAY], overwrite=overwrite)
    with output_folder(output), console.progress():
        labeler = load_labeler(recipe, console, device, offline=offline)
        tracker, times = label_clip(read, labeler, job, console.step)
    rows = [
        (
            str(track.id),
            track.label,
            *([] if track.category is None else [track.category.name]),
            f"{track.confidence:.2f}",
            str(len(track.parts)),
            f"{times[track.parts[0][0]]:.2f}",
            f"{times[track.parts[-1][0]]:.2f}",
        )
        for track in tracker.tracks
    ]
    own = ["label", "class"] if any(track.category for track in tracker.tracks) else ["label"]
    console.table(["id", *own, "confidence", "frames", "first", "last"], rows)
    console.note(f"results are in {' and '.join(map(str, job.outputs.values()))}")
    if read.damage is None:
        return 0
    console.error(f"{clip}: damaged ({read.damage}); {times[-1]:.1f} s of it are labelled")
    return EXIT_SOME_FAILED
