"""What a preset's labels are worth on photographs, from the picture to the word and stage by stage.

    python -m scripts.evaluate.photo_labels --real ../shared/real --preset photo --half odd

A label is right if it is the class, a synonym of it or a kind of it; it is held if it is right or
something that the class is a kind of, at most three steps up in WordNet ("animal" on a zebra).
Counted are pixels, and true regions of at least 1 % that a segment covers with an IoU of 0.5. The
stages: our segments and our names; true regions with our names; our segments of which most is
labelled in the truth, each named by the class of most of its pixels. Photographs at even places
(0, 2, ...) of each set, `--half even`, are there to choose settings on.

`--worst FOLDER` writes FOLDER/index.html: of all photographs the 24 with the fewest right pixels,
beside their truth, with what is called what most.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from scripts.shared.confidence import bin_of, calibration_error, log_odds, logistic_fit
from scripts.shared.pages import table
from scripts.shared.photographs import SETS, interval, true_regions
from scripts.shared.relations import judge
from scripts.shared.worst_page import Card, write_page
from zeroguide.evaluate.datasets import Dataset, Sample, load_dataset
from zeroguide.evaluate.datasets.base import semantic_regions
from zeroguide.evaluate.metrics.wordnet import WordNet
from zeroguide.labeler import Labeler
from zeroguide.recipe import load_recipe

STEPS = 3
WORST = 24
BINS = 10  # of confidences
RIGHT, HELD, WRONG = "right", "held", "wrong"
STAGES = ("labels", "true regions, our names", "our segments, true names")


class Judge:
    """How labels are related to a data set's classes."""

    def __init__(self, dataset: Dataset) -> None:
        self._wordnet = WordNet()
        self._names = [[each.name, *each.synonyms] for each in dataset.classes]
        self.verdict = cache(self._verdict)

    def _verdict(self, label: str, klass: int) -> str:
        kind, steps = judge(label, self._names[klass], self._wordnet)
        if kind in ("right", "finer"):
            return RIGHT
        return HELD if kind == "hypernym" and steps <= STEPS else WRONG


@dataclass
class Counts:
    """Of one photograph: pixels by stage and verdict, regions, and each segment's confidence."""

    name: str
    pixels: dict[str, Counter[str]] = field(default_factory=dict)
    matched: int = 0
    named: int = 0
    regions: int = 0
    confidence: list[tuple[float, bool]] = field(default_factory=list)
    pairs: dict[str, Counter[tuple[str, str]]] = field(default_factory=dict)  # verdict -> names

    def share(self, verdict: str) -> float:
        """Per cent of the pixels with truth whose labels are right, held or wrong."""
        pixels = self.pixels["labels"]
        return 100 * pixels[verdict] / max(1, pixels.total())


def count(sample: Sample, labeler: Labeler, judge_: Judge) -> Counts:
    """All that is counted of one photograph."""
    classes = sample.dataset.classes
    truth = sample.semantic()
    labeling = labeler.label(sample.open_image().pixels)
    counts = Counts(sample.name, {stage: Counter() for stage in STAGES})
    counts.pairs = {verdict: Counter() for verdict in (RIGHT, HELD, WRONG)}
    label_map = labeling.label_map
    for segment in labeling.segments:
        inside = truth[label_map == segment.id]
        found = np.bincount(inside[inside >= 0], minlength=len(classes))
        for klass in np.flatnonzero(found):
            verdict = judge_.verdict(segment.label, int(klass))
            counts.pixels["labels"][verdict] += int(found[klass])
            counts.pairs[verdict][classes[klass].name, segment.label] += int(found[klass])
        if found.sum() > 0.5 * len(inside):
            most = int(found.argmax())
            ours = counts.pixels["our segments, true names"]
            ours[RIGHT] += int(found[most])
            ours[WRONG] += int(found.sum() - found[most])
            sure = judge_.verdict(segment.label, most) != WRONG
            counts.confidence.append((segment.confidence, sure))
    regions = true_regions(sample)
    if regions.regions:
        named = labeler.name(regions.regions)
        for own, klass in zip(named, regions.classes, strict=True):
            area = own.region.mask
            verdict = judge_.verdict(own.labels[0].text, int(klass))
            counts.pixels["true regions, our names"][verdict] += int(area.sum())
            inside = np.bincount(label_map[area], minlength=len(labeling.segments) + 1)
            sizes = np.array([0, *(segment.area for segment in labeling.segments)])
            overlap = inside / (sizes + area.sum() - inside)
            best = int(overlap.argmax())
            counts.regions += 1
            if overlap[best] >= 0.5:
                counts.matched += 1
                label = labeling.segments[best - 1].label
                counts.named += judge_.verdict(label, int(klass)) == RIGHT
    return counts


def shares(photographs: list[Counts]) -> list[dict[str, str | float]]:
    """A row for each stage: right and held, in per cent of pixels, with intervals over photos."""
    rows: list[dict[str, str | float]] = []
    for stage in STAGES:
        pixels = [photo.pixels[stage] for photo in photographs]
        totals = [float(sum(own.values())) for own in pixels]
        row: dict[str, str | float] = {"stage": stage}
        row["right, % of pixels"] = interval([own[RIGHT] for own in pixels], totals)
        row["or held"] = interval([own[RIGHT] + own[HELD] for own in pixels], totals)
        rows.append(row)
    return rows


def columns(pairs: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    """Confidences (n,), and whether each label holds: (n,) float."""
    return np.array([p for p, _ in pairs]), np.array([ok for _, ok in pairs], float)


def error(pairs: list[tuple[float, bool]]) -> str:
    """The calibration error by tenths, as a sentence's part."""
    return (
        f"calibration error {calibration_error(*columns(pairs), BINS):.1f} of {len(pairs)} segments"
    )


def draw_reliability(pairs: list[tuple[float, bool]], path: Path, bins: int = BINS) -> None:
    """How often labels of each tenth of confidence hold, and how many there are."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    confidence, held = columns(pairs)
    place = bin_of(confidence, bins)
    counts = np.bincount(place, minlength=bins)
    figure, axes = plt.subplots(figsize=(4.2, 4.0), layout="constrained")
    axes.plot([0, 1], [0, 1], color="#999", linewidth=1)
    for b in np.flatnonzero(counts):
        share = held[place == b].mean()
        axes.bar((b + 0.5) / bins, share, width=0.9 / bins, color="#3f51b5")
        axes.text((b + 0.5) / bins, share + 0.015, str(counts[b]), ha="center", fontsize=8)
    axes.set(xlabel="confidence", ylabel="share of labels that hold", xlim=(0, 1), ylim=(0, 1.05))
    figure.savefig(path, dpi=120)


def write_worst(
    photographs: Sequence[tuple[str, Sample, Counts]], labeler: Labeler, folder: Path
) -> None:
    """The page of the 24 photographs with the fewest right pixels."""

    def card(title: str, sample: Sample, counts: Counts) -> Card:
        total = max(1, counts.pixels["labels"].total())
        notes = []
        for verdict in (WRONG, HELD):
            most = counts.pairs[verdict].most_common(6)
            said = [f"{a} → {b} {100 * n / total:.0f} %" for (a, b), n in most]
            if said:
                notes.append(f"{verdict} {counts.share(verdict):.0f} %: {', '.join(said)}")
        labeling = labeler.label(sample.open_image().pixels)
        truth = semantic_regions(sample.semantic(), None)
        heading = f"{title}, {sample.name}: right {counts.share(RIGHT):.0f} % of pixels"
        return Card(heading, notes, sample, labeling, truth)

    worst = sorted(photographs, key=lambda photo: photo[2].share(RIGHT))[:WORST]
    title = f"{len(worst)} worst of {len(photographs)} photographs"
    write_page(folder, title, (card(*photo) for photo in worst))


def main() -> None:
    """Print the tables; with --worst write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--real", type=Path, default=Path("../shared/real"))
    parser.add_argument("--preset", default="photo")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["coco_stuff"])
    parser.add_argument("--half", choices=("even", "odd", "all"), default="odd")
    parser.add_argument("--limit", type=int, help="photographs of each set")
    parser.add_argument("--worst", type=Path, help="folder for a page of the 24 worst photographs")
    parser.add_argument("--reliability", type=Path, help="picture of all sets' confidence")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    labeler = Labeler(load_recipe(args.preset, args.set), offline=True)
    confidences: dict[str, dict[str, list[tuple[float, bool]]]] = {}
    seen: list[tuple[str, Sample, Counts]] = []
    for title in args.sets:
        dataset = load_dataset(SETS[title], args.real / title)
        judge_ = Judge(dataset)
        step = slice(None) if args.half == "all" else slice(args.half == "odd", None, 2)
        samples = list(dataset)[step][: args.limit]
        photographs = [count(sample, labeler, judge_) for sample in samples]
        seen += [(title, *pair) for pair in zip(samples, photographs, strict=True)]
        print(f"{title}, {args.half}, {len(photographs)} photographs", *args.set)
        print(table(shares(photographs)))
        regions = [float(photo.regions) for photo in photographs]
        matched = interval([photo.matched for photo in photographs], regions)
        named = interval([photo.named for photo in photographs], regions)
        print(f"regions matched {matched}, and rightly named {named}")
        pairs = [pair for photo in photographs for pair in photo.confidence]
        print(error(pairs))
        # For `zeroguide.clip.confidence.calibrated`.
        confidence, held = columns(pairs)
        slope, offset = logistic_fit(log_odds(confidence, 1e-6), held)
        print(f"a curve over it: slope {slope:.2f}, offset {offset:.2f}")
        wrong: Counter[tuple[str, str]] = Counter()
        for photo in photographs:
            wrong += photo.pairs[WRONG]
        print([(*pair, n) for pair, n in wrong.most_common(30)])
        confidences[title] = {photo.name: photo.confidence for photo in photographs}
    every = [pair for photos in confidences.values() for own in photos.values() for pair in own]
    print(f"all: {error(every)}")
    if args.worst:
        write_worst(seen, labeler, args.worst)
    if args.reliability:
        draw_reliability(every, args.reliability)
    if args.json:
        args.json.write_text(json.dumps(confidences) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
