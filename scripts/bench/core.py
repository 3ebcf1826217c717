"""Time the core on real architectures with random weights: ratios, measured in one run.

    python -m scripts.bench.core --bpe FOLDER [--part embeddings ...] [--page docs/results.md]

Every figure is the median of runs that take turns with what they are compared with, those of
zerocap apart, which take minutes and run once, after one that warms up. Work is
counted by torch's FLOP counter (matrix products only); "of peak" is the share of the rate that
large float32 matrix products reach here. FOLDER holds GPT-2's encoder.json and vocab.bpe.

- embeddings: each mode on a picture of 20 segments, against one plain `encode_image`.
- zerocap: the first token, against the formula without any sharing; one segment against twenty.
- beam, vocabulary: 20 segments whose embeddings have nothing in common, which is the worst case.
- recipe: all of `fast-laion` on a picture of 640 x 480, stage by stage.

Random language models are flat where trained ones are peaked, so that none of their words would
be worth trying: their logits are scaled until their spread is like a trained model's.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from parity import reference_zerocap

from scripts.bench.random_networks import (
    PEAKED,
    SEGMENTS,
    picture,
    random_clip,
    random_gpt2,
    regions,
)
from scripts.check.architectures import write
from scripts.shared.pages import replace_block, table
from zeroguide.clip import SegmentEmbedder, TextEncoder
from zeroguide.image import from_array
from zeroguide.labeler import Labeler
from zeroguide.models import Clip
from zeroguide.name.beam import BeamDecoder
from zeroguide.name.phrase_files import read_prompts
from zeroguide.name.vocabulary import VocabularyDecoder
from zeroguide.name.zerocap import ZeroCapDecoder
from zeroguide.playroom import render
from zeroguide.recipe import load_recipe
from zeroguide.system.memo import Memo

TOWERS = {"ViT-B-16": 3, "ViT-L-14-336": 4}
"""Image towers and how many of their last blocks are masked: of 12, and the paper's 4 of 24."""
MODES = ("packed", "packed+global", "pooled", "exact", "crop")

Row = dict[str, Any]


class Bench:
    """Times functions in turns, on one device."""

    def __init__(self, device: torch.device, runs: int) -> None:
        self.device, self.runs = device, runs
        a, b = (torch.randn(n, 3072, device=device) for n in (4096, 1024))
        self.peak = 2 * 4096 * 3072 * 1024 / self.seconds({"": lambda: a @ b.T})[""]

    def seconds(
        self, jobs: dict[str, Callable[[], Any]], runs: int = 0, warm: int = 1
    ) -> dict[str, float]:
        """Median seconds of each job, after `warm` runs that don't count."""
        times: dict[str, list[float]] = defaultdict(list)
        for turn in range(warm + (runs or self.runs)):
            for name, job in jobs.items():
                self.wait()
                started = time.perf_counter()
                job()
                self.wait()
                if turn >= warm:
                    times[name].append(time.perf_counter() - started)
        return {name: statistics.median(values) for name, values in times.items()}

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def work(self, job: Callable[[], Any]) -> float:
        """Floating-point operations of a job."""
        # The counter doesn't see into fused attention.
        fast = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            job()
        torch.backends.mha.set_fastpath_enabled(fast)
        return float(counter.get_total_flops())

    def row(self, name: str, seconds: float, work: float, **ratios: float) -> Row:
        share = work / seconds / self.peak
        return {"what": name, "ms": 1000 * seconds, "GFLOP": work / 1e9, "of peak": share, **ratios}


def embeddings(bench: Bench) -> list[Row]:
    """Every mode on 20 segments, in units of one plain pass."""
    rows = []
    of = picture()
    for name, masked in TOWERS.items():
        clip = random_clip(name, bench.device)
        image = torch.zeros(1, 3, clip.image_size, clip.image_size, device=bench.device)
        n_blocks = len(clip.network.visual.transformer.resblocks)

        def job(mode: str, clip: Clip = clip, masked: int = masked) -> Callable[[], Any]:
            embedder = SegmentEmbedder(
                clip, **load_recipe("fast-laion").embedding.model_dump()
                | {"mode": mode, "masked_blocks": masked, "subtraction_sd": 5.0}
            )  # fmt: skip
            return lambda: embedder.embed(embedder.prepare([of]), regions(of))

        def plain(clip: Clip = clip, image: torch.Tensor = image) -> Any:
            with torch.inference_mode():
                return clip.network.encode_image(image)

        jobs = {"encode_image": plain, **{mode: job(mode) for mode in MODES}}
        seconds = bench.seconds(jobs)
        bound = (n_blocks - masked + SEGMENTS * masked) / n_blocks
        for mode, run in jobs.items():
            ratio = seconds[mode] / seconds["encode_image"]
            row = bench.row(f"{name} {mode}", seconds[mode], bench.work(run), plain=ratio)
            if mode == "exact":
                row["of its bound"] = ratio / bound
            rows.append(row)
    return rows


def zerocap(bench: Bench, bpe: Path, tokens: int) -> list[Row]:
    """One segment and twenty, per generated token, and the formula without sharing.

    The plain reference writes one token, which takes minutes: the first, for which it has one beam
    to score, where it has five later.
    """
    clip, model = random_clip("ViT-B-32", bench.device), random_gpt2(bpe, bench.device)
    width = clip.network.text_projection.shape[1]
    unit = F.normalize(torch.randn(SEGMENTS, width, device=bench.device), dim=-1)
    knobs: dict[str, Any] = {"prompt": "Image of a", "beam_size": 5, "n_candidates": 512}
    knobs["iterations"] = 5
    written: dict[str, list[str]] = {}

    def fast(name: str, n: int, length: int) -> Callable[[], None]:
        # An encoder of its own: nothing may be remembered from another run.
        decoder = ZeroCapDecoder(
            TextEncoder(clip), model, max_tokens=length, n_alternatives=3, **knobs
        )

        def run() -> None:
            written[name] = decoder.generate(unit[:n], Memo())[0]

        return run

    def plain() -> None:
        written["plain"] = reference_zerocap.generate(clip, model, unit[0], max_tokens=1, **knobs)

    fast("warm", 1, 1)()
    jobs = {
        "plain": plain,
        "first": fast("first", 1, 1),
        "one": fast("one", 1, tokens),
        "twenty": fast("twenty", SEGMENTS, tokens),
    }
    seconds = bench.seconds(jobs, runs=1, warm=0)
    if written["plain"] != written["first"] or written["one"] != written["twenty"]:
        sys.exit("zerocap and its plain reference, or one segment and twenty, disagree")
    faster, times = seconds["plain"] / seconds["first"], seconds["twenty"] / seconds["one"]
    return [
        {"what": "plain reference, 1 segment, first token", "s": seconds["plain"]},
        {"what": "1 segment, first token", "s": seconds["first"], "times faster": faster},
        {"what": f"1 segment, {tokens} tokens", "s": seconds["one"]},
        {
            "what": f"{SEGMENTS} segments, {tokens} tokens",
            "s": seconds["twenty"],
            "times one segment": times,
        },
    ]


def beam(bench: Bench, bpe: Path) -> list[Row]:
    """Twenty segments that share nothing but the prompt; with the recipe's beams."""
    clip, model = random_clip("ViT-B-16", bench.device), random_gpt2(bpe, bench.device)
    knobs = load_recipe("fast-laion").decoder
    width = clip.network.text_projection.shape[1]
    unit = F.normalize(torch.randn(SEGMENTS, width, device=bench.device), dim=-1)

    def run() -> Any:
        decoder = BeamDecoder(
            TextEncoder(clip), model, prompt=knobs.prompt, beam_size=knobs.beam_size,
            n_candidates=knobs.n_candidates, max_tokens=knobs.max_tokens,
            lm_weight=knobs.lm_weight, n_alternatives=3,
        )  # fmt: skip
        return decoder(unit, ())

    return [bench.row("beam, 20 segments", bench.seconds({"": run})[""], bench.work(run))]


def vocabulary(bench: Bench) -> list[Row]:
    """Twenty segments against 20,000 phrases whose embeddings are known."""

    class Known:
        """Stands for a text encoder with the list in its cache."""

        def embed_phrases(self, phrases: list[str], _templates: list[str]) -> torch.Tensor:
            return F.normalize(torch.randn(len(phrases), 512, device=bench.device), dim=-1)

    phrases = read_prompts("labels")[:20_000]
    decoder = VocabularyDecoder(
        Known(), phrases=phrases, templates=["{}"], n_alternatives=3  # type: ignore[arg-type]
    )  # fmt: skip
    unit = F.normalize(torch.randn(SEGMENTS, 512, device=bench.device), dim=-1)

    def run() -> Any:
        return decoder(unit, ())

    seconds = bench.seconds({"": run}, runs=20)[""]
    return [bench.row(f"vocabulary, {len(phrases)} phrases", seconds, bench.work(run))]


@contextmanager
def stages(times: dict[str, list[float]], bench: Bench) -> Iterator[None]:
    """Count the time in each stage of the flow while the body runs; inner stages are taken off."""
    import zeroguide.segmenter as flow

    open_stages: list[float] = []

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            open_stages.append(0.0)
            bench.wait()
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                bench.wait()
                whole = time.perf_counter() - started
                times[name][-1] += whole - open_stages.pop()
                if open_stages:
                    open_stages[-1] += whole

        return call

    places: list[tuple[Any, str, str]] = [
        (flow, "extract_features_batch", "DINO features"),
        (flow, "segment", "over-segments"),
        (flow, "refine", "borders"),
        (SegmentEmbedder, "prepare", "CLIP, open blocks"),
        (SegmentEmbedder, "embed", "CLIP, masked blocks"),
        (BeamDecoder, "rank", "labels"),
        (Labeler, "_alike", "merge graph"),
        (Labeler, "_finish", "confidence and result"),
        (Labeler, "label", "the rest"),
    ]
    kept = [getattr(owner, attribute) for owner, attribute, _ in places]
    for owner, attribute, name in places:
        setattr(owner, attribute, timed(name, getattr(owner, attribute)))
    try:
        yield
    finally:
        for (owner, attribute, _), function in zip(places, kept, strict=True):
            setattr(owner, attribute, function)


def recipe(bench: Bench, bpe: Path, overrides: list[str]) -> list[Row]:
    """All of `fast-laion` on one picture of 640 x 480, and where the time goes."""
    with tempfile.TemporaryDirectory(prefix="zeroguide-") as root:
        settings = list(overrides)
        for role, checkpoint in load_recipe("fast-laion").checkpoints().items():
            write(checkpoint, Path(root, role), bpe)
            settings.append(f"models.{role}={Path(root, role)}")
        own = load_recipe("fast-laion", settings)
        labeler = Labeler(own, device=str(bench.device), offline=True)
    assert isinstance(labeler.decode, BeamDecoder)
    labeler.decode.lm.network.transformer.ln_f.weight.data *= PEAKED
    times: dict[str, list[float]] = defaultdict(list)
    totals = []
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    loaded = memory("VmRSS")
    with stages(times, bench):
        for turn in range(1 + bench.runs):
            # Another picture each time: nothing may be remembered from the one before.
            scene = render(3, turn, size=640).pixels[:480]
            for name in STAGES:
                times[name].append(0.0)
            started = time.perf_counter()
            labeler.label(from_array(np.ascontiguousarray(scene)))
            totals.append(time.perf_counter() - started)
    rows: list[Row] = [
        {"what": f"fast-laion: {name}", "ms": 1000 * statistics.median(times[name][1:])}
        for name in STAGES
    ]
    rows.append({"what": "fast-laion: all", "ms": 1000 * statistics.median(totals[1:])})
    rows.append({"what": "memory after loading", "GiB": loaded})
    rows.append({"what": "peak memory while labelling", "GiB": memory("VmHWM")})
    return rows


def memory(key: str) -> float:
    """Resident memory of this process in GiB: VmRSS now, VmHWM at its peak (Linux)."""
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(key))
    return int(line.split()[1]) / 2**20


STAGES = (
    "DINO features",
    "over-segments",
    "borders",
    "CLIP, open blocks",
    "CLIP, masked blocks",
    "labels",
    "merge graph",
    "confidence and result",
    "the rest",
)
PARTS = ("embeddings", "zerocap", "beam", "vocabulary", "recipe")


def main() -> None:
    """Run the parts and print their tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bpe", type=Path, required=True, help="GPT-2's encoder.json, vocab.bpe")
    parser.add_argument("--part", action="append", choices=PARTS)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=3, help="zerocap: tokens to generate")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="recipe")
    parser.add_argument("--page", type=Path, help="docs/results.md: write the tables there")
    args = parser.parse_args()
    bench = Bench(torch.device(args.device), args.runs)
    print(f"{torch.get_num_threads()} threads, {bench.peak / 1e9:.0f} GFLOP/s float32\n")
    found: dict[str, list[Row]] = {}
    jobs: dict[str, Callable[[], list[Row]]] = {
        "embeddings": lambda: embeddings(bench),
        "zerocap": lambda: zerocap(bench, args.bpe, args.tokens),
        "beam": lambda: beam(bench, args.bpe),
        "vocabulary": lambda: vocabulary(bench),
        "recipe": lambda: recipe(bench, args.bpe, args.set),
    }
    for part in args.part or PARTS:
        found[part] = jobs[part]()
        print(table(found[part]), flush=True)
    if args.page:
        for part, rows in found.items():
            replace_block(args.page, f"bench.core {part}", table(rows))


if __name__ == "__main__":
    main()
