"""What each export format keeps of masks: written, read back by its own tool, and compared.

    python -m scripts.bench.formats --page docs/formats.md [--photos FOLDER]

On masks made by hand (holes, islands, several parts, single pixels, a full frame, pixels that touch
at corners only, noise) and on rendered Playroom scenes; with --photos on photographs with COCO
panoptic truth, too. Per segment, the IoU of what the tool finds and what was written. Formats whose
tool isn't installed are left out. Milliseconds and kilobytes are of the export alone, links to
photos count nothing, one thread.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import logging
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from formats.reading import READERS
from formats.runs import ListRun, labelled, segments, shapes_run, truth_run

from scripts.shared.pages import replace_block, table
from zeroguide.playroom import render
from zeroguide.result.formats.registry import FORMATS, export

SCENES, SEED, SIZE = 50, 3, 224


def scenes_run(photos: Path) -> ListRun:
    """Rendered scenes with their true regions, stored as PNG."""
    entries = []
    for index in range(SCENES):
        scene = render(SEED, index, size=SIZE)
        _, regions = np.unique(scene.label_map, return_inverse=True)
        names = [f"region {i}" for i in range(int(regions.max()) + 1)]
        key = f"{index:03d}.png"
        entries.append(labelled(key, regions.reshape(scene.label_map.shape), photos, names))
    return ListRun(entries)


def measure(name: str, run: ListRun, folder: Path) -> dict[str, str | float]:
    """One row: a format on a set of images."""
    start = time.perf_counter()
    export(run, [name], folder)
    seconds = time.perf_counter() - start
    files = [path.stat() for path in (folder / name).rglob("*") if path.is_file()]
    size = sum(file.st_size for file in files if file.st_nlink == 1)  # without hard-linked photos
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        found = READERS[name][1](folder / name, run)
    ious = []
    for entry in run:
        if entry.key not in found:  # ultralytics takes no picture of less than 10 pixels
            continue
        for (_, mask), (_, read) in zip(segments(entry), found[entry.key], strict=True):
            ious.append(float((mask & read).sum() / (mask | read).sum()))
    images = len(run.entries)
    return {
        "format": name,
        "read by": READERS[name][0].replace("PIL", "panopticapi's rules"),
        "segments": str(len(ious)),
        "exactly the same, %": f"{100 * np.mean(np.array(ious) == 1):.1f}",
        "mean IoU": f"{np.mean(ious):.4f}",
        "lowest IoU": f"{min(ious):.3f}",
        "KB an image": f"{size / 1000 / images:.1f}",
        "ms an image": f"{1000 * seconds / images:.1f}",
    }


def main() -> None:
    """Measure every format on every set of images."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", type=Path, help="page whose block `formats` is replaced")
    parser.add_argument("--photos", type=Path, help="images/, panoptic/ and panoptic.json")
    arguments = parser.parse_args()
    os.environ.update(YOLO_OFFLINE="true", FIFTYONE_DO_NOT_TRACK="true")
    os.environ.update(FIFTYONE_DATABASE_VALIDATION="false", QT_QPA_PLATFORM="offscreen")
    logging.disable(logging.WARNING)
    text = ""
    with tempfile.TemporaryDirectory() as work:
        sets = {
            "Made by hand": shapes_run(Path(work) / "hand"),
            f"Playroom, {SCENES} scenes of {SIZE} x {SIZE}": scenes_run(Path(work) / "scenes"),
        }
        if arguments.photos:
            run = truth_run(arguments.photos)
            sets[f"{len(run.entries)} photographs with COCO's panoptic truth"] = run
        for i, (title, run) in enumerate(sets.items()):
            rows = []
            for name in FORMATS:
                if importlib.util.find_spec(READERS[name][0]) is None:
                    print(f"{name}: {READERS[name][0]} isn't installed, left out", file=sys.stderr)
                    continue
                rows.append(measure(name, run, Path(work) / str(i)))
                print(title, rows[-1], file=sys.stderr)
            text += f"{title}:\n\n{table(rows)}\n"
    if arguments.page:
        replace_block(arguments.page, "bench.formats", "\n" + text)
    else:
        print(text)


if __name__ == "__main__":
    main()
