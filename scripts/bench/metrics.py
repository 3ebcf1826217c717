"""Time the metrics on one core: 640 x 480 pixels, 20 segments, 150 classes.

    OMP_NUM_THREADS=1 python -m scripts.bench.metrics

Prints milliseconds of CPU time per image for every family of metrics, then for what an evaluation
does with an image, from label maps to its row with all families that 150 classes allow. The lexical
ladder is there with a relation that needs no WordNet, sentences and segments with random
embeddings. The label maps are Voronoi cells with about as many border pixels as COCO's panoptic
truth. What is done once per dataset (COCO's AP, the linear probe, the bootstrap) comes last.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np

from zeroguide.evaluate.datasets import ClassName, Dataset, Regions
from zeroguide.evaluate.datasets.base import Entry
from zeroguide.evaluate.metrics import bootstrap
from zeroguide.evaluate.metrics.assignment import ST_THRESHOLD, TT_THRESHOLD, assign, keep_best
from zeroguide.evaluate.metrics.boundary import boundary_counts, boundary_iou
from zeroguide.evaluate.metrics.class_agnostic import ClassAgnostic, encode
from zeroguide.evaluate.metrics.lac import same_text
from zeroguide.evaluate.metrics.open_vocabulary import class_ious, misnamed, soft_ious
from zeroguide.evaluate.metrics.overlap import intersections
from zeroguide.evaluate.metrics.panoptic import panoptic_counts
from zeroguide.evaluate.metrics.recall import best_overlap, segment_recall
from zeroguide.evaluate.metrics.saliency import f_curve, foreground_iou
from zeroguide.evaluate.metrics.semantic import class_counts
from zeroguide.evaluate.metrics.unsupervised import image_matching, majority_vote
from zeroguide.evaluate.predictions.prediction import Prediction
from zeroguide.evaluate.scoring.image import Classes
from zeroguide.evaluate.scoring.protocols import score_image

HEIGHT, WIDTH, SEGMENTS, CLASSES = 480, 640, 20, 150

FAMILIES_OF_ROWS = (
    "tt", "st", "semantic", "lac", "unsupervised", "per-image", "class-agnostic", "panoptic",
    "cost",
)  # fmt: skip
"""All that a data set of more than two classes can have; foreground takes one of two."""


def cells(rng: np.random.Generator, n: int) -> np.ndarray:
    """(H, W) int32 Voronoi cells of n random points, with ragged borders."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + rng.normal(0, 0.7, (2, HEIGHT, WIDTH))
    points = rng.random((n, 2)) * (HEIGHT, WIDTH)
    distances = [(rows - y) ** 2 + (columns - x) ** 2 for y, x in points]
    return np.argmin(distances, axis=0).astype(np.int32)


class Scene:
    """One image's prediction and truth, and what the metrics share."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.segments = cells(rng, SEGMENTS)
        self.regions = cells(rng, 12)
        self.region_classes = rng.permutation(CLASSES)[:12]
        self.truth = self.region_classes[self.regions].astype(np.int32)
        self.truth[:20] = self.regions[:20] = -1
        self.similarity = rng.uniform(-0.2, 0.9, (SEGMENTS, CLASSES))
        self.overlap = intersections(self.segments, self.truth, SEGMENTS, CLASSES)
        self.classes = assign(self.similarity, threshold=TT_THRESHOLD)


def table(scene: Scene) -> None:
    """The table of intersections, with classes and with regions."""
    intersections(scene.segments, scene.truth, SEGMENTS, CLASSES)
    intersections(scene.segments, scene.regions, SEGMENTS, 12)


def named(scene: Scene) -> None:
    """TT and ST with both class lists, union and argmax; soft IoU; mIoU; MCMR; segment recall."""
    own = np.flatnonzero(scene.overlap.truth_areas)
    for threshold in (TT_THRESHOLD, ST_THRESHOLD):
        for allowed in (None, own):
            classes = assign(scene.similarity, threshold=threshold, allowed=allowed)
            best = keep_best(classes, scene.similarity, scene.overlap.areas)
            for chosen in (classes, best):
                class_ious(scene.overlap, chosen, background=0)
            segment_recall(scene.overlap, classes)
    soft_ious(scene.overlap, scene.classes, scene.similarity)
    class_counts(scene.overlap, scene.classes)
    misnamed(scene.overlap, scene.classes, np.arange(CLASSES))


def nameless(scene: Scene) -> None:
    """Best overlap, Hungarian in the image, majority vote."""
    best_overlap(scene.overlap)
    for match in (image_matching, majority_vote):
        class_counts(scene.overlap, match(scene.overlap))


def panoptic(scene: Scene) -> None:
    """Panoptic quality, its table included."""
    overlap = intersections(scene.segments, scene.regions, SEGMENTS, 12)
    panoptic_counts(overlap, scene.classes, scene.region_classes, CLASSES)


def borders(scene: Scene) -> None:
    """Boundary F and Boundary IoU."""
    boundary_counts(scene.segments, [scene.truth])
    boundary_iou(scene.segments, scene.truth, SEGMENTS, CLASSES)


def foreground(scene: Scene) -> None:
    """Foreground IoU and the curve of maxF."""
    mask, truth = scene.segments < 7, scene.regions < 5
    foreground_iou(mask, truth)
    f_curve(mask, truth)


def codes(scene: Scene) -> None:
    """Run-length codes for COCO's AR and AP."""
    void = scene.truth < 0
    encode(scene.segments, SEGMENTS, void=void)
    encode(scene.regions, 12, void=void)


FAMILIES: dict[str, Callable[[Scene], None]] = {
    "intersections": table,
    "names": named,
    "no names": nameless,
    "panoptic": panoptic,
    "borders": borders,
    "foreground": foreground,
    "run lengths": codes,
}


class Scenes(Dataset):
    """The scenes as a data set that is in memory."""

    def __init__(self, scenes: Sequence[Scene]) -> None:
        names = [ClassName(f"class {i}", (f"synonym {i}",)) for i in range(CLASSES)]
        entries = [Entry(str(i), None, None) for i in range(len(scenes))]
        super().__init__("scenes", names, entries, "this script")
        self.scenes = scenes
        self.background = 0

    def read_semantic(self, entry: Entry) -> np.ndarray:
        """The truth of a scene."""
        return self.scenes[int(entry.name)].truth

    def read_annotations(self, entry: Entry) -> tuple[Regions, ...]:
        """The regions of a scene."""
        scene = self.scenes[int(entry.name)]
        return (Regions(scene.regions, scene.region_classes, np.zeros(12, dtype=bool)),)


class Sentences:
    """Random embeddings for texts, always the same for one, as an evaluation keeps them."""

    name = "random"

    def __init__(self) -> None:
        self.known: dict[str, np.ndarray] = {}

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """(n, 384) float32 unit rows."""
        for text in texts:
            if text not in self.known:
                row = np.random.default_rng(len(self.known)).normal(size=384)
                self.known[text] = (row / np.linalg.norm(row)).astype(np.float32)
        return np.stack([self.known[text] for text in texts])


def rows(scenes: Sequence[Scene]) -> Callable[[], object]:
    """What an evaluation does with the scenes' predictions, models and files left out."""
    dataset, sentences = Scenes(scenes), Sentences()
    classes = Classes(dataset, sentences, sentences.encode, same_text)
    rng = np.random.default_rng(0)
    labels = [f"class {i}" for i in range(SEGMENTS)]
    embeddings = rng.normal(size=(SEGMENTS, 384)).astype(np.float32)
    found = [
        Prediction(scene.segments, labels, rng.random(SEGMENTS), embeddings) for scene in scenes
    ]
    return lambda: [
        score_image(sample, prediction, classes, FAMILIES_OF_ROWS, 0.0)
        for sample, prediction in zip(dataset, found, strict=True)
    ]


def class_agnostic(scenes: list[Scene]) -> None:
    """COCO's AP and AR of the scenes."""
    scorer = ClassAgnostic()
    for scene in scenes:
        masks = encode(scene.segments, SEGMENTS)
        scorer.add(masks, [1.0] * len(masks), encode(scene.regions, 12))
    scorer.scores()


def interval(n: int) -> None:
    """The interval of a dataset's mIoU."""
    rng = np.random.default_rng(0)
    union = rng.random((n, CLASSES)) * (rng.random((n, CLASSES)) < 0.05)
    bootstrap.of_ratio(union * rng.random((n, CLASSES)), union)


def cpu_seconds(function: Callable[[], object]) -> float:
    """CPU time of one call."""
    started = time.process_time()
    function()
    return time.process_time() - started


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=10)
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    scenes = [Scene(seed) for seed in range(args.images)]
    total = 0.0
    for name, family in FAMILIES.items():
        family(scenes[0])  # imports scipy and pycocotools
        runs = [
            cpu_seconds(lambda family=family: [family(scene) for scene in scenes])  # type: ignore[misc]
            for _ in range(args.runs)
        ]
        each = float(np.median(runs)) / len(scenes)
        total += each
        print(f"{name:14} {1000 * each:7.2f} ms an image")
    print(f"{'all':14} {1000 * total:7.2f} ms an image: {1 / total:.0f} images/s on one core")
    evaluation = rows(scenes)
    evaluation()
    each = float(np.median([cpu_seconds(evaluation) for _ in range(args.runs)])) / len(scenes)
    print("what an evaluation does with an image")
    print(f"{'its row':14} {1000 * each:7.2f} ms an image: {1 / each:.0f} images/s on one core")
    print("once per dataset")
    each = cpu_seconds(lambda: class_agnostic(scenes)) / len(scenes)
    print(f"{'COCO AP, AR':14} {1000 * each:7.2f} ms an image")
    print(f"{'mIoU interval':14} {cpu_seconds(lambda: interval(5000)):7.2f} s for 5,000 images")


if __name__ == "__main__":
    main()
