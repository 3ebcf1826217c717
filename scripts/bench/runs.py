"""How fast a run over a folder is beside a loop over its images, and whether its memory stays flat.

    python -m scripts.bench.runs                  # throughput: two ways, taking turns
    python -m scripts.bench.runs --memory 5000    # memory after 500 and after 5,000 images

Labels rendered Playroom scenes with the preset tiny on the CPU. The loop is the obvious one: one
`Labeler`, with the threads that torch likes, and for each file open, label, save. The run is that
of `zeroguide label FOLDER`. Both write JSON; with --overlay, overlays too. Rates are those after
the models are loaded; the start is printed beside them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

# Set before torch is loaded: what a user has who sets nothing.
os.environ.pop("OMP_NUM_THREADS", None)

from zeroguide.image import open_image
from zeroguide.recipe import load_recipe
from zeroguide.runs.label_run import Observer, Run, Summary
from zeroguide.runs.settings import Outcome, Settings
from zeroguide.runs.sources import find_items
from zeroguide.runs.worker import Worker
from zeroguide.system.files import write_png

if TYPE_CHECKING:
    from zeroguide.labeler import Labeler

TURNS = 3


def render_scenes(folder: Path, n: int, n_different: int) -> None:
    """n PNG files of scenes; beyond n_different they are links to earlier ones."""
    import PIL.Image

    from zeroguide.playroom import render

    folder.mkdir()
    for i in range(n):
        path = folder / f"{i:06d}.png"
        if i < n_different:
            PIL.Image.fromarray(render(12, i, size=112).pixels).save(path)
        else:
            os.link(folder / f"{i % n_different:06d}.png", path)


def loop(folder: Path, output: Path, overlay: bool) -> tuple[float, float]:
    """Images per second of the loop, and its start in seconds."""
    from zeroguide.labeler import Labeler
    from zeroguide.result.overlay import draw

    output.mkdir()
    started = time.perf_counter()
    labeler = Labeler(load_recipe("tiny", []), device="cpu")
    paths = sorted(folder.iterdir())
    labeler.label(open_image(paths[0]))
    ready = time.perf_counter()
    for path in paths:
        image = open_image(path)
        labeling = labeler.label(image)
        labeling.save(output / f"{path.name}.json")
        if overlay:
            write_png(draw(labeling, image.pixels), output / f"{path.name}.png")
    return len(paths) / (time.perf_counter() - ready), ready - started


def run(folder: Path, output: Path, overlay: bool, memory_at: tuple[int, ...] = ()) -> dict:
    """Rate, start, and memory in bytes after so many images."""
    output.mkdir()
    moments: list[float] = []
    memory: dict[int, int] = {}

    def done(outcome: Outcome, summary: Summary) -> None:
        assert outcome.state == "labelled", outcome.error
        moments.append(time.perf_counter())
        if summary.total in memory_at:
            memory[summary.total] = resident_bytes()

    items = find_items([str(folder)], output, print)
    settings = Settings(load_recipe("tiny", []), output, device="cpu", overlay=overlay)
    started = time.perf_counter()
    summary = Run(items, settings, items.roots, observer=Observer(done=done)).label()
    seconds = moments[-1] - moments[0]
    return {
        "rate": (len(moments) - 1) / seconds,
        "whole rate": len(moments) / summary.seconds,
        "start": moments[0] - started,
        "workers": summary.workers,
        "memory": memory,
    }


def outside(folder: Path, output: Path, overlay: bool) -> float:
    """Share of a worker's time, once its models are loaded, in which they wait."""
    output.mkdir()
    settings = Settings(load_recipe("tiny", []), output, device="cpu", overlay=overlay)
    settings = replace(settings, batch_size=1, threads=1)
    ready: list[float] = []

    def load() -> Labeler:
        labeler = settings.load_labeler()
        ready.append(time.perf_counter())
        return labeler

    worker = Worker(settings, load)
    worker.run(find_items([str(folder)], output, print), lambda outcome: None)
    return 1 - worker.model_seconds / (time.perf_counter() - ready[0])


def resident_bytes() -> int:
    """Resident memory of this process and its workers together."""
    total = 0
    for place in Path("/proc").iterdir():
        if not place.name.isdecimal():
            continue
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            if os.getpid() in (int(place.name), parent):
                pages = int((place / "statm").read_text().split()[1])
                total += pages * os.sysconf("SC_PAGE_SIZE")
        except OSError:  # it has ended
            continue
    return total


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--overlay", action="store_true")
    parser.add_argument("--memory", type=int, metavar="N")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "scenes")
        if args.memory:
            render_scenes(folder, args.memory, 500)
            found = run(folder, Path(temporary, "out"), args.overlay, (500, args.memory))
            first, last = found["memory"][500], found["memory"][args.memory]
            print(
                f"{found['workers']} workers and their parent: {first / 1e6:.0f} MB after 500 "
                f"images, {last / 1e6:.0f} MB after {args.memory} ({last / first - 1:+.1%}); "
                f"{found['rate']:.2f} images/s"
            )
            return
        render_scenes(folder, args.scenes, args.scenes)
        loops, runs = [], []
        for turn in range(TURNS):
            loops.append(loop(folder, Path(temporary, f"loop {turn}"), args.overlay))
            runs.append(run(folder, Path(temporary, f"run {turn}"), args.overlay))
        share = outside(folder, Path(temporary, "worker"), args.overlay)
    loop_rate = statistics.median(rate for rate, _ in loops)
    run_rate = statistics.median(found["rate"] for found in runs)
    print(f"{args.scenes} scenes, {TURNS} turns, medians; overlays: {args.overlay}")
    print(f"loop: {loop_rate:.2f} images/s, start {statistics.median(s for _, s in loops):.1f} s")
    print(
        f"run, {runs[0]['workers']} workers: {run_rate:.2f} images/s, start "
        f"{statistics.median(f['start'] for f in runs):.1f} s, with it "
        f"{statistics.median(f['whole rate'] for f in runs):.2f} images/s"
    )
    print(f"run beside loop: {run_rate / loop_rate:.2f} times as fast")
    print(f"outside the models, one worker alone: {share:.1%}")


if __name__ == "__main__":
    main()
