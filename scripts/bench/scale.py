"""What labelling very many images costs: measured here, then computed for more.

    python -m scripts.bench.scale --page docs/scale.md            # measure, write the page's tables
    python -m scripts.bench.scale --seconds-per-image 0.4 --gpus 256 --load 60

Measures the preset tiny on rendered Playroom scenes: CPU seconds of each stage in one thread, bytes
of each output, what the driver does for each image, and the rate of one and two workers of both
engines. The tables for 10^6 and more images follow from these by the formula that docs/scale.md
states. `--seconds-per-image`, `--gpus` and `--load` are assumptions about a GPU, which nobody has
measured; so are the words of `--seconds-per-core`, whose default is the time of `fast-laion` with
random weights in docs/results.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from scripts.shared.pages import replace_block, table
from zeroguide.image import Image, read_image
from zeroguide.playroom import render
from zeroguide.recipe import load_recipe
from zeroguide.result import Labeling
from zeroguide.result.provenance import provenance
from zeroguide.runs import ray_run
from zeroguide.runs.label_run import Observer, Run, Summary
from zeroguide.runs.parts import Known, Row, read_parts, write_part
from zeroguide.runs.pool import ATTEMPTS
from zeroguide.runs.sources import find_items
from zeroguide.runs.worker import Outcome, Settings
from zeroguide.system.files import write_png

Table = list[dict[str, str | float]]

COUNTS = (10**6, 10**8, 5 * 10**9)
DAY = 86400
WIDTH = 128  # of tiny's embeddings


@dataclass(frozen=True)
class Measured:
    """stages, bytes, driver: rows of the page. Of one image: seconds in one thread, bytes in a part
    without embeddings, segments; listing: seconds on the driver. number: bytes in a part of each
    number of an embedding."""

    stages: Table
    bytes: Table
    driver: Table
    seconds: float
    bare: float
    segments: float
    listing: float
    number: float


def scenes(folder: Path, n: int) -> list[Path]:
    """n PNG files."""
    import PIL.Image

    folder.mkdir()
    paths = [folder / f"{i:05d}.png" for i in range(n)]
    for i, path in enumerate(paths):
        PIL.Image.fromarray(render(13, i, size=112).pixels).save(path)
    return paths


@contextmanager
def timed(seconds: dict[str, float], places: dict[str, list[tuple[Any, str]]]) -> Iterator[None]:
    """Add the CPU seconds of functions, named as attributes of objects, to those of a stage."""
    with ExitStack() as stack:
        for stage, attributes in places.items():
            for owner, name in attributes:
                wrapper = _wrapped(getattr(owner, name), seconds, stage)
                stack.enter_context(mock.patch.object(owner, name, wrapper))
        yield


def _wrapped(
    function: Callable[..., Any], seconds: dict[str, float], stage: str
) -> Callable[..., Any]:
    def call(*args: Any, **keywords: Any) -> Any:
        start = time.process_time()
        try:
            return function(*args, **keywords)
        finally:
            seconds[stage] += time.process_time() - start

    return call


def measure(paths: list[Path], folder: Path) -> Measured:
    """Stages, bytes and the driver's work, in this process and one thread."""
    import torch

    from zeroguide import labeler as module
    from zeroguide.result.overlay import draw

    torch.set_num_threads(1)
    labeler = module.Labeler(load_recipe("tiny"), device="cpu", offline=True)
    places: dict[str, list[tuple[Any, str]]] = {
        "DINO features": [(module, "extract_features_batch")],
        "over-segments": [(module, "segment")],
        "borders": [(module, "refine")],
        "CLIP": [(labeler.embedder, "prepare"), (labeler.embedder, "embed")],
        "labels": [(labeler, "decode")],
        "merge graph": [(labeler, "_alike")],
    }
    labeler.label(read_image(paths[0].read_bytes(), "x"))  # warms up
    found: defaultdict[str, float] = defaultdict(float)
    whole = 0.0
    labelings: list[Labeling] = []
    images: list[Image] = []

    def stage(name: str, function: Callable[..., Any], *args: Any) -> Any:
        return _wrapped(function, found, name)(*args)

    for path in paths:
        data = stage("read, hash, decode", path.read_bytes)
        stage("read, hash, decode", hashlib.sha256, data)
        images.append(stage("read, hash, decode", read_image, data, path.name))
        start = time.process_time()
        with timed(found, places):
            labelings.append(labeler.label(images[-1]))
        whole += time.process_time() - start
    found["confidence, result"] = whole - sum(found[name] for name in places)
    for path, image, labeling in zip(paths, images, labelings, strict=True):
        stage("write JSON", labeling.save, folder / f"{path.name}.json")
        picture = stage("draw overlay", draw, labeling, image.pixels)
        stage("write overlay", write_png, picture, folder / f"{path.name}.png")
    n = len(paths)
    order = ["read, hash, decode", *places, "confidence, result", "write JSON"]
    total = sum(found[name] for name in order)
    stages: Table = [
        {"stage": name, "ms": 1000 * found[name] / n, "share, %": 100 * found[name] / total}
        for name in order
    ]
    stages.append({"stage": "**all of these**", "ms": 1000 * total / n, "share, %": 100.0})
    stages += [
        {"stage": name, "ms": 1000 * found[name] / n} for name in ("draw overlay", "write overlay")
    ]
    bare = [replace(labeling, embeddings=None) for labeling in labelings]
    parts = [_part(folder / name, some) for name, some in (("full", labelings), ("bare", bare))]
    (folder / "none").mkdir()
    for path, labeling in zip(paths, bare, strict=True):
        labeling.save(folder / "none" / f"{path.name}.json")
    sizes = {
        "image (PNG, 112 px)": [path.stat().st_size for path in paths],
        "JSON": [path.stat().st_size for path in folder.glob("*.json")],
        "JSON, `--no-embeddings`": [path.stat().st_size for path in (folder / "none").iterdir()],
        "overlay": [path.stat().st_size for path in folder.glob("*.png")],
    }
    rows: Table = [{"output": k, "bytes an image": _round(sum(v) / n)} for k, v in sizes.items()]
    for name, size in zip(("part (Parquet)", "part, `--no-embeddings`"), parts, strict=True):
        rows.append({"output": name, "bytes an image": _round(size)})
    segments = statistics.mean(len(labeling.segments) for labeling in labelings)
    driver, listing = _driver(folder / "listed", labelings)
    number = (parts[0] - parts[1]) / (segments * WIDTH)
    return Measured(stages, rows, driver, total / n, parts[1], segments, listing, number)


def _round(size: float) -> str:
    return f"{size:,.0f}"


def _part(folder: Path, labelings: list[Labeling]) -> float:
    """Bytes an image in a part."""
    rows = [Row(f"{i:09d}.png", x.sha256, json.dumps(x.to_dict())) for i, x in enumerate(labelings)]
    return write_part(folder, rows, 1).stat().st_size / len(rows)


def _driver(folder: Path, labelings: list[Labeling]) -> tuple[Table, float]:
    """CPU time an image of what only the driver does, and of reading results again."""
    n, per_part = 20_000, 1000
    texts = [json.dumps(labeling.to_dict()) for labeling in labelings]
    (folder / "images").mkdir(parents=True)
    for i in range(n):
        (folder / "images" / f"{i:06d}.png").touch()

    def cpu(function: Callable[[], object]) -> float:
        start = time.process_time()
        function()
        return (time.process_time() - start) / n

    items = find_items([str(folder / "images")], folder / "out", print)
    listing = cpu(lambda: sum(1 for _ in items))
    for start in range(0, n, per_part):
        keys = [f"{i:06d}.png" for i in range(start, start + per_part)]
        rows = [Row(key, "1" * 64, texts[i % len(texts)]) for i, key in enumerate(keys)]
        write_part(folder / "parts", rows, 1)
    parts = sorted((folder / "parts").iterdir())
    recipe = provenance(load_recipe("tiny"))
    known: list[Known] = []
    index = cpu(lambda: known.append(Known(parts, recipe)))
    lookup = cpu(lambda: [known[0].sha256(item.key) for item in items]) - listing
    merged = cpu(lambda: sum(1 for _ in read_parts(parts)))
    rows_: Table = [
        {"what": what, "microseconds an image": 1e6 * value}
        for what, value in (
            ("list a folder", listing),
            ("read which images are done (resume)", index),
            ("look an image up (resume)", max(0.0, lookup)),
            ("read results again, in order (export)", merged),
        )
    ]
    return rows_, listing


def _note(moments: list[float], outcome: Outcome, summary: Summary) -> None:
    moments.append(time.perf_counter())


def rates(paths: list[Path], folder: Path) -> Table:
    """Images per wall second of one and two workers, once they are all at work."""
    rows: Table = []
    for engine in ("local", "ray"):
        first = 0.0
        for workers in (1, 2):
            output = folder / f"{engine} {workers}"
            output.mkdir()
            moments: list[float] = []
            items = find_items([str(paths[0].parent)], output, print)
            settings = Settings(
                load_recipe("tiny"), output, device="cpu", overlay=False, threads=1, batch_size=1
            )
            observer = Observer(done=partial(_note, moments))
            run = Run(items, settings, workers=workers, observer=observer, engine=engine)
            start = time.perf_counter()
            summary = run.label()
            assert summary.labelled == len(paths), summary
            # Workers don't start together, and Ray's results come in whole parts: what counts is
            # what comes after the longest wait in the second quarter.
            waits = np.diff(moments[len(moments) // 4 : len(moments) // 2])
            last = len(moments) // 4 + int(waits.argmax())
            rate = (len(moments) - 1 - last) / (moments[-1] - moments[last])
            first = first or rate
            rows.append(
                {
                    "engine": engine,
                    "workers": str(workers),
                    "images a second": rate,
                    "times one worker": rate / first,
                    "to the first result, s": moments[0] - start,
                }
            )
    return rows


def cost(
    found: Measured, hardware: str, workers: int, seconds: float, load: float, width: int
) -> Table:
    """What each of COUNTS costs on some hardware; see docs/scale.md for the formula."""
    rows: Table = []
    per_part = min(max(ray_run.LEAST_PART, ray_run.PART_PER_ACTOR * workers), ray_run.LARGEST_PART)
    embeddings = found.segments * width * found.number
    for n in COUNTS:
        window = max(ray_run.LEAST_WINDOW, ray_run.WINDOW_PER_ACTOR * workers)
        windows = -(-n // window)
        tail = ray_run.BLOCK * seconds / 2  # an actor waits half a block for the last one
        worker_seconds = n * seconds + windows * workers * (load + tail)
        rows.append(
            {
                "images": f"{n:.0e}".replace("e+0", "e").replace("e+", "e"),
                "hardware": hardware,
                "worker hours": f"{worker_seconds / 3600:,.0f}",
                "days": f"{worker_seconds / workers / DAY:,.3g}",
                "loads and tails, %": 100 * (1 - n * seconds / worker_seconds),
                "TB": n * (found.bare + embeddings) / 1e12,
                "TB, no embeddings": n * found.bare / 1e12,
                "parts": f"{-(-n // per_part):,}",
                "listing, hours": n * found.listing / 3600,
                "driver busy, %": 100 * workers * found.listing / seconds,
                "index of a resume, GB": 16 * n / 1e9,
            }
        )
    return rows


def main() -> None:
    """Measure, compute and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--page", type=Path)
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--rate-scenes", type=int, default=768, help="of each run")
    parser.add_argument("--no-rates", action="store_true", help="leave the runs out")
    parser.add_argument("--seconds-per-core", type=float, default=3.54, help="fast, one core")
    parser.add_argument("--cores", type=int, default=64)
    parser.add_argument("--machines", type=int, default=100)
    parser.add_argument("--seconds-per-image", type=float, default=0.5, help="one GPU")
    parser.add_argument("--gpus", type=int, default=64)
    parser.add_argument("--load", type=float, default=30.0, help="seconds to load real models")
    parser.add_argument("--width", type=int, default=512, help="CLIP's embedding")
    args = parser.parse_args()
    waiting = os.getloadavg()[0]
    os.environ.setdefault("RAY_worker_niceness", "0")  # or other programs would come before it
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paths = scenes(folder / "scenes", args.scenes)
        (folder / "stages").mkdir()
        found = measure(paths, folder / "stages")
        blocks = {"stages": found.stages, "bytes": found.bytes, "driver": found.driver}
        if not args.no_rates:
            blocks["rates"] = rates(scenes(folder / "more", args.rate_scenes), folder)
    cores = args.cores * args.machines
    tiny = (f"{args.machines} x {args.cores} cores, tiny", cores, found.seconds, 5.0, WIDTH)
    fast = (f"{args.machines} x {args.cores} cores, fast", cores, args.seconds_per_core)
    gpu = (f"{args.gpus} GPUs, {args.seconds_per_image:g} s", args.gpus, args.seconds_per_image)
    blocks["cost"] = [
        row
        for hardware in (tiny, (*fast, args.load, args.width), (*gpu, args.load, args.width))
        for row in cost(found, *hardware)
    ]
    poison = (ATTEMPTS + 1) * (args.load + ray_run.BLOCK * args.seconds_per_image)
    blocks["poison"] = [
        {
            "GPU": f"{args.seconds_per_image:g} s an image, {args.load:g} s to load",
            "one poison image costs, s": poison,
            "as many images as": poison / args.seconds_per_image,
            "one in a million, % of the work": 100 * poison / args.seconds_per_image / 1e6,
        }
    ]
    busy = (
        f"\nProcesses that wanted a core when it began: {waiting:.1f}, of {os.cpu_count()} cores.\n"
    )
    segments = (
        f"\n{found.segments:.1f} segments an image, each with an embedding of {WIDTH} numbers; in "
        f"a part each number takes {found.number:.2f} bytes.\n"
    )
    notes = {"stages": busy, "rates": busy, "bytes": segments}
    for name, rows in blocks.items():
        text = table(rows) + notes.get(name, "")
        print(f"## {name}\n\n{text}")
        if args.page:
            replace_block(args.page, f"bench.scale {name}", text)


if __name__ == "__main__":
    main()
